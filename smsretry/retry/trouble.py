"""How a text waits for trouble that is not its own: a lock, the database, its business's other texts."""

from datetime import datetime, timedelta
from typing import Final

from smsretry.quiet_hours.check import spread
from smsretry.retry.decision import Defer, Retry
from smsretry.retry.models import Claim
from smsretry.retry.outcome import NotSent
from smsretry.retry.policy import HELD_LOOK
from smsretry.retry.profile import SEND_WITHIN_SECONDS
from smsretry.vocabulary import WhyCode

BUSY_DELAY: Final = timedelta(minutes=1)
"""How long a text waits for a lock of another transaction."""
UNASKED_DELAY: Final = timedelta(seconds=30)
"""How long a text waits if the database cannot be asked about it: until the next run, behind texts that were due."""
SUSPECTED_DELAY: Final = timedelta(minutes=1)
"""The shortest wait of a text whose business's texts fail: until the next run."""


def busy(at: datetime) -> Defer:
    """Wait while another transaction holds the customer locked. No other text is affected."""
    return Defer(at + BUSY_DELAY, None, "Another transaction holds the customer locked", "customer_locked", ages=True)


def unasked(at: datetime, why: str) -> Defer:
    """Wait if the database could not be asked about a text. If the text is to blame, it delays no other."""
    return Defer(at + UNASKED_DELAY, None, why, "database_trouble", ages=True)


def too_late(seconds: float) -> tuple[NotSent, Retry]:
    """The outcome if the permission to send took too long: another worker may have the row by now.

    The database was slow, or this process was stopped meanwhile; both look the same here. No request left.
    """
    why = (
        f"It took {seconds:.0f} s to learn that it may go, and after {SEND_WITHIN_SECONDS:.0f} s that is not sure. "
        "The database was slow, or this process was stopped meanwhile"
    )
    return NotSent(why), Retry(UNASKED_DELAY, None, why, "database_trouble", None, counted=False)


def suspected(claim: Claim, why: str, why_code: WhyCode = "business_trouble") -> Defer:
    """Wait while the business's texts fail: the longer they fail, the longer, one text after the other.

    Some are due at each run, so that one of them can be tried.
    """
    first = claim.claimed_at + SUSPECTED_DELAY
    lasts = claim.claimed_at - (claim.business_circuit_opened_at or claim.claimed_at)
    over = min(lasts, HELD_LOOK - SUSPECTED_DELAY)
    until = spread(first, key=claim.id, over=over, closes_at=first + over)
    return Defer(until, None, why, why_code, ages=True)
