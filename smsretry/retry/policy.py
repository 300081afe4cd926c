"""What to do with a claimed row before its send, after it, and after a look for evidence. Decides, and does nothing."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final, assert_never

from smsretry.phone import recipient_problem
from smsretry.quiet_hours.check import QuietHoursCheck, check_quiet_hours, spread
from smsretry.quiet_hours.hours import parse_week
from smsretry.retry.backoff import next_retry_delay, uncounted_delay
from smsretry.retry.decision import (
    AfterLook,
    AfterSend,
    BeforeSend,
    Cap,
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
from smsretry.retry.evidence import MIN_LOOKS, MIN_QUARANTINE, SENT_STATUSES, matching_sids, next_look_delay
from smsretry.retry.models import Claim, Sighting
from smsretry.retry.outcome import Accepted, InDoubt, NotSent, Outcome, Refusal, Rejected
from smsretry.retry.profile import DEFAULT, Profile
from smsretry.words import Reason

MIN_LIFE: Final = timedelta(seconds=10)
"""A text with less time left is not sent: a ValidityPeriod should exceed 5 seconds (Twilio's API reference)."""
MAX_RATE_LIMITS: Final = 20
"""Rate-limited tries that cost no attempt; beyond, each counts, so that none goes on for ever."""
MAX_RECOVERIES: Final = 5
"""Claims of a row that may die before its send begins. One more, and it is given up: it may be what kills them."""
CAP_WINDOW: Final = timedelta(hours=24)
"""The time in which a rule's `daily_cap` counts. "24-hour period" (Fla. Stat. 501.616(6)(b))."""


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
        return _wait(claim, check, at, profile, why)
    valid_until = min(check.closes_at - profile.closing_guard, claim.expires_at)
    if at < valid_until - MIN_LIFE:
        return Send(valid_until - MIN_LIFE, valid_until, check.rule, _cap(check, at))
    # The last moments: the provider would have to let it go before the window closes.
    return _wait(claim, _check(claim, check.closes_at, profile), check.closes_at, profile, why)


def _cap(check: QuietHoursCheck, at: datetime) -> Cap | None:
    rule = check.window.cap
    return Cap(rule.daily_cap, since=at - CAP_WINDOW) if rule and rule.daily_cap else None


def after_cap(claim: Claim, *, reached_at: datetime, profile: Profile = DEFAULT) -> Defer | End:
    """Where a text waits that would be one too many for its recipient.

    Args:
        reached_at: when the text was sent that must fall out of the cap's window before there is room.
    """
    free_at = reached_at + CAP_WINDOW
    check = _check(claim, free_at, profile)
    cap = check.window.cap
    return _wait(claim, check, free_at, profile, cap.cap_text if cap else "Daily cap")


def _wait(claim: Claim, check: QuietHoursCheck, since: datetime, profile: Profile, why: str) -> Defer | End:
    """Until the window is open, from `since` on; among what waits for the same opening, until it is this row's turn."""
    if check.held:
        return End("failed", check.held)
    opening = check.next_send_at or since
    if claim.expires_at <= opening + MIN_LIFE:
        return End("cancelled", f"Expires before it may go out. {why}")
    if check.can_send:
        return Defer(opening, "quiet_hours", why)
    closes_at = check.next_closes_at or opening
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
            return Doubt(why, look_in=next_look_delay(0))
        case NotSent(why):
            return Retry(uncounted_delay(claim.attempt_count), "twilio_error", why, None, counted=False)
        case Rejected(refusal, retry_after):
            return _after_refusal(claim, refusal, retry_after, first_send)
        case _:
            assert_never(outcome)


def _after_refusal(claim: Claim, refusal: Refusal, retry_after: timedelta | None, first_send: bool) -> AfterSend:
    if not refusal.retryable:
        return GiveUp(refusal.text, refusal.code, refusal.kind == "opted_out", refusal.phone_status)
    reason: Reason = "rate_limit" if refusal.kind == "rate_limit" else "twilio_error"
    patience = reason != "rate_limit" or claim.rate_limit_count < MAX_RATE_LIMITS
    if refusal.kind != "transient" and patience:
        # The provider took no message, for a reason that is not this text's: no send was made.
        delay = uncounted_delay(claim.attempt_count, retry_after=retry_after)
        return Retry(delay, reason, refusal.text, refusal.code, counted=False)
    attempts = claim.attempt_count if first_send else claim.attempt_count + 1
    if attempts >= claim.max_attempts:
        return GiveUp(f"Gave up after {attempts} attempts; the last: {refusal.text}", refusal.code)
    return Retry(next_retry_delay(attempts), reason, refusal.text, refusal.code, counted=True)


def known_evidence(claim: Claim) -> list[AfterLook]:
    """What the database itself knows of a text in doubt: the application's webhook may have been there first.

    When the SID turns out to be another attempt's, the text's own send log still says that the text went out.
    """
    if claim.known_sid:
        return [Settle(claim.known_sid, "callback"), Settle(None, "callback")]
    return [Settle(None, "callback")] if claim.send_log_status in SENT_STATUSES else []


def after_look(
    claim: Claim, sightings: Sequence[Sighting] | None, *, at: datetime, profile: Profile = DEFAULT
) -> Iterator[AfterLook]:
    """What the provider's list says of a text in doubt: each message that may be its own, and what to do if none is.

    A message belongs to one attempt, and only the queue knows to which. The first decision that the queue takes holds;
    it never refuses the last.

    Args:
        sightings: the recent messages to its number; None when the list could not be had.
    """
    if sightings is None:
        yield _without_list(claim, at)
        return
    since = claim.in_doubt_since or at
    for sid in matching_sids(
        sightings,
        phone=claim.phone or "",
        body=claim.body or "",
        begun_at=claim.attempt_begun_at or since,
        in_doubt_since=since,
    ):
        yield Settle(sid, "reconcile")
    yield _without_evidence(claim, at - since, profile)


def _without_list(claim: Claim, at: datetime) -> AfterLook:
    if claim.expires_at <= at:
        return Hold(
            "In doubt: the provider's list could not be had until the text expired; look in its log, then decide"
        )
    return look_failed(claim, "The provider's list could not be had")


def look_failed(claim: Claim, why: str) -> LookAgain:
    """A look that could not be made is no absence: it is made again, and does not count."""
    return LookAgain(next_look_delay(claim.reconcile_count), failed=True, why=why)


def _without_evidence(claim: Claim, in_doubt_for: timedelta, profile: Profile) -> AfterLook:
    looks = claim.reconcile_count + 1
    if looks < MIN_LOOKS or in_doubt_for < MIN_QUARANTINE:
        return LookAgain(next_look_delay(looks), failed=False, why="No evidence yet")
    if profile.in_doubt == "resend":
        return Resend()
    return Hold(f"In doubt: no evidence after {looks} looks; look in the provider's log, then decide")
