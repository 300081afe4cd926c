"""What to do with a text in doubt, given what is known of it. Decides, and does nothing."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from smsretry.retry.decision import AfterLook, Hold, LookAgain, Resend, Settle
from smsretry.retry.evidence import CLOCK_TOLERANCE, MIN_LOOKS, MIN_QUARANTINE, ambiguous_why, find, next_look_delay
from smsretry.retry.models import Claim, Look
from smsretry.retry.profile import DEFAULT, Profile

DOUBT_HELD_LOOK: Final = timedelta(hours=1)
"""How often a text in doubt that a person must decide about is looked at again."""
_LISTED: Final = timedelta(hours=2)
"""What came into doubt so long ago is listed, if it went out: what is left of its looks is made soon. So a planned text
that a restored backup has forgotten goes out on time, or nearly."""
_CLOCK_WAS_WRONG: Final = (
    "In doubt: the database's clock was set back since the send began, so nobody knows when that was. Look in the "
    "provider's log, then `smsretry resolve`"
)


def known_evidence(claim: Claim) -> list[AfterLook]:
    """What the database itself knows of a text in doubt: the application's webhook may have been there first.

    `begin` refuses a text whose send log says that it was sent, so what the log says now came after it. When the SID
    turns out to be another text's, the log still says that this one went out.
    """
    if claim.known_sid:
        return [Settle(claim.known_sid, "callback"), Settle(None, "callback")]
    return [Settle(None, "callback")] if claim.log_says_sent else []


def after_look(claim: Claim, look: Look | None, *, at: datetime, profile: Profile = DEFAULT) -> Iterator[AfterLook]:
    """What the provider's list says of a text in doubt: each message that may be its own, and what to do if none is.

    A message belongs to one attempt, and only the queue knows to which. The first decision that the queue takes holds;
    it never refuses the last.

    Args:
        look: the recent messages to the number it was sent to; None when the list could not be had.
    """
    if look is None:
        yield _without_list(claim, at)
        return
    since = claim.in_doubt_since or at
    if claim.attempt_begun_at and claim.attempt_begun_at > since + CLOCK_TOLERANCE:
        yield Hold(_CLOCK_WAS_WRONG, DOUBT_HELD_LOOK)
        return
    found = find(
        look,
        phone=claim.sent_to or "",
        body=claim.sent_body or "",
        begun_at=claim.attempt_begun_at or since,
        in_doubt_since=since,
    )
    for sid in found.ours:
        yield Settle(sid, "reconcile")
    if found.ambiguous:
        yield Hold(ambiguous_why(found.ambiguous), DOUBT_HELD_LOOK, found.ambiguous)
    yield _without_evidence(claim, at - since, profile)


def _without_list(claim: Claim, at: datetime) -> AfterLook:
    if claim.expires_at and claim.expires_at <= at:
        why = "In doubt: the provider's list could not be had. Look in its log, then `smsretry resolve`"
        return Hold(why, DOUBT_HELD_LOOK)
    return look_failed(claim, "The provider's list could not be had")


def look_failed(claim: Claim, why: str) -> LookAgain:
    """A look that could not be made is no absence: it is made again, and does not count."""
    return LookAgain(next_look_delay(claim.reconcile_count), failed=True, why=why)


def _without_evidence(claim: Claim, in_doubt_for: timedelta, profile: Profile) -> AfterLook:
    looks = claim.reconcile_count + 1
    if looks < MIN_LOOKS or in_doubt_for < MIN_QUARANTINE:
        wait = next_look_delay(looks if in_doubt_for < _LISTED else 0)
        return LookAgain(wait, failed=False, why="No evidence yet")
    if profile.in_doubt == "resend":
        return Resend()
    why = f"In doubt: no evidence after {looks} looks. Look in the provider's log, then `smsretry resolve`"
    return Hold(why, DOUBT_HELD_LOOK)
