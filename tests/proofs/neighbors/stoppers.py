"""People who say stop: each in words of their own, and to an application that writes the same opt-in every night."""

from datetime import timedelta
from itertools import count
from typing import Final

from tests.proofs.faults.orders import dice
from tests.proofs.neighbors.street import MINUTE, Neighbor, Street
from tests.proofs.neighbors.texts import Text, enqueue, open_business, write_people
from tests.proofs.oracles.stopping import ORDINARY, STOPS

_HEAR: Final = "select record_inbound_sms(%s, %s, null, %s)"
_ENDS: Final = ("cancelled: Customer opted out",)


class OwnWords(Neighbor):
    """Its customers say stop before their text is due, no two alike. Others answer as people do, and get theirs."""

    name = "in their own words"
    _each: Final = 24

    def __init__(self) -> None:
        self._says: list[tuple[Text, str]] = []
        self._sids = count(1)

    def move_in(self, street: Street) -> None:
        self._says = [
            *self._texts(street, STOPS, self.name, unwanted=True, may_end=_ENDS),
            *self._texts(street, ORDINARY, f"{self.name}, others"),
        ]
        for owner in (self.name, f"{self.name}, others"):
            street.move_in(owner, [text for text, _ in self._says if text.owner == owner])

    def _texts(self, street: Street, words: tuple[str, ...], owner: str, **more: object) -> list[tuple[Text, str]]:
        start = int(dice(street.seed, owner) * len(words))
        step = len(words) // self._each
        return [
            (
                street.text(owner, n, 2 + n * street.busy / self._each / 2, **more),
                words[(start + n * step) % len(words)],
            )
            for n in range(self._each)
        ]

    def minute(self, street: Street, n: int) -> None:
        for text, words in self._says:
            if street.now <= text.due_at - MINUTE < street.now + MINUTE:
                street.connection.execute(_HEAR, [text.phone, f"SM{next(self._sids):032x}", words])
                street.counts["said stop, or something else"] += 1


class Tomorrow(Neighbor):
    """Its application leaves out the offset of its local times, and writes all its customers again and again."""

    name = "opted in tomorrow"
    _people: Final = 6

    def __init__(self) -> None:
        self._texts: list[Text] = []

    def move_in(self, street: Street) -> None:
        self._texts = [
            street.text(self.name, n, 3 + n * street.busy / self._people, unwanted=True, may_end=_ENDS)
            for n in range(self._people)
        ]
        open_business(street.connection, self._texts[0].business_id)
        for text in self._texts:
            write_people(street.connection, text)
        self._sync(street)
        for n, text in enumerate(self._texts):
            street.connection.execute(_HEAR, [text.phone, f"SM{'e' * 28}{n:04x}", "Stop, please!"])
            enqueue(street.connection, text)  # what waited before is cancelled by the STOP already

    def minute(self, street: Street, n: int) -> None:
        self._sync(street)

    def _sync(self, street: Street) -> None:
        """Of some the date comes while this goes on."""
        for n, text in enumerate(self._texts):
            street.connection.execute(
                """update customers set sms_consent_status = 'opted_in', sms_consent_source = 'web', sms_consent_at = %s
                   where id = %s""",
                [street.start + timedelta(minutes=7 + 60 * (n % 2)), text.customer_id],
            )
