"""What to do with a claimed row before its send and after it. Decides, and does nothing."""

from datetime import UTC, datetime, timedelta
from typing import Final, assert_never

from smsretry.phone import recipient_problem
from smsretry.quiet_hours.check import QuietHoursCheck, check_quiet_hours, spread
from smsretry.quiet_hours.hours import Week, parse_week
from smsretry.quiet_hours.rules import US_STATES
from smsretry.retry.backoff import ACCOUNT_DELAYS, next_retry_delay, nth, uncounted_delay
from smsretry.retry.decision import (
    AfterSend,
    BeforeSend,
    Cap,
    Complete,
    Defer,
    Doubt,
    End,
    GiveUp,
    Hold,
    PutOff,
    Retry,
    Send,
)
from smsretry.retry.evidence import next_look_delay
from smsretry.retry.models import Claim
from smsretry.retry.outcome import Accepted, InDoubt, NotSent, Outcome, Refusal, Rejected
from smsretry.retry.profile import DEFAULT, SEND_WITHIN_SECONDS, Profile
from smsretry.vocabulary import Reason, WhyCode

MIN_LIFE: Final = timedelta(seconds=10)
"""A text with less time left is not sent: a ValidityPeriod should exceed 5 seconds (Twilio's API reference)."""
MAX_RATE_LIMITS: Final = 20
"""Rate-limited tries that cost no attempt; beyond, each counts, so that none goes on for ever."""
LIFE: Final = timedelta(hours=48)
"""How long a text stays of use, from the first moment it might have gone out, also if nothing ran then. Waiting for an
opening does not count."""
HELD_LOOK: Final = timedelta(minutes=15)
"""How often a held text is looked at again: at the latest so long after the mending it goes on."""
BUSY_DELAY: Final = timedelta(minutes=1)
"""What another transaction holds locked is tried again after this."""
UNASKED_DELAY: Final = timedelta(seconds=30)
"""A text about which the database cannot be asked is due again at the next run, but behind those that were due."""
SUSPECTED_DELAY: Final = timedelta(minutes=1)
"""A text whose business's texts come to nothing is due again after this at the earliest: at the next run."""
CAP_WINDOW: Final = timedelta(hours=24)
"""The time in which a rule's `daily_cap` counts. "24-hour period" (Fla. Stat. 501.616(6)(b))."""


def before_send(claim: Claim, *, at: datetime, profile: Profile = DEFAULT) -> BeforeSend:
    """May this text go out at `at`? Consent is not asked here: `begin` reads it in the transaction that counts."""
    if problem := _problem(claim):
        return End("failed", *problem)
    ends_at = end_of_life(claim, at=at, profile=profile)
    expires_at = claim.expires_at or ends_at or at + LIFE
    if expires_at <= at + MIN_LIFE:
        return End("cancelled", f"Expired before it could be sent{_due(claim)}{_still(claim)}", "expired")
    try:
        _own_window(claim)
    except ValueError as error:
        return Hold(f"The business's sms_hours cannot be read: {error}", "hours_unreadable", HELD_LOOK)
    check = _check(claim, at, profile)
    if check.refused:
        return End("failed", check.refused, "number_invalid")
    if check.held:
        return _hold(check, check.held)
    why = f"Quiet hours: {check.rule}"
    if check.closes_at is None:
        return _wait(claim, check, at, profile, why, "quiet_hours")
    valid_until = min(check.closes_at - profile.closing_guard, expires_at)
    if at < valid_until - MIN_LIFE:
        return Send(valid_until - MIN_LIFE, valid_until, check.rule, _cap(check, at), ends_at)
    # The last moments: the provider would have to let it go before the window closes.
    return _wait(claim, _check(claim, check.closes_at, profile), check.closes_at, profile, why, "quiet_hours")


def end_of_life(claim: Claim, *, at: datetime, profile: Profile = DEFAULT) -> datetime | None:
    """When a text is of no more use that nothing has given an end yet, by the first moment it might have gone out.

    None: it has one; or there was no such moment before `at`.
    """
    due = claim.due_since
    if claim.expires_at or due is None or due >= at:
        return None
    try:
        check = _check(claim, due, profile)
        if check.closes_at and due + MIN_LIFE >= check.closes_at - profile.closing_guard:
            check = _check(claim, check.closes_at, profile)
    except ValueError:  # the hours cannot be read, so none of them kept it
        return due + LIFE
    opening = None if check.refused or check.held or check.can_send else check.next_send_at
    return None if opening and opening > at else (opening or due) + LIFE


def _due(claim: Claim) -> str:
    """Since when a text was due that ends before anything was done with it. To the day, for reasons are counted."""
    if claim.expires_at or claim.due_since is None:
        return ""
    return f": it was due on {claim.due_since.astimezone(UTC):%Y-%m-%d} (UTC)"


def _still(claim: Claim) -> str:
    """What a text waited for to the end of its life, if it was held, or was to be sent again."""
    return f". {claim.why}" if claim.why and (claim.held or claim.lost_sids) else ""


