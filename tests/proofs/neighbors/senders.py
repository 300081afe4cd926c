"""Senders of one's own, for those who live in the street: an account at Twilio each, with a number or a service."""

from smsretry.local.stack import SENDER
from smsretry.local.twilio.accounts import Account
from tests.proofs.neighbors.street import Neighbor, Street
from tests.proofs.neighbors.texts import Text, new_id
from tests.support.platform import Address, OwnSender, hexadecimal, number_of, open_account


def environment(street: Street) -> Address:
    """What a business without a sender of its own texts from."""
    return street.stack.environment()["TWILIO_ACCOUNT_SID"], SENDER


def open_sender(
    street: Street,
    owner: str,
    *,
    foreign: bool = False,
    segments_per_second: float | None = None,
    segments_per_day: int | None = None,
) -> OwnSender:
    """A subaccount with a messaging service; or a foreign account with a number, whose token the runner has."""
    sid, token = hexadecimal("AC", street.seed, owner), hexadecimal("", street.seed, owner, "token")
    sent_by = number_of(street.seed, owner) if foreign else hexadecimal("MG", street.seed, owner)
    open_account(street.stack, sid, token, subaccount=not foreign, senders=[sent_by])
    if foreign:
        street.credentials[sid] = token
    return OwnSender(sid, sent_by, segments_per_second, segments_per_day)


def account_of(street: Street, sender: OwnSender) -> Account:
    """The sender's account, as Twilio has it."""
    account = street.stack.twilio.accounts.find(sender.account)
    assert account is not None
    return account


class WithSender(Neighbor):
    """A business with a sender of its own."""

    foreign = False
    texts = 6
    segments_per_second: float | None = None
    segments_per_day: int | None = None
    may_end: tuple[str, ...] = ("completed",)

    def __init__(self) -> None:
        self._mine: list[Text] = []

    def move_in(self, street: Street) -> None:
        self.sender = open_sender(
            street,
            self.name,
            foreign=self.foreign,
            segments_per_second=self.segments_per_second,
            segments_per_day=self.segments_per_day,
        )
        self._mine = [
            street.text(self.name, n, self.due(street, n), may_end=self.may_end, sent_from=self.sender.address)
            for n in range(self.texts)
        ]
        street.move_in(self.name, self._mine)
        self.sender.assign(street.connection, new_id(street.seed, "business", self.name))
        self.trouble(street)

    def due(self, street: Street, n: int) -> float:
        """The minute in which its text `n` is due."""
        return 1 + n * street.busy / self.texts

    def minute(self, street: Street, n: int) -> None:
        if n == street.busy:
            self.mend(street)

    def trouble(self, street: Street) -> None:
        """What is wrong from the beginning."""

    def mend(self, street: Street) -> None:
        """And then no more."""

    def move_out(self, street: Street) -> None:
        self.mend(street)
