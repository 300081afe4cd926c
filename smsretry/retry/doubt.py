"""What to do with a text in doubt, given what is known of it. Decides, and does nothing.

A text that is to be sent again is due at once, and `before` checks it like any other: it fails if no attempt is left,
and is cancelled if it has expired. A hold past its expiry fails it (`reconcile_sms_retry`).
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from smsretry.retry.backoff import nth
from smsretry.retry.decision import AfterLook, Complete, Hold, LookAgain, Retry
from smsretry.retry.evidence import find
from smsretry.retry.models import Claim, Look
from smsretry.retry.profile import DEFAULT, Profile
from smsretry.vocabulary import SettledBy, WhyCode

MIN_LOOKS: Final = 3
"""Looks that must have found nothing before a text may be sent again."""
LOOK_DELAYS: Final = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15))
"""Before the first look, the second, the third; the last repeats."""
MIN_QUARANTINE: Final = timedelta(minutes=15)
"""How long a text must have been in doubt before it may be sent again, however early its looks were made."""
LIST_MISSED: Final = timedelta(hours=1)
"""How long the list may have been out of reach before a person is told."""
_LOOK_YOURSELF: Final = "Look in the provider's log, then `smsretry texts resolve`"
AMBIGUOUS: Final = (
    "In doubt: messages to the number may be this text, though not all of their words or of their time is as it should "
    "be. Say with `smsretry texts resolve` which of them it is, or that none is"
)
"""The sentence for the person who must decide. The queue adds the messages, except those that are another's."""


def next_look_delay(looks: int) -> timedelta:
    """The delay before the next look, after this many looks that found nothing."""
    return nth(LOOK_DELAYS, looks)


def known_evidence(claim: Claim) -> list[AfterLook]:
    """What the database itself knows of a text in doubt: the application's webhook may have been there first.

    `begin` refuses a text whose send log says that it was sent, so what the log says now came later. If the SID turns
    out to be another text's, the log still says that this one went out.
    """
    marked = Complete(
        "Marked as sent",
        sid=None,
        by="callback",
    )
    if claim.known_sid:
        return [_complete_by(claim.known_sid, "callback"), marked]
    return [marked] if claim.log_says_sent else []


def after_look(
    claim: Claim,
    look: Look | None,
    *,
    at: datetime,
    profile: Profile = DEFAULT,
    denied: str | None = None,
) -> Iterator[AfterLook]:
    """What follows from the provider's list for a text in doubt: decisions, the best-founded first.

    A message belongs to one attempt, and only the queue knows which. So it may refuse a decision that takes a message
    for this text's. The first that it accepts counts. The last names no message, and is always accepted.

    Args:
        look: the recent messages to the number it was sent to; None when the list could not be read.
        denied: why it cannot be asked for here, and what to do; None: it was asked for.
    """
    if denied:
        why = f"In doubt, and it cannot be looked for. {denied}. {_LOOK_YOURSELF}"
        yield Hold(why, "list_unavailable")
        return
    if look is None or look.unread or claim.attempt is None:
        yield _without_list(claim, at, look.unread if look else None)
        return
    since = claim.in_doubt_since or at
    matches = find(look, claim.attempt, doubted_at=since)
    for sid in matches.ours:
        yield _complete_by(sid, "reconcile")
    if matches.ambiguous:
        yield Hold(AMBIGUOUS, "ambiguous", ambiguous=matches.ambiguous)
    if look.lacks:
        why = f"In doubt: the provider's list {look.lacks}, so that it proves no absence. {_LOOK_YOURSELF}"
        yield Hold(why, "list_unavailable")
    else:
        yield _without_evidence(claim, at - since, profile)


def look_failed(claim: Claim, why: str, why_code: WhyCode) -> LookAgain:
    """A look that could not be made proves no absence. It is made again, and does not count."""
    return LookAgain(
        why,
        why_code,
        due_in=next_look_delay(claim.reconcile_count),
        look_failed=True,
    )


def _complete_by(sid: str, by: SettledBy) -> Complete:
    return Complete(
        f"Found in the provider's records as {sid}",
        sid=sid,
        by=by,
    )


def _without_list(claim: Claim, at: datetime, problem: str | None) -> AfterLook:
    why = "In doubt: what was sent is not on record"
    if claim.attempt:
        why = "In doubt: the provider's list of messages cannot be read"
    if problem:
        why += f": {problem}"
    if at - (claim.in_doubt_since or at) >= LIST_MISSED:
        return Hold(f"{why}. {_LOOK_YOURSELF}", "list_unavailable")
    return look_failed(claim, why, "list_unavailable")


def _without_evidence(
    claim: Claim, in_doubt_for: timedelta, profile: Profile
) -> AfterLook:
    looks = claim.reconcile_count + 1
    # A clock that was set back does not tell how long it is. Then the looks decide, each of which waited its time.
    clock_was_set_back = in_doubt_for < timedelta(0)
    is_too_soon = in_doubt_for < MIN_QUARANTINE and not clock_was_set_back
    if looks < MIN_LOOKS or is_too_soon:
        return LookAgain(
            "No evidence yet", "no_evidence", due_in=next_look_delay(looks)
        )
    if profile.in_doubt == "resend":
        return Retry(
            "No evidence that it went out",
            "no_evidence",
            due_in=timedelta(0),
            reason=None,
        )
    why = f"In doubt: no evidence after {looks} looks. {_LOOK_YOURSELF}"
    return Hold(why, "no_evidence")
