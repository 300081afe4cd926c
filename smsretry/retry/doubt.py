"""What to do with a text in doubt, given what is known of it. Decides, and does nothing."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, Literal

from smsretry.retry.backoff import next_look_delay
from smsretry.retry.decision import AfterLook, Complete, Hold, LookAgain, Retry
from smsretry.retry.evidence import find
from smsretry.retry.models import Claim, Look
from smsretry.retry.profile import DEFAULT, Profile
from smsretry.vocabulary import WhyCode

MIN_LOOKS: Final = 3
"""Looks that must have found nothing before a text may be sent again."""
MIN_QUARANTINE: Final = timedelta(minutes=15)
"""How long a text must have been in doubt before it may be sent again."""
_LIST_MISSED: Final = timedelta(hours=1)
"""How long the list may have been out of reach before a person is told."""
_LOOK_YOURSELF: Final = "Look in the provider's log, then `smsretry texts resolve`"
AMBIGUOUS: Final = (
    "In doubt: messages to the number may be this text, though not all of their words or of their time is as it should "
    "be. Say with `smsretry texts resolve` which of them it is, or that none is"
)
"""The sentence for the person who must decide. The queue adds the messages, except those that are another's."""


def known_evidence(claim: Claim) -> list[AfterLook]:
    """What the database itself knows of a text in doubt: the application's webhook may have been there first.

    `begin` refuses a text whose send log says that it was sent, so what the log says now came later. If the SID turns
    out to be another text's, the log still says that this one went out.
    """
    marked = Complete("Marked as sent", sid=None, by="callback")
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
    """What the provider's list says of a text in doubt: each message that may be its own, and what to do if none is.

    A message belongs to one attempt, and only the queue knows which. The first decision that the queue accepts counts,
    and it never refuses the last.

    Args:
        look: the recent messages to the number it was sent to; None when the list could not be had.
        denied: why it cannot be asked for here, and what to do; None: it was asked for.
    """
    if denied:
        detail = f"In doubt, and it cannot be looked for. {denied}. {_LOOK_YOURSELF}"
        yield Hold(detail, "list_unavailable")
        return
    if look is None:
        yield _without_list(claim, at)
        return
    since = claim.in_doubt_since or at
    matches = find(look, claim)
    for sid in matches.ours:
        yield _complete_by(sid, "reconcile")
    if matches.ambiguous:
        yield Hold(AMBIGUOUS, "ambiguous", ambiguous=matches.ambiguous)
    if look.lacks:
        detail = f"In doubt: the provider's list {look.lacks}, so that it proves no absence. {_LOOK_YOURSELF}"
        yield Hold(detail, "list_unavailable")
    else:
        yield _without_evidence(claim, at - since, profile)


def look_failed(claim: Claim, detail: str, why_code: WhyCode) -> LookAgain:
    """A look that could not be made proves no absence. It is made again, and does not count."""
    return LookAgain(
        detail, why_code, due_in=next_look_delay(claim.reconcile_count), failed=True
    )


def _complete_by(sid: str, by: Literal["callback", "reconcile"]) -> Complete:
    return Complete(f"Found in the provider's records as {sid}", sid=sid, by=by)


def _without_list(claim: Claim, at: datetime) -> AfterLook:
    detail = (
        "The provider's list could not be had"
        if claim.sent_to
        else "What was sent is not on record"
    )
    if at - (claim.in_doubt_since or at) >= _LIST_MISSED:
        detail = f"In doubt: {detail[0].lower()}{detail[1:]}. {_LOOK_YOURSELF}"
        return Hold(detail, "list_unavailable")
    return look_failed(claim, detail, "list_unavailable")


def _without_evidence(
    claim: Claim, in_doubt_for: timedelta, profile: Profile
) -> AfterLook:
    looks = claim.reconcile_count + 1
    # If the clock was set back, it cannot tell how long that is: then the looks decide, each of which waited its time.
    too_soon = timedelta(0) <= in_doubt_for < MIN_QUARANTINE
    if looks < MIN_LOOKS or too_soon:
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
    detail = f"In doubt: no evidence after {looks} looks. {_LOOK_YOURSELF}"
    return Hold(detail, "no_evidence")
