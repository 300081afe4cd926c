"""What to do with a claimed row before its send and after it. Decides, and does nothing."""

from datetime import datetime
from typing import assert_never

from smsretry.backoff import next_retry_delay
from smsretry.decision import AfterSend, BeforeSend, Complete, Defer, Doubt, End, GiveUp, Retry, Send
from smsretry.models import Claim, Reason
from smsretry.outcome import Accepted, InDoubt, NotSent, Outcome, Rejected
from smsretry.phone import phone_problem
from smsretry.quiet_hours import check_quiet_hours
from smsretry.twilio_errors import twilio_error


def before_send(claim: Claim, *, at: datetime) -> BeforeSend:
    """May this text go out at `at`? Consent is not asked here: `begin` reads it in the transaction that counts."""
    if problem := _problem(claim):
        return End("failed", problem)
    if claim.expires_at <= at:
        return End("cancelled", "Expired before it could be sent")
    check = check_quiet_hours(claim.timezone, at=at, fallback=claim.business_timezone)
    if check.can_send and check.closes_at is not None:
        return Send(check.closes_at, check.rule)
    if check.next_send_at is None:
        return End("failed", f"No permitted hour within eight days: {check.rule}")
    return Defer(check.next_send_at, "quiet_hours", f"Quiet hours: {check.rule}")


def _problem(claim: Claim) -> str | None:
    if not claim.send_log_found:
        return "Send log not found"
    if not claim.customer_found:
        return "Customer not found"
    if not claim.phone:
        return "Customer has no phone number"
    if problem := phone_problem(claim.phone):
        return problem
    if not (claim.body or "").strip():
        return "Text is empty: send_logs.subject holds no body"
    if claim.attempt_count >= claim.max_attempts:
        return f"Gave up after {claim.attempt_count} attempts"
    return None


def after_send(claim: Claim, outcome: Outcome, *, first_send: bool = False) -> AfterSend:
    """Where the row goes, given what became of the request.

    Args:
        first_send: the text's very first send, made by `send_sms`; it is not one of the retries that are capped.
    """
    match outcome:
        case Accepted(sid):
            return Complete(sid)
        case InDoubt(why):
            return Doubt(why)
        case NotSent(why):
            return Retry(next_retry_delay(claim.attempt_count), "twilio_error", why, None, counted=False)
        case Rejected(code, http_status):
            return _after_rejection(claim, code, http_status, first_send)
        case _:
            assert_never(outcome)


def _after_rejection(claim: Claim, code: int, http_status: int, first_send: bool) -> AfterSend:
    error = twilio_error(code, http_status)
    if not error.retryable:
        return GiveUp(str(error), code)
    reason: Reason = "rate_limit" if error.error_class == "rate_limit" else "twilio_error"
    if error.error_class != "transient":
        # Twilio took no message, for a reason that is not this text's: no send was made.
        return Retry(next_retry_delay(claim.attempt_count), reason, str(error), code, counted=False)
    attempts = claim.attempt_count if first_send else claim.attempt_count + 1
    if attempts >= claim.max_attempts:
        return GiveUp(f"Gave up after {attempts} attempts; the last: {error}", code)
    return Retry(next_retry_delay(attempts), reason, str(error), code, counted=True)
