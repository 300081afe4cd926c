"""Scheduled sends become texts in the queue shortly before their time. From then on each is a text like any other."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from typing import Final, get_args
from uuid import UUID

from smsretry.errors import QueueError
from smsretry.retry.answers import ScheduledSend
from smsretry.sending.ports import RetryQueue
from smsretry.sending.summary import numbers
from smsretry.vocabulary import ScheduledResult

BATCH: Final = 200
"""Scheduled sends of one transaction."""
AHEAD: Final = timedelta(minutes=2)
"""How long before its time a text is queued: the retry run that plans its minute must see it already."""


@dataclass(slots=True)
class Queueing:
    """The results of the scheduled sends whose time was near."""

    sends: list[ScheduledSend] = field(default_factory=list)
    why_stopped: str | None = None
    """Why the database could not be asked for more. What was queued by then stays queued."""

    @property
    def counts(self) -> Counter[ScheduledResult]:
        """How many came to each result."""
        return Counter(send.result for send in self.sends)

    @property
    def numbers(self) -> str:
        """Such as `12 queued · 1 cancelled`."""
        return numbers(self.counts, get_args(ScheduledResult))


def queue_scheduled_sends(
    queue: RetryQueue,
    *,
    batch: int = BATCH,
    ahead: timedelta = AHEAD,
    seconds: float = 50,
) -> Queueing:
    """Queue the scheduled sends whose time is near, batch by batch, until there are no more.

    Each batch is a transaction, so a process that dies between two has lost nothing. It raises no `QueueError`.

    Args:
        seconds: how long to go on at most; the next minute's run takes the rest.
    """
    until, queueing, left_out = monotonic() + seconds, Queueing(), set[UUID]()
    while True:
        try:
            took = queue.queue_scheduled(batch, ahead, without=left_out)
        except QueueError as error:
            queueing.why_stopped = str(error)
            return queueing
        later = {send.business_id for send in took if send.result == "later"}
        left_out |= later | {
            send.scheduled_id for send in took if send.result == "held"
        }
        queueing.sends += took
        if (len(took) < batch and not later) or monotonic() >= until:
            return queueing
