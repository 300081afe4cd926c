"""Tenants whose own texts come to nothing at Twilio, all day: it is their trouble, and nobody else's."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from smsretry.local.twilio.faults import AcceptThenDrop, HtmlError, JsonError, SendFault
from tests.proofs.neighbors.street import Neighbor, Street
from tests.proofs.neighbors.tenants import WellBehaved
from tests.proofs.neighbors.texts import Text, new_id, open_business, write

_LONG_AGO: Final = -60 * 24
"""Minutes: due a day before everybody else's, so that they come first wherever the oldest does."""
_OPEN_ENDS: Final = ("(pending|processing): ", "in doubt: ", "held: ", "completed", "cancelled: Expired")


class Firewalled(Neighbor):
    """Three hundred texts of one business get a firewall's page of HTML, an error of the server's, or no answer."""

    def __init__(self, fault: SendFault, name: str, texts: int = 300) -> None:
        self.name = name
        self._fault = fault
        self._texts = texts

    def move_in(self, street: Street) -> None:
        texts = [street.text(self.name, n, _LONG_AGO + n / 60, may_end=_OPEN_ENDS) for n in range(self._texts)]
        for text in texts:
            street.stack.twilio.fail(self._fault, to=text.phone, times=None)
        street.move_in(self.name, texts)


class Chain(Neighbor):
    """Sixty shops of one chain text a country that this account cannot reach: Twilio's 21606, and new ones all day."""

    name = "a chain"

    def __init__(self, shops: int = 60) -> None:
        self._shops = shops

    def move_in(self, street: Street) -> None:
        for shop in range(self._shops):
            open_business(street.connection, new_id(street.seed, "business", self.name, shop))
        write(street.connection, self._a_text_each(street, -1, range(self._shops)))

    def minute(self, street: Street, n: int) -> None:
        if n < street.busy:
            write(street.connection, self._a_text_each(street, n, range(n % 6, self._shops, 6)))

    def _a_text_each(self, street: Street, minute: int, shops: Iterable[int]) -> list[Text]:
        texts = [
            street.text(
                self.name,
                len(street.texts),
                minute + _LONG_AGO,
                business_id=new_id(street.seed, "business", self.name, shop),
                phone=f"+4479{len(street.texts) % 100_000_000:08}",
                zone="Europe/London",
                may_end=("held: Twilio 21606", "pending: "),
            )
            for shop in shops
        ]
        for text in texts:
            street.stack.twilio.fail(JsonError(21606, http_status=400), to=text.phone, times=None)
        return texts


class Throttled(Neighbor):
    """One business's recipients: Twilio asks to wait for an hour before the next text to any of them."""

    name = "throttled recipients"

    def __init__(self, texts: int = 60) -> None:
        self._texts = texts

    def move_in(self, street: Street) -> None:
        texts = [street.text(self.name, n, _LONG_AGO + n / 60, may_end=_OPEN_ENDS) for n in range(self._texts)]
        for text in texts:
            slower = JsonError(99429, http_status=429, retry_after=timedelta(hours=1))
            street.stack.twilio.fail(slower, to=text.phone, times=None)
        street.move_in(self.name, texts)


def poor(good: int, each: int = 300) -> list[Neighbor]:
    """The well-behaved ones, and all of them: a business each, and a chain."""
    return [
        WellBehaved(good),
        Firewalled(HtmlError(http_status=403), "a firewall's page", each),
        Firewalled(HtmlError(http_status=500), "a broken server", each),
        Firewalled(AcceptThenDrop(), "dropped answers", each),
        Throttled(each),
        Chain(),
    ]
