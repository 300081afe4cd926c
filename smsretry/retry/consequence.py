"""What follows from a send: where its row goes. Decides, and does nothing."""

from datetime import timedelta
from typing import Final, assert_never

from smsretry.retry.backoff import ACCOUNT_DELAYS, next_retry_delay, nth, uncounted_delay
from smsretry.retry.decision import AfterSend, Complete, Doubt, GiveUp, Retry
from smsretry.retry.evidence import next_look_delay
from smsretry.retry.models import Claim
from smsretry.retry.outcome import Accepted, InDoubt, NotSent, Outcome, Refusal, Rejected
from smsretry.vocabulary import Reason

MAX_RATE_LIMITS: Final = 20
"""Rate-limited tries that cost no attempt. Each later one counts, so that no text is tried for ever."""


def after_send(claim: Claim, outcome: Outcome, *, first_send: bool = False) -> AfterSend:
    """Where the row goes, given what became of the request.

    Args:
        first_send: whether it is the text's very first send, made by `send_sms`. It does not count as a retry.
    """
    match outcome:
        case Accepted(sid):
            return Complete(sid)
        case InDoubt(why):
            return Doubt(why, look_in=next_look_delay(0))
        case NotSent(why):
            return Retry(uncounted_delay(claim.attempt_count), "twilio_error", why, "unreachable", None, counted=False)
        case Rejected(refusal, retry_after):
            return _after_refusal(claim, refusal, retry_after, first_send)
        case _:
            assert_never(outcome)


def _after_refusal(claim: Claim, refusal: Refusal, retry_after: timedelta | None, first_send: bool) -> AfterSend:
    if not refusal.retryable:
        return GiveUp(refusal.text, refusal.why_code, refusal.code, refusal.kind == "opted_out", refusal.phone_status)
    reason: Reason = "rate_limit" if refusal.kind == "rate_limit" else "twilio_error"
    patience = reason != "rate_limit" or claim.rate_limit_count < MAX_RATE_LIMITS
    if refusal.kind in ("account", "day_spent"):
        delay = nth(ACCOUNT_DELAYS, claim.account_refusal_count)
        return Retry(delay, reason, refusal.text, refusal.why_code, refusal.code, counted=False, account_refused=True)
    if refusal.kind != "transient" and patience:
        # The provider took no message, for a reason that is not this text's: no send was made.
        delay = uncounted_delay(claim.attempt_count, retry_after=retry_after)
        return Retry(delay, reason, refusal.text, refusal.why_code, refusal.code, counted=False)
    attempts = claim.attempt_count if first_send else claim.attempt_count + 1
    if attempts >= claim.max_attempts:
        return GiveUp(f"Gave up after {attempts} attempts; the last: {refusal.text}", "attempts_used_up", refusal.code)
    return Retry(next_retry_delay(attempts), reason, refusal.text, refusal.why_code, refusal.code, counted=True)
