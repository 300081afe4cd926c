"""What a decision about a row came to, once the queue has answered. Here and nowhere else."""

from datetime import datetime
from typing import Final, assert_never

from smsretry.retry.decision import (
    AfterLook,
    AfterSend,
    Arrived,
    Complete,
    Defer,
    Doubt,
    End,
    GiveBack,
    GiveUp,
    Hold,
    LookAgain,
    PutOff,
    Resend,
    Retry,
    Settle,
)
from smsretry.retry.models import Claim, Finished, ItemResult
from smsretry.vocabulary import Fate

_LOST: Final = "The claim was lost: another worker has the row, nothing was changed"


def put_off(claim: Claim, decision: PutOff, *, held: bool) -> ItemResult:
    """Of a decision before any send. `held`: the claim still was ours."""
    if not held:
        return lost(claim)
    match decision:
        case Defer(until, _, why):
            return _item(claim, "Deferred", why, next_at=until)
        case Hold(why, look_in):
            return _item(claim, "Held", why, next_at=claim.claimed_at + look_in)
        case GiveBack(why):
            return _item(claim, "GivenBack", why)
        case End(status, why):
            return _item(claim, "Failed" if status == "failed" else "Cancelled", why)
        case _:
            assert_never(decision)


def arrived(claim: Claim, decision: Arrived, *, held: bool) -> ItemResult:
    """Of a text that was to be sent again and turned out to be on the phone. `held`: the claim still was ours."""
    if not held:
        return lost(claim)
    return _item(claim, "Sent", f"Arrived after all, as {decision.sid}: it is not sent again")


def ended(claim: Claim, why: str | None) -> ItemResult:
    """Of a row that turned out to be finished, or no longer wanted, when its send was to begin."""
    return _item(claim, "Cancelled", why or "")


def not_begun(claim: Claim, why: str | None, *, at: datetime) -> ItemResult:
    """Of a send that its claim may no longer begin. `why`: it is in doubt from now on, about an earlier send."""
    return _item(claim, "InDoubt", why, next_at=at) if why else lost(claim)


def sent(claim: Claim, decision: AfterSend, done: Finished) -> ItemResult:
    """Of a decision after a send."""
    if not done.applied:
        return lost(claim)
    match decision:
        case Complete(sid):
            return _item(claim, "Sent", f"Accepted as {sid}")
        case Retry(_, _, why, code):
            return _item(claim, "RetryScheduled", why, code, done.scheduled_for)
        case GiveUp(why, code):
            return _item(claim, "Failed", why, code)
        case Doubt() if done.status == "completed":  # the provider's report came before its answer was given up
            return _item(claim, "Sent", "Reported to the status callback")
        case Doubt(why):
            return _item(claim, "InDoubt", why, next_at=done.scheduled_for)
        case _:
            assert_never(decision)


def looked(claim: Claim, decision: AfterLook) -> ItemResult:
    """Of a decision about a text in doubt that was recorded."""
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


def lost(claim: Claim) -> ItemResult:
    """Of a claim that another worker has by now."""
    return _item(claim, "Lost", _LOST)


def _item(
    claim: Claim, fate: Fate, detail: str, code: int | None = None, next_at: datetime | None = None
) -> ItemResult:
    return ItemResult(retry_id=claim.id, fate=fate, detail=detail, code=code, next_at=next_at)
