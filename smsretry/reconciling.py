"""What becomes of a text in doubt: evidence is looked for, and never is it simply sent again."""

from datetime import datetime
from typing import Final, assert_never

from smsretry.ports import RetryQueue, Sender
from smsretry.retry import policy
from smsretry.retry.backoff import next_retry_delay
from smsretry.retry.decision import AfterLook, Hold, LookAgain, Resend, Settle
from smsretry.retry.evidence import earliest_creation
from smsretry.retry.models import Claim, ItemResult, Sighting
from smsretry.retry.profile import Profile
from smsretry.words import Fate

LOST: Final = "The claim was lost: another worker has the row, nothing was changed"
_UNANSWERED: Final = "A send to the same number has no answer yet: what was found may be that one's"


def reconcile(claim: Claim, *, queue: RetryQueue, sender: Sender, profile: Profile) -> ItemResult:
    """Look for evidence of what became of a text in doubt: in the database first, then in Twilio's list."""
    decision: AfterLook | None = policy.known_evidence(claim)
    sightings: list[Sighting] | None = None
    if decision is None:
        since = earliest_creation(claim.attempt_begun_at or claim.claimed_at)
        sightings = sender.look_up(claim.phone or "", since=since)
    taken, trouble = frozenset[str](), "Twilio's list could not be had"
    while True:
        decision = decision or policy.after_look(claim, sightings, at=claim.claimed_at, profile=profile, taken=taken)
        match decision:
            case Settle(sid, by):
                answer = queue.reconcile(claim, verdict="accepted", sid=sid, settled_by=by)
                if answer == "sid_taken":
                    # A message of another attempt. In the text's own send log it still says that the text went out.
                    decision, taken = Settle(None, by) if by == "callback" else None, taken | {sid or ""}
                    continue
                if answer == "wait":
                    decision, trouble = LookAgain(next_retry_delay(claim.reconcile_count), failed=True), _UNANSWERED
                    continue
                result = _result(claim, "Sent", f"Found at Twilio as {sid}" if sid else "Marked as sent")
            case LookAgain(after, failed):
                answer = queue.reconcile(claim, verdict="look_failed" if failed else "look_again", look_in=after)
                why = trouble if failed else "No evidence yet"
                result = _result(claim, "InDoubt", why, next_at=claim.claimed_at + after)
            case Resend():
                answer = queue.reconcile(claim, verdict="resend")
                result = _result(claim, "RetryScheduled", "It did not go out", next_at=claim.claimed_at)
            case Hold(why):
                answer = queue.reconcile(claim, verdict="hold", error=why)
                result = _result(claim, "Failed", why)
            case _:
                assert_never(decision)
        return result if answer == "applied" else _result(claim, "Lost", LOST)


def _result(claim: Claim, fate: Fate, detail: str, next_at: datetime | None = None) -> ItemResult:
    return ItemResult(retry_id=claim.id, fate=fate, detail=detail, next_at=next_at)
