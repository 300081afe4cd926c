"""What to do with a claimed row before its send and after it. Decides, and does nothing."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, assert_never

from smsretry.adapters.twilio.errors import twilio_error
from smsretry.phone import recipient_problem
from smsretry.quiet_hours.check import QuietHoursCheck, check_quiet_hours, spread
from smsretry.quiet_hours.hours import parse_week
from smsretry.retry.backoff import SCHEDULE, next_retry_delay
from smsretry.retry.decision import (
    AfterLook,
    AfterSend,
    BeforeSend,
    Complete,
    Defer,
    Doubt,
    End,
    GiveUp,
    Hold,
    LookAgain,
    Resend,
    Retry,
    Send,
    Settle,
)
from smsretry.retry.evidence import matching_sids
from smsretry.retry.models import Claim, Sighting
from smsretry.retry.outcome import Accepted, InDoubt, NotSent, Outcome, Rejected
from smsretry.retry.profile import DEFAULT, Profile
from smsretry.words import Reason

MIN_LIFE: Final = timedelta(seconds=10)
"""A text with less time left is not sent: a ValidityPeriod should exceed 5 seconds (Twilio's API reference)."""
MAX_RATE_LIMITS: Final = 20
"""Rate-limited tries that cost no attempt; beyond, each counts, so that none goes on for ever."""
MIN_LOOKS: Final = 3
MIN_QUARANTINE: Final = timedelta(minutes=15)
_SENT_STATUSES: Final = frozenset({"sent", "delivered", "undelivered"})
"""What a webhook of the application writes to a send log only after Twilio accepted the text."""


def before_send(claim: Claim, *, at: datetime, profile: Profile = DEFAULT) -> BeforeSend:
    """May this text go out at `at`? Consent is not asked here: `begin` reads it in the transaction that counts."""
    if problem := _problem(claim):
        return End("failed", problem)
    if claim.expires_at <= at + MIN_LIFE:
        return End("cancelled", "Expired before it could be sent")
    try:
        check = _check(claim, at, profile)
    except ValueError as error:
        return End("failed", f"The business's sms_hours cannot be read: {error}")
    if reason := check.refused or check.held:
        return End("failed", reason)
    why = f"Quiet hours: {check.rule}"
    if check.closes_at is None:
        return _wait(claim, at, profile, why)
    valid_until = min(check.closes_at - profile.closing_guard, claim.expires_at)
    if at < valid_until - MIN_LIFE:
        cap = check.window.cap
        return Send(valid_until - MIN_LIFE, valid_until, check.rule, cap.daily_cap if cap else None)
    # The last moments: Twilio would have to let it go before the window closes.
    return _wait(claim, check.closes_at, profile, why)


def after_cap(claim: Claim, *, free_at: datetime, profile: Profile = DEFAULT) -> Defer | End:
    """Where a text waits that would be one too many for its recipient before `free_at`."""
    cap = _check(claim, free_at, profile).window.cap
    return _wait(claim, free_at, profile, cap.cap_text if cap else "Daily cap")


def _wait(claim: Claim, since: datetime, profile: Profile, why: str) -> Defer | End:
    """Until the window is open, from `since` on; among what waits for the same opening, until it is this row's turn."""
    check = _check(claim, since, profile)
    if check.held:
        return End("failed", check.held)
    opening = check.next_send_at or since
    if claim.expires_at <= opening + MIN_LIFE:
        return End("cancelled", f"Expires before it may go out. {why}")
    if check.can_send:
        return Defer(opening, "quiet_hours", why)
    closes_at = _check(claim, opening, profile).closes_at or opening
    last_call = min(closes_at - profile.closing_guard, claim.expires_at) - MIN_LIFE
    until = spread(opening, key=claim.id, over=profile.opening_spread, closes_at=last_call)
    return Defer(until, "quiet_hours", why)


def _check(claim: Claim, at: datetime, profile: Profile) -> QuietHoursCheck:
    return check_quiet_hours(
        claim.timezone,
        at=at,
        phone=claim.phone,
        fallback=claim.business_timezone,
        rules=profile.quiet_hours_rules,
        message_class=claim.message_class,
        own_window=parse_week(claim.business_hours) if claim.business_hours else None,
        stopped_states=frozenset(claim.stopped_states),
    )


def _problem(claim: Claim) -> str | None:
    if not claim.send_log_found:
        return "Send log not found"
    if not claim.customer_found:
        return "Customer not found"
    if not claim.phone:
        return "Customer has no phone number"
    if problem := recipient_problem(claim.phone):
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
        case Rejected():
            return _after_rejection(claim, outcome, first_send)
        case _:
            assert_never(outcome)


def _after_rejection(claim: Claim, outcome: Rejected, first_send: bool) -> AfterSend:
    error = twilio_error(outcome.code, outcome.http_status)
    if not error.retryable:
        return GiveUp(str(error), outcome.code, error.error_class == "opted_out", error.phone_status)
    reason: Reason = "rate_limit" if error.error_class == "rate_limit" else "twilio_error"
    patience = reason != "rate_limit" or claim.rate_limit_count < MAX_RATE_LIMITS
    if error.error_class != "transient" and patience:
        # Twilio took no message, for a reason that is not this text's: no send was made.
        delay = min(max(outcome.retry_after or timedelta(0), next_retry_delay(claim.attempt_count)), SCHEDULE[-1])
        return Retry(delay, reason, str(error), outcome.code, counted=False)
    attempts = claim.attempt_count if first_send else claim.attempt_count + 1
    if attempts >= claim.max_attempts:
        return GiveUp(f"Gave up after {attempts} attempts; the last: {error}", outcome.code)
    return Retry(next_retry_delay(attempts), reason, str(error), outcome.code, counted=True)


def known_evidence(claim: Claim) -> Settle | None:
    """What the database itself knows of a text in doubt: the application's webhook may have been there first."""
    if claim.known_sid:
        return Settle(claim.known_sid, "callback")
    return Settle(None, "callback") if claim.send_log_status in _SENT_STATUSES else None


def after_look(
    claim: Claim,
    sightings: Sequence[Sighting] | None,
    *,
    at: datetime,
    profile: Profile = DEFAULT,
    taken: frozenset[str] = frozenset(),
) -> AfterLook:
    """What Twilio's list says of a text in doubt.

    Args:
        sightings: the recent messages to its number; None when the list could not be had.
        taken: SIDs that other attempts own.
    """
    if sightings is None and claim.expires_at <= at:
        return Hold(
            "In doubt: Twilio's list could not be had until the text expired; look in Twilio's log, then decide"
        )
    if sightings is None:
        return LookAgain(next_retry_delay(claim.reconcile_count), failed=True)
    since = claim.in_doubt_since or at
    sids = matching_sids(
        sightings,
        phone=claim.phone or "",
        body=claim.body or "",
        begun_at=claim.attempt_begun_at or since,
        in_doubt_since=since,
    )
    if found := next((sid for sid in sids if sid not in taken), None):
        return Settle(found, "reconcile")
    if claim.reconcile_count + 1 < MIN_LOOKS or at - since < MIN_QUARANTINE:
        return LookAgain(next_retry_delay(claim.reconcile_count + 1), failed=False)
    if profile.in_doubt == "resend":
        return Resend()
    return Hold(f"In doubt: no evidence after {claim.reconcile_count + 1} looks; look in Twilio's log, then decide")
