"""Neighbors that want more than their turn: sixty with a backlog, times of long ago, a flood of scheduled sends."""

from datetime import UTC, datetime
from typing import Final

from tests.proofs.neighbors.street import Neighbor, Street
from tests.proofs.neighbors.texts import WELL_BEHAVED, Text, new_id, open_business, write, write_people

LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)


class Backlog(Neighbor):
    """Sixty businesses, each with texts that are older than anybody else's; some write the year 2000 into them."""

    name = "backlog"
    _businesses: Final = 60

    def __init__(self, each: int) -> None:
        self._each = each

    def move_in(self, street: Street) -> None:
        shops = [new_id(street.seed, self.name, n) for n in range(self._businesses)]
        for shop in shops:
            open_business(street.connection, shop)
        texts = [
            street.text(
                self.name,
                n,
                -30,
                business_id=shops[n % self._businesses],
                queued={"scheduled_for": LONG_AGO} if n % 3 == 0 else {},
            )
            for n in range(self._businesses * self._each)
        ]
        write(street.connection, texts)


class ScheduledFlood(Neighbor):
    """Plans hundreds of texts for one minute, while a well-behaved business plans one for a minute later.

    Whoever makes texts of scheduled sends has time for twenty a minute.
    """

    name = "flood of scheduled sends"
    _at_a_time: Final = 20

    def __init__(self, texts: int) -> None:
        self._texts = texts
        self._planned: list[Text] = []

    def move_in(self, street: Street) -> None:
        well_behaved = new_id(street.seed, "business", "planned")
        open_business(street.connection, well_behaved)
        open_business(street.connection, new_id(street.seed, "business", self.name))
        self._planned = [
            street.text(WELL_BEHAVED, 9000 + n, 1 + n, business_id=well_behaved) for n in range(3)
        ]  # their numbers: no other text of theirs has one
        self._planned += [street.text(self.name, n, -10) for n in range(self._texts)]
        with street.connection.transaction():
            for text in self._planned:
                write_people(street.connection, text)
                street.connection.execute(
                    """insert into scheduled_sends (id, business_id, customer_id, body, scheduled_for)
                       values (%s, %s, %s, %s, %s)""",
                    [text.send_log_id, text.business_id, text.customer_id, text.body, text.due_at],
                )

    def minute(self, street: Street, n: int) -> None:
        made = street.connection.execute(
            "select scheduled_id, retry_id from queue_scheduled_sms(%s, interval '0')", [self._at_a_time]
        )
        rows = {row["scheduled_id"]: row["retry_id"] for row in made}
        for text in self._planned:
            text.retry_id = rows.get(text.send_log_id, text.retry_id)
        street.counts["scheduled sends that became texts"] += len(rows)
