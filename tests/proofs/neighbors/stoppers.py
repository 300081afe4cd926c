"""People who say stop: each in words of their own, and to an application that writes the same opt-in every night."""

from datetime import timedelta
from itertools import count
from typing import Final

from tests.proofs.faults.orders import dice
from tests.proofs.neighbors.senders import open_sender
from tests.proofs.neighbors.street import MINUTE, Neighbor, Street
from tests.proofs.neighbors.texts import Text, enqueue, open_business, write_people
from tests.proofs.oracles.stopping import OTHERS, STOPS
from tests.support.platform import OwnSender

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
            *self._texts(street, OTHERS, f"{self.name}, others"),
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
        if n:  # the STOP was said in the first: what bears its own time is no later than it
            self._sync(street)

    def _sync(self, street: Street) -> None:
        """Of some the date comes while this goes on."""
        for n, text in enumerate(self._texts):
            street.connection.execute(
                """update customers set sms_consent_status = 'opted_in', sms_consent_source = 'web', sms_consent_at = %s
                   where id = %s""",
                [street.start + timedelta(minutes=7 + 60 * (n % 2)), text.customer_id],
            )


class StopAtOne(Neighbor):
    """The same people are customers of three businesses. They say STOP to the sender that two of these share."""

    name = "stop at one of two senders"
    _people: Final = 4

    def __init__(self) -> None:
        self._says: list[tuple[Text, OwnSender]] = []

    def move_in(self, street: Street) -> None:
        stopped, other = (open_sender(street, f"{self.name}, {which}") for which in ("that one", "the other"))
        for owner, sender, more in (
            (self.name, stopped, {"unwanted": True, "may_end": _ENDS}),
            (f"{self.name}, shared", stopped, {"unwanted": True, "may_end": _ENDS}),
            (f"{self.name}, other's", other, {}),
        ):
            texts = [
                street.text(
                    owner, n, 3 + n * street.busy / 8, phone=f"+1212557{n:04}", sent_from=sender.address, **more
                )
                for n in range(self._people)
            ]
            street.move_in(owner, texts)
            sender.assign(street.connection, texts[0].business_id)
            if owner == self.name:
                self._says = [(text, stopped) for text in texts]

    def minute(self, street: Street, n: int) -> None:
        for person, (text, sender) in enumerate(self._says):
            if street.now <= text.due_at - MINUTE < street.now + MINUTE:
                street.connection.execute(
                    """select record_inbound_sms(
                        %s, %s, null, 'STOP', messaging_service_sid => %s, account_sid => %s)""",
                    [text.phone, f"SM{'f' * 28}{person:04x}", sender.sent_by, sender.account],
                )
                street.counts["said stop to one of two senders"] += 1
