"""How long to wait before the next try."""

from datetime import timedelta
from typing import Final

SCHEDULE: Final = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15))


def next_retry_delay(attempt_count: int) -> timedelta:
    """The delay after `attempt_count` sends from the queue: 1, 5, 15 minutes, the last repeating.

    A text that has failed its first send outside the queue enters with 0 and waits 1 minute; after its first
    retry it has 1 and waits 5; after its second, 15.

    Raises:
        ValueError: attempt_count is negative.
    """
    if attempt_count < 0:
        raise ValueError(f"attempt_count must be 0 or more, not {attempt_count}")
    return SCHEDULE[min(attempt_count, len(SCHEDULE) - 1)]
