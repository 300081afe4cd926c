"""What becomes of a text in doubt: we look for evidence, and never simply resend."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final, assert_never

from smsretry.ports import RetryQueue, Sender
from smsretry.retry import doubt
from smsretry.retry.decision import AfterLook, Hold, LookAgain, Resend, Settle
from smsretry.retry.evidence import earliest_creation
from smsretry.retry.models import Claim, ItemResult
from smsretry.retry.profile import Profile
from smsretry.words import Fate

LOST: Final = "The claim was lost: another worker has the row, nothing was changed"
_UNANSWERED: Final = "A send to the same number has no answer yet: what was found may be that one's"


def reconcile(claim: Claim, *, queue: RetryQueue, sender: Sender, profile: Profile) -> ItemResult:
    """Look for evidence of what became of a text in doubt: in the database first, then in the provider's list."""
    for decision in _decisions(claim, sender, profile):
        answer = queue.reconcile(claim, decision)
        if answer != "sid_taken":
            break
    if answer == "wait":
        decision = doubt.look_failed(claim, _UNANSWERED)
        answer = queue.reconcile(claim, decision)
    return _result(claim, decision) if answer == "applied" else _item(claim, "Lost", LOST)


def _decisions(claim: Claim, sender: Sender, profile: Profile) -> Iterator[AfterLook]:
    """From the best evidence to none. The list is asked for only when the database knows nothing."""
    known = doubt.known_evidence(claim)
    if known:
        yield from known
        return
    look = None
    if claim.sent_to and claim.attempt_begun_at:
        since = earliest_creation(claim.attempt_begun_at)
        look = sender.look_up(claim.sent_to, sent_by=claim.sent_by, since=since, at=claim.claimed_at)
    yield from doubt.after_look(claim, look, at=claim.claimed_at, profile=profile)


def _result(claim: Claim, decision: AfterLook) -> ItemResult:
    match decision:
        case Settle(sid):
            return _item(claim, "Sent", f"Found in the provider's records as {sid}" if sid else "Marked as sent")
        case LookAgain(after, _, why):
            return _item(claim, "InDoubt", why, next_at=claim.claimed_at + after)
        case Resend():
            return _item(claim, "RetryScheduled", "No evidence that it went out", next_at=claim.claimed_at)
        case Hold(why) if claim.expires_at and claim.expires_at <= claim.claimed_at:
            return _item(claim, "Failed", why)  # nobody decided in its lifetime
        case Hold(why, look_in):
            return _item(claim, "Held", why, next_at=claim.claimed_at + look_in)
        case _:
            assert_never(decision)


def _item(claim: Claim, fate: Fate, detail: str, next_at: datetime | None = None) -> ItemResult:
    return ItemResult(retry_id=claim.id, fate=fate, detail=detail, next_at=next_at)