def _cap(check: QuietHoursCheck, at: datetime) -> Cap | None:
    rule = check.window.cap
    return Cap(rule.daily_cap, since=at - CAP_WINDOW) if rule and rule.daily_cap else None


def after_cap(claim: Claim, *, reached_at: datetime, profile: Profile = DEFAULT) -> PutOff:
    """Where a text waits that would be one too many for its recipient.

    Args:
        reached_at: when the text was sent that must fall out of the cap's window before there is room.
    """
    free_at = reached_at + CAP_WINDOW
    check = _check(claim, free_at, profile)
    cap = check.window.cap
    return _wait(claim, check, free_at, profile, cap.cap_text if cap else "Daily cap", "daily_cap")


def busy(at: datetime) -> Defer:
    """Where a text waits whose customer another transaction holds locked. It costs nobody else anything."""
    return Defer(at + BUSY_DELAY, None, "Another transaction holds the customer locked", "customer_locked", ages=True)


def unasked(at: datetime, why: str) -> Defer:
    """Where a text waits about which the database could not be asked. If it is to blame, it holds up no other."""
    return Defer(at + UNASKED_DELAY, None, why, "database_trouble", ages=True)


def too_late(seconds: float) -> tuple[NotSent, Retry]:
    """What becomes of a send that may go, by an answer that took too long: another worker may have the row by now.

    The database was slow, or this process was stopped meanwhile: from here both look the same. Nothing left either way.
    """
    why = (
        f"It took {seconds:.0f} s to learn that it may go, and after {SEND_WITHIN_SECONDS:.0f} s that is not sure. "
        "The database was slow, or this process was stopped meanwhile"
    )
    return NotSent(why), Retry(UNASKED_DELAY, None, why, "database_trouble", None, counted=False)


def suspected(claim: Claim, why: str, why_code: WhyCode = "business_trouble") -> Defer:
    """Where a text waits whose business's texts come to nothing: the longer they do, the longer, one after the other.

    Some are due at each run, so that one of them can be tried.
    """
    first = claim.claimed_at + SUSPECTED_DELAY
    lasts = claim.claimed_at - (claim.business_circuit_opened_at or claim.claimed_at)
    over = min(lasts, HELD_LOOK - SUSPECTED_DELAY)
    until = spread(first, key=claim.id, over=over, closes_at=first + over)
    return Defer(until, None, why, why_code, ages=True)


def _hold(check: QuietHoursCheck, why: str) -> Hold:
    code: WhyCode = "no_time_zone" if not check.zones else "state_stopped" if check.window.stopped else "no_opening"
    return Hold(why, code, HELD_LOOK)


def _wait(
    claim: Claim, check: QuietHoursCheck, since: datetime, profile: Profile, why: str, why_code: WhyCode
) -> Defer | Hold | End:
    """Until the window is open, from `since` on; among what waits for the same opening, until it is this row's turn."""
    if check.held:
        return _hold(check, check.held)
    opening = check.next_send_at or since
    if claim.expires_at and claim.expires_at <= opening + MIN_LIFE:
        return End("cancelled", f"Expires before it may go out. {why}", "expired")
    if check.can_send:
        return Defer(opening, "quiet_hours", why, why_code, check.closes_at)
    closes_at = check.next_closes_at or opening
    last_call = min(closes_at - profile.closing_guard, claim.expires_at or closes_at) - MIN_LIFE
    until = spread(opening, key=claim.id, over=profile.opening_spread, closes_at=last_call)
    return Defer(until, "quiet_hours", why, why_code, check.next_closes_at)


def _check(claim: Claim, at: datetime, profile: Profile) -> QuietHoursCheck:
    return check_quiet_hours(
        claim.timezone,
        at=at,
        phone=claim.phone,
        fallback=claim.business_timezone,
        rules=profile.quiet_hours_rules,
        message_class=claim.message_class,
        own_window=_own_window(claim),
        stopped_states=US_STATES.intersection(claim.stopped_states),  # a stop of no state stops nothing
    )


def _own_window(claim: Claim) -> Week | None:
    return parse_week(claim.business_hours) if claim.business_hours else None


def _problem(claim: Claim) -> tuple[str, WhyCode] | None:
    if not claim.send_log_found:
        return "Send log not found", "no_send_log"
    if claim.channel != "sms":
        return f"Send log is of channel {claim.channel}, not sms", "not_sms"
    if not claim.customer_found:
        return "Customer not found", "no_customer"
    if not claim.phone:
        return "Customer has no phone number", "no_phone"
    if problem := recipient_problem(claim.phone):
        return problem, "number_invalid"
    if not (claim.body or "").strip():
        return "Text is empty: send_logs.subject holds no body", "no_body"
    if claim.longest_body and len(claim.body or "") > claim.longest_body:
        return f"Text is longer than {claim.longest_body} characters: send_logs.subject holds its body", "body_too_long"
    if claim.attempt_count >= claim.max_attempts:
        return f"Gave up after {claim.attempt_count} attempts", "attempts_used_up"
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
    if refusal.kind == "account":
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
