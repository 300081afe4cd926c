"""Businesses that move to another sender while a worker holds their text, or while it is in doubt."""

from typing import Final
from uuid import UUID

from smsretry.local.twilio.faults import AcceptThenDrop, DropUnaccepted
from smsretry.retry.models import Claim
from tests.proofs.neighbors.senders import environment, open_sender
from tests.proofs.neighbors.street import Neighbor, Street
from tests.proofs.neighbors.texts import Text, new_id, open_business, write
from tests.support.platform import OwnSender


class _Moves(Neighbor):
    """A business for each text: it has a sender at first, moves once, and the first sender is nobody's any more."""

    moment: str
    _to: Final = ("another account", "the environment's", "an account of its own")

    def __init__(self, texts: int = 6) -> None:
        self._count = texts
        self._texts: dict[UUID, Text] = {}
        self._next: dict[UUID, OwnSender | None] = {}

    def move_in(self, street: Street) -> None:
        for n in range(self._count):
            business_id = new_id(street.seed, "business", self.name, n)
            first = open_sender(street, f"{self.name} {n}, first", foreign=bool(n % 2))
            to = self._to[n % len(self._to)]
            own = to != "the environment's"
            then = open_sender(street, f"{self.name} {n}, then", foreign=to == "an account of its own") if own else None
            text = street.text(self.name, n, 1 + n * street.busy / self._count / 2, business_id=business_id)
            text.sent_from = first.address
            open_business(street.connection, business_id)
            first.assign(street.connection, business_id)
            write(street.connection, [text])
            self._texts[text.retry_id], self._next[text.retry_id] = text, then
            self.prepare(street, text, n)

    def prepare(self, street: Street, text: Text, n: int) -> None:
        """What happens to this text's first request."""

    def between(self, street: Street, claim: Claim, moment: str) -> None:
        if moment != self.moment or claim.id not in self._next:
            return
        text, sender = self._texts[claim.id], self._next.pop(claim.id)
        with street.stack.connect() as connection:
            if sender:
                sender.assign(connection, text.business_id)
            else:
                remove = "select remove_sms_sender(%s, who => 'proof', because => 'They leave')"
                connection.execute(remove, [text.business_id])
        self.moved(text, sender.address if sender else environment(street))
        street.counts[self.name] += 1

    def moved(self, text: Text, to: tuple[str, str]) -> None:
        """What that means for the text."""
        text.sent_from = to


class MovesInFlight(_Moves):
    """Just before its send begins. It goes out from the new sender."""

    name, moment = "moved in mid-flight", "begin"


class MovesInDoubt(_Moves):
    """When its request has left and no answer came: half were accepted, and are only in the first sender's account."""

    name, moment = "moved in doubt", "finish"

    def __init__(self, texts: int = 6) -> None:
        super().__init__(texts)
        self._accepted = set[UUID]()

    def prepare(self, street: Street, text: Text, n: int) -> None:
        if n < self._count / 2:
            self._accepted.add(text.retry_id)
        fault = AcceptThenDrop() if text.retry_id in self._accepted else DropUnaccepted()
        street.stack.twilio.fail(fault, to=text.phone)

    def moved(self, text: Text, to: tuple[str, str]) -> None:
        if text.retry_id not in self._accepted:
            text.sent_from = to
