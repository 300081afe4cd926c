"""Tenants: the well-behaved ones, and those whose people, settings or numbers make trouble."""

from datetime import timedelta
from typing import Final

from smsretry.local.twilio.faults import JsonError
from tests.proofs.faults.orders import dice
from tests.proofs.neighbors.senders import environment, open_sender
from tests.proofs.neighbors.street import Neighbor, Street
from tests.proofs.neighbors.texts import WELL_BEHAVED, Text, new_id, open_business, write


class WellBehaved(Neighbor):
    """Five ordinary businesses with ordinary texts. Nothing of all this is their business. Two have own senders."""

    name = WELL_BEHAVED

    def __init__(self, texts: int) -> None:
        self._texts = texts

    def move_in(self, street: Street) -> None:
        shops = [new_id(street.seed, "shop", n) for n in range(5)]
        for shop in shops:
            open_business(street.connection, shop)
        own = {1: open_sender(street, "well-behaved, a service"), 3: open_sender(street, "a number", foreign=True)}
        for n, sender in own.items():
            sender.assign(street.connection, shops[n])
        texts = [
            street.text(
                self.name,
                n,
                dice(street.seed, "due", n) * street.busy,
                business_id=shops[n % 5],
                sent_from=own[n % 5].address if n % 5 in own else environment(street),
            )
            for n in range(self._texts)
        ]
        street.move_in(self.name, texts)


class Flood(Neighbor):
    """Everything at once."""

    name = "flood"

    def __init__(self, texts: int) -> None:
        self._texts = texts

    def move_in(self, street: Street) -> None:
        street.move_in(self.name, [street.text(self.name, n, street.busy // 4) for n in range(self._texts)])


class Refused(Neighbor):
    """Two businesses that text people whom this account's sender cannot reach: Twilio's 21606, and new ones all day."""

    name = "refused destinations"
    _at_first: Final = 6
    _every_minute: Final = 2

    def move_in(self, street: Street) -> None:
        for owner in (self.name, f"{self.name} too"):
            street.move_in(owner, self._texts(street, owner, -1, self._at_first))

    def minute(self, street: Street, n: int) -> None:
        if n < street.busy:
            for owner in (self.name, f"{self.name} too"):
                write(street.connection, self._texts(street, owner, n, self._every_minute))

    def _texts(self, street: Street, owner: str, n: int, count: int) -> list[Text]:
        texts = [
            street.text(owner, len(street.texts), n - 60 * 24, may_end=("held: Twilio 21606", "pending: "))
            for _ in range(count)
        ]
        for text in texts:
            street.stack.twilio.fail(JsonError(21606, http_status=400), to=text.phone, times=None)
        return texts


class Settings(Neighbor):
    """Breaks its settings and mends them: hours that nobody can read; and its state is stopped for a while."""

    name = "broken settings"

    def move_in(self, street: Street) -> None:
        texts = [street.text(self.name, n, 1 + n * street.busy / 8) for n in range(6)]
        street.move_in(self.name, texts)
        stopped = f"{self.name}, stopped state"
        louisiana = {"zone": "America/Chicago"}
        to_louisiana = [
            street.text(stopped, n, 1 + n * street.busy / 8, phone=f"+1504555{n:04}", **louisiana) for n in range(4)
        ]
        street.move_in(stopped, to_louisiana, zone="America/Chicago")

    def minute(self, street: Street, n: int) -> None:
        hours = {1: "18:00-09:00", street.busy - 1: "09:00-18:00"}
        if n in hours:  # the bounds on hours pass what closes before it opens
            business_id = new_id(street.seed, "business", self.name)
            street.connection.execute("update businesses set sms_hours = %s where id = %s", [hours[n], business_id])
        if n == 1:
            street.connection.execute("select set_sms_state_stop('LA', 'Hurricane')")
        if n == street.busy - 1:
            street.connection.execute("select set_sms_state_stop('LA', null)")
            found = street.connection.execute(
                "select count(*) as n from sms_retry_queue where held_since is not null and why <> ''"
            ).fetchone()
            street.counts["held before the mending"] = found["n"] if found else 0


class TwoRows(Neighbor):
    """Has a number twice: opted out, and imported again as if nothing had been said."""

    name = "a number twice"

    def move_in(self, street: Street) -> None:
        ends = ("cancelled: Customer opted out",)
        texts = [
            street.text(self.name, n, 1 + n * street.busy / 6, may_end=ends, unwanted=True, phone=f"+1212556{n:04}")
            for n in range(4)
        ]
        open_business(street.connection, texts[0].business_id)
        for n, text in enumerate(texts):
            if n % 2:
                write(street.connection, [text])
            street.connection.execute(
                "insert into customers (business_id, phone, sms_consent_status, sms_consent_at) "
                "values (%s, %s, 'opted_out', %s)",
                [text.business_id, text.phone, street.start - timedelta(days=3)],
            )
            if not n % 2:
                write(street.connection, [text])
