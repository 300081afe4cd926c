"""How long to wait before the next send."""

from datetime import timedelta
from typing import Final

RETRY_DELAYS: Final = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=15),
)
"""After the first send, the first retry, the second; the last repeats. `python -m tests.record_schema` tells SQL."""
HELD_LOOK: Final = timedelta(minutes=15)
"""How often a held text is looked at again, and so how long after the mending it goes on at the latest."""
RESEND_DELAYS: Final = (
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=6),
    timedelta(hours=12),
)
"""After a message that did not arrive, and after a refusal that a person must mend; the last repeats. A phone that is
off, a carrier in trouble and whoever mends a sender take their time, a late report of delivery stops the next message,
and each message costs."""
MAX_RETRY_AFTER: Final = timedelta(minutes=15)
"""The longest wait that a provider can ask for. After it we ask again all the same."""


def next_retry_delay(attempt_count: int) -> timedelta:
    """The delay after `attempt_count` sends from the queue, the last of `RETRY_DELAYS` repeating.

    A text that has failed its first send outside the queue enters with 0 and waits the first of them. After its first
    retry it has 1, and waits the second.

    Raises:
        ValueError: attempt_count is negative.
    """
    return nth(RETRY_DELAYS, attempt_count)


def uncounted_delay(
    attempt_count: int, *, retry_after: timedelta | None = None
) -> timedelta:
    """The delay after a send that costs no attempt, and no less than the provider asks for (up to `MAX_RETRY_AFTER`).

    `attempt_count` is that of the sends which did, so it is the same each time.
    """
    return max(
        nth(RETRY_DELAYS, attempt_count),
        min(retry_after or timedelta(0), MAX_RETRY_AFTER),
    )


def after_so_long(delays: tuple[timedelta, ...], waited: timedelta) -> timedelta:
    """The delay that follows in a schedule after so long, beyond its end the last one."""
    for delay in delays:
        if waited < delay:
            return delay
        waited -= delay
    return delays[-1]


def nth(delays: tuple[timedelta, ...], count: int) -> timedelta:
    """The delay at that place of a schedule; beyond its end, the last one.

    Raises:
        ValueError: count is negative.
    """
    if count < 0:
        raise ValueError(f"count must be 0 or more, not {count}")
    return delays[min(count, len(delays) - 1)]
