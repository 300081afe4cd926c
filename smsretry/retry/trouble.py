"""Where a text waits for trouble that is none of its own: a lock, the database, its business's other texts."""

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
"""What another transaction holds locked is tried again after this."""
UNASKED_DELAY: Final = timedelta(seconds=30)
"""A text about which the database cannot be asked is due again at the next run, but behind those that were due."""
SUSPECTED_DELAY: Final = timedelta(minutes=1)
"""A text whose business's texts come to nothing is due again after this at the earliest: at the next run."""


def busy(at: datetime) -> Defer:
    """Where a text waits whose customer another transaction holds locked. It costs nobody else anything."""
    return Defer(at + BUSY_DELAY, None, "Another transaction holds the customer locked", "customer_locked", ages=True)


def unasked(at: datetime, why: str) -> Defer:
    """Where a text waits about which the database could not be asked. If it is to blame, it holds up no other."""
    return Defer(at + UNASKED_DELAY, None, why, "database_trouble", ages=True)


def too_late(seconds: float) -> tuple[NotSent, Retry]:
    """What becomes of a send that may go, by an answer that took too long: another worker may have the row by now.

    The database was slow, or this process was stopped meanwhile: from here both look the same. Nothing left either way.
    """
    why = (
        f"It took {seconds:.0f} s to learn that it may go, and after {SEND_WITHIN_SECONDS:.0f} s that is not sure. "
        "The database was slow, or this process was stopped meanwhile"
    )
    return NotSent(why), Retry(UNASKED_DELAY, None, why, "database_trouble", None, counted=False)


def suspected(claim: Claim, why: str, why_code: WhyCode = "business_trouble") -> Defer:
    """Where a text waits whose business's texts come to nothing: the longer they do, the longer, one after the other.

    Some are due at each run, so that one of them can be tried.
    """
    first = claim.claimed_at + SUSPECTED_DELAY
    lasts = claim.claimed_at - (claim.business_circuit_opened_at or claim.claimed_at)
    over = min(lasts, HELD_LOOK - SUSPECTED_DELAY)
    until = spread(first, key=claim.id, over=over, closes_at=first + over)
    return Defer(until, None, why, why_code, ages=True)
