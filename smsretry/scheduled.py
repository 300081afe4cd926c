"""Scheduled sends become texts in the queue shortly before their time. From there on each is a text like any other."""

from collections.abc import Iterator
from datetime import timedelta
from time import monotonic
from typing import Final

from smsretry.ports import RetryQueue
from smsretry.retry.models import ScheduledSend

BATCH: Final = 200
"""Scheduled sends of one transaction."""
AHEAD: Final = timedelta(minutes=2)
"""How long before its time a text is queued: the retry run that plans its minute must see it already."""


def queue_scheduled_sends(
    queue: RetryQueue, *, batch: int = BATCH, ahead: timedelta = AHEAD, seconds: float = 50
) -> Iterator[list[ScheduledSend]]:
    """Queue the scheduled sends whose time is near, batch by batch, until there are no more.

    Each batch is there once it is yielded, so a process that dies between two has lost nothing.

    Args:
        seconds: how long to go on at most; the next minute's run takes the rest.

    Raises:
        QueueError: the database could not be asked. What was queued stays queued.
    """
    until = monotonic() + seconds
    while True:
        took = queue.queue_scheduled(batch, ahead)
        yield took
        if len(took) < batch or monotonic() >= until:
            return
