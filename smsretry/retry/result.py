"""How a decision becomes the result of a row, once the queue has answered. Only this module makes results of them."""

from datetime import datetime
from typing import Final, TypeAlias, assert_never

from smsretry.retry.answers import Begun, Finished
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
from smsretry.retry.models import Claim, ItemResult
from smsretry.vocabulary import Fate

_Explained: TypeAlias = PutOff | Retry | GiveUp | Doubt | LookAgain | Resend

_LOST: Final = "The claim was lost: another worker has the row, nothing was changed"


def put_off(claim: Claim, decision: PutOff, *, held: bool) -> ItemResult:
    """The result of a decision before any send. `held`: the claim was still ours."""
    if not held:
        return lost(claim)
    match decision:
        case Defer():
            return _item(claim, "Deferred", decision, next_at=decision.until)
        case Hold():
            return _item(claim, "Held", decision, next_at=claim.claimed_at + decision.look_in)
        case GiveBack():
            return _item(claim, "GivenBack", decision)
        case End():
            return _item(claim, "Failed" if decision.status == "failed" else "Cancelled", decision)
        case _:
            assert_never(decision)


def arrived(claim: Claim, decision: Arrived, *, held: bool) -> ItemResult:
    """The result of a text to be sent again that turned out to have arrived. `held`: the claim was still ours."""
    if not held:
        return lost(claim)
    return _sent(claim, f"Arrived after all, as {decision.sid}: it is not sent again")


def ended(claim: Claim, begun: Begun) -> ItemResult:
    """The result of a row that was finished, or no longer wanted, when its send was to begin."""
    return ItemResult(retry_id=claim.id, fate="Cancelled", detail=begun.why or "", why_code=begun.why_code)


def held_back(claim: Claim, begun: Begun) -> ItemResult:
    """The result of a send that waits because worker and database disagree about whom to text."""
    why, code = begun.why or "", begun.why_code
    return ItemResult(retry_id=claim.id, fate="Held", detail=why, why_code=code, next_at=begun.reached_at)


def not_begun(claim: Claim, begun: Begun) -> ItemResult:
    """The result of a send that its claim may not begin. With a `why` it is now in doubt about an earlier send."""
    if not begun.why:
        return lost(claim)
    values = {"detail": begun.why, "why_code": begun.why_code or "in_doubt", "next_at": begun.decided_at}
    return ItemResult(retry_id=claim.id, fate="InDoubt", **values)


def sent(claim: Claim, decision: AfterSend, done: Finished) -> ItemResult:
    """The result of a decision after a send."""
    if not done.applied:
        return lost(claim)
    match decision:
        case Complete(sid):
            return _sent(claim, f"Accepted as {sid}")
        case Retry():
            return _item(claim, "RetryScheduled", decision, decision.code, done.scheduled_for)
        case GiveUp():
            return _item(claim, "Failed", decision, decision.code)
        case Doubt() if done.status == "completed":  # the provider's report came before its answer was given up
            return _sent(claim, "Reported to the status callback")
        case Doubt():
            return _item(claim, "InDoubt", decision, next_at=done.scheduled_for)
        case _:
            assert_never(decision)


def looked(claim: Claim, decision: AfterLook) -> ItemResult:
    """The result of a recorded decision about a text in doubt."""
    match decision:
        case Settle(sid):
            return _sent(claim, f"Found in the provider's records as {sid}" if sid else "Marked as sent")
        case LookAgain():
            return _item(claim, "InDoubt", decision, next_at=claim.claimed_at + decision.after)
        case Resend():
            return _item(claim, "RetryScheduled", decision, next_at=claim.claimed_at)
        case Hold() if claim.expires_at and claim.expires_at <= claim.claimed_at:
            return _item(claim, "Failed", decision)  # nobody decided in its lifetime
        case Hold():
            return _item(claim, "Held", decision, next_at=claim.claimed_at + decision.look_in)
        case _:
            assert_never(decision)


def lost(claim: Claim) -> ItemResult:
    """The result of a claim that another worker has by now."""
    return ItemResult(retry_id=claim.id, fate="Lost", detail=_LOST, why_code="claim_lost")


def _sent(claim: Claim, detail: str) -> ItemResult:
    return ItemResult(retry_id=claim.id, fate="Sent", detail=detail)


def _item(
    claim: Claim, fate: Fate, decision: _Explained, code: int | None = None, next_at: datetime | None = None
) -> ItemResult:
    return ItemResult(
        retry_id=claim.id, fate=fate, detail=decision.why, code=code, next_at=next_at, why_code=decision.why_code
    )
