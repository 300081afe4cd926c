"""How long a run goes on to queue scheduled sends: batch by batch, until one is not full or its time is over."""

from collections import Counter
from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from smsretry.errors import QueueUnreachable
from smsretry.retry.answers import ScheduledSend
from smsretry.sending.scheduled import queue_scheduled_sends
from tests.unit.fakes import FakeQueue

QUEUED = ScheduledSend(
    scheduled_id=UUID(int=1), business_id=UUID(int=2), customer_id=UUID(int=3), result="queued", why=None, retry_id=None
)


class Batches(FakeQueue):
    """Has batches of these sizes, and is out of reach after them."""

    def __init__(self, *sizes: int) -> None:
        super().__init__()
        self.sizes = list(sizes)

    def queue_scheduled(self, limit: int, ahead: timedelta, *, without: Collection[UUID] = ()) -> list[ScheduledSend]:
        if not self.sizes:
            raise QueueUnreachable("away")
        return [QUEUED] * self.sizes.pop(0)


def test_batches_follow_each_other_until_one_is_not_full() -> None:
    """What was queued before the database was out of reach stays queued, and is told."""
    for sizes, seconds, queued, stopped_because in (
        ((2, 1), 600, 3, None),
        ((2, 2), 600, 4, "away"),
        ((2, 2), 0, 2, None),
    ):
        done = queue_scheduled_sends(Batches(*sizes), batch=2, seconds=seconds)
        assert (done.counts, done.stopped_because) == (Counter(queued=queued), stopped_because)
