"""What to do with a text in doubt, given what is known of it. Decides, and does nothing."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, assert_never

from smsretry.phone import e164
from smsretry.retry.decision import AfterLook, Hold, LookAgain, Resend, Settle
from smsretry.retry.evidence import (
    AMBIGUOUS,
    CLOCK_TOLERANCE,
    LOOK_DELAYS,
    MIN_LOOKS,
    MIN_QUARANTINE,
    Sent,
    find,
    next_look_delay,
)
from smsretry.retry.models import Claim, Look
from smsretry.retry.profile import DEFAULT, Profile
from smsretry.vocabulary import WhyCode

DOUBT_HELD_LOOK: Final = timedelta(hours=1)
"""How often a text in doubt that a person must decide about is looked at again."""
_LISTED: Final = timedelta(hours=2)
"""A text in doubt for this long is listed if it went out, so its remaining looks come soon. A planned text that a
restored backup has forgotten then goes out nearly on time."""
_LIST_MISSED: Final = timedelta(hours=1)
"""How long the list may have been out of reach before a person is told."""
_LOOK_YOURSELF: Final = "Look in the provider's log, then `smsretry resolve`"
_CLOCK_WAS_WRONG: Final = (
    f"In doubt: the database's clock was set back since the send began, so nobody knows when that was. {_LOOK_YOURSELF}"
)


def known_evidence(claim: Claim) -> list[AfterLook]:
    """What the database itself knows of a text in doubt: the application's webhook may have been there first.

    `begin` refuses a text whose send log says that it was sent, so what the log says now came later. If the SID turns
    out to be another text's, the log still says that this one went out.
    """
    if claim.known_sid:
        return [Settle(claim.known_sid, "callback"), Settle(None, "callback")]
    return [Settle(None, "callback")] if claim.log_says_sent else []


def after_look(
    claim: Claim, look: Look | None, *, at: datetime, profile: Profile = DEFAULT, denied: str | None = None
) -> Iterator[AfterLook]:
    """What the provider's list says of a text in doubt: each message that may be its own, and what to do if none is.

    A message belongs to one attempt, and only the queue knows which. The first decision that the queue accepts counts,
    and it never refuses the last.

    Args:
        look: the recent messages to the number it was sent to; None when the list could not be had.
        denied: why it cannot be asked for here, and what to do; None: it was asked for.
    """
    if denied:
        why = f"In doubt, and it cannot be looked for. {denied}. Or look in the provider's log, then `smsretry resolve`"
        yield Hold(why, "list_unavailable", LOOK_DELAYS[-1])
        return
    if look is None:
        yield _without_list(claim, at)
        return
    since = claim.in_doubt_since or at
    begun_at = claim.attempt_begun_at or since
    found = find(look, Sent(e164(claim.sent_to or ""), claim.sent_body or "", begun_at, since, claim.other_bodies))
    ambiguous, set_back = found.ambiguous, begun_at > since + CLOCK_TOLERANCE
    if set_back:
        ambiguous = (*found.ours, *ambiguous)
    else:
        for sid in found.ours:
            yield Settle(sid, "reconcile")
    if ambiguous:
        yield Hold(AMBIGUOUS, "ambiguous", DOUBT_HELD_LOOK, ambiguous)
    if set_back:
        yield Hold(_CLOCK_WAS_WRONG, "clock_set_back", DOUBT_HELD_LOOK)
    elif look.lacks:
        why = f"In doubt: the provider's list {look.lacks}, so that it proves no absence. {_LOOK_YOURSELF}"
        yield Hold(why, "list_unavailable", DOUBT_HELD_LOOK)
    else:
        yield _without_evidence(claim, at - since, profile)


def _without_list(claim: Claim, at: datetime) -> AfterLook:
    why = "The provider's list could not be had" if claim.sent_to else "What was sent is not on record"
    missed = at - (claim.in_doubt_since or at) >= _LIST_MISSED
    if missed or (claim.expires_at and claim.expires_at <= at):
        return Hold(f"In doubt: {why[0].lower()}{why[1:]}. {_LOOK_YOURSELF}", "list_unavailable", LOOK_DELAYS[-1])
    return look_failed(claim, why, "list_unavailable")


def look_failed(claim: Claim, why: str, why_code: WhyCode) -> LookAgain:
    """A look that could not be made proves no absence. It is made again, and does not count."""
    return LookAgain(next_look_delay(claim.reconcile_count), failed=True, why=why, why_code=why_code)


def _without_evidence(claim: Claim, in_doubt_for: timedelta, profile: Profile) -> AfterLook:
    looks = claim.reconcile_count + 1
    if looks < MIN_LOOKS or in_doubt_for < MIN_QUARANTINE:
        wait = next_look_delay(looks if in_doubt_for < _LISTED else 0)
        return LookAgain(wait, failed=False, why="No evidence yet", why_code="no_evidence")
    match profile.in_doubt:
        case "resend":
            return Resend()
        case "hold":
            why = f"In doubt: no evidence after {looks} looks. {_LOOK_YOURSELF}"
            return Hold(why, "no_evidence", DOUBT_HELD_LOOK)
        case _:
            assert_never(profile.in_doubt)
