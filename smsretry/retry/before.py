"""May a claimed text go out now, and if not, how does it wait? Decides, and does nothing."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from smsretry.phone import recipient_problem
from smsretry.quiet_hours.check import (
    QuietHoursCheck,
    check_quiet_hours,
    due_after_opening,
)
from smsretry.quiet_hours.hours import parse_week
from smsretry.quiet_hours.rules import FEDERAL, US_STATES
from smsretry.retry.decision import (
    Arrived,
    BeforeSend,
    Cancel,
    Cap,
    Defer,
    Fail,
    Hold,
    Send,
)
from smsretry.retry.delivery import FINAL, MAY_ARRIVE_ASK, DeliveryReport
from smsretry.retry.models import Claim
from smsretry.retry.profile import DEFAULT, Profile
from smsretry.vocabulary import WhyCode

CLOSING_GUARD: Final = timedelta(seconds=60)
"""No text may still be in the provider's queue this long before closing. A request arrives sooner than that after its
begin (`SEND_WITHIN_SECONDS` and the provider's longest timeouts), so even a slow one is not valid past the closing."""
MIN_LIFE: Final = timedelta(seconds=10)
"""A text with less time left is not sent: providers ask for a validity of more than 5 seconds."""
LIFE: Final = timedelta(hours=48)
"""How long a text stays of use, counted from the first moment it might have gone out, even if nothing ran then. Waiting
for an opening does not count."""
CAP_WINDOW: Final = timedelta(hours=24)
"""The span of a rule's `daily_cap`. "24-hour period" (Fla. Stat. 501.616(6)(b))."""
TROUBLE_DELAY: Final = timedelta(seconds=30)
"""How long a text waits for what is no trouble of its own: until the next run, behind texts that were due."""
_PAUSED: Final = "The business's sender is paused: {}. Mend that, then `smsretry senders change --paused no`"
_OWN: Final = replace(FEDERAL, rule_id="the business's own")
SPENT: Final = "The business's sender has sent all that it may in a day, which turns over at midnight Pacific time"


def before_send(
    claim: Claim, *, at: datetime, profile: Profile = DEFAULT
) -> BeforeSend:
    """May this text, with its expiry, go out at `at`?

    Consent is not asked here: `begin` reads it in the transaction that counts.
    """
    if problem := _problem(claim):
        why, why_code = problem
        return Fail(why, why_code)
    expires_at = claim.expires_at or at + LIFE
    if expires_at <= at + MIN_LIFE:
        return Cancel(
            f"Expired before it could be sent{_due_day(claim)}{_last_reason(claim)}",
            "expired",
        )
    if paused := claim.sender.why_paused:
        return Hold(_PAUSED.format(paused), "sender_paused")
    try:
        check = _check(claim, at, profile)
    except ValueError as error:
        why = f"businesses.sms_hours cannot be read: {error}"
        return Hold(why, "hours_unreadable")
    if check.why_held and check.why_code:
        return Hold(check.why_held, check.why_code)
    why = f"Quiet hours: {check.rule}"
    if check.closes_at is None:  # the window is closed
        return wait_for_window(claim, at, why, "quiet_hours", profile=profile)
    valid_until = min(check.closes_at - CLOSING_GUARD, expires_at)
    if at >= valid_until - MIN_LIFE:
        # The last moments: the provider would have to let it go before the window closes.
        return wait_for_window(
            claim, check.closes_at, why, "quiet_hours", profile=profile
        )
    if (spent_until := claim.sender.spent_until) and at < spent_until:
        return wait_for_window(claim, spent_until, SPENT, "day_spent", profile=profile)
    return Send(
        send_before=valid_until - MIN_LIFE,
        valid_until=valid_until,
        rule=check.rule,
        cap=_cap(claim, check),
    )


def with_expiry(claim: Claim, *, at: datetime, profile: Profile = DEFAULT) -> Claim:
    """The claim with the end of its life, which begins at the first moment it might have gone out.

    The life of a text that could not have gone out before `at` has not begun: it gets no end.
    """
    due = claim.due_since
    if claim.expires_at or due is None or due >= at:
        return claim
    opening: datetime | None = None
    try:
        check = _check(claim, due, profile)
        if check.closes_at and due + MIN_LIFE >= check.closes_at - CLOSING_GUARD:
            check = _check(claim, check.closes_at, profile)
        opening = check.next_send_at
    except ValueError:
        pass  # the hours cannot be read, so none of them kept it
    begins_at = opening or due
    if begins_at > at:
        return claim
    return claim.model_copy(update={"expires_at": begins_at + LIFE})


def wait_for_window(
    claim: Claim,
    earliest: datetime,
    why: str,
    why_code: WhyCode,
    *,
    profile: Profile = DEFAULT,
) -> Defer | Hold | Cancel:
    """Wait until the window is open, at `earliest` or later.

    The texts that wait for one opening are spread over some minutes. If it would expire before, it is cancelled.
    """
    check = _check(claim, earliest, profile)
    if check.why_held and check.why_code:
        return Hold(check.why_held, check.why_code)
    opening = check.next_send_at or earliest
    if claim.expires_at and claim.expires_at <= opening + MIN_LIFE:
        return Cancel(f"Expires before it may go out. {why}", "expired")
    if check.can_send:
        return Defer(
            why,
            why_code,
            due_at=opening,
            for_window=True,
        )
    closes_at = check.next_closes_at or opening
    last_call = min(closes_at - CLOSING_GUARD, claim.expires_at or closes_at) - MIN_LIFE
    until = due_after_opening(
        opening, key=claim.id, spread=profile.opening_spread, closes_at=last_call
    )
    return Defer(
        why,
        why_code,
        due_at=until,
        for_window=True,
    )


def wait_for_next_window(
    claim: Claim, *, at: datetime, why: str, profile: Profile = DEFAULT
) -> Defer | Hold | Cancel:
    """Wait until the window has opened anew, though it was open at `at`: the provider found another one closed."""
    closes_at = _check(claim, at, profile).closes_at or at
    return wait_for_window(claim, closes_at, why, "quiet_hours", profile=profile)


def before_sending_again(
    claim: Claim, reports: Mapping[str, DeliveryReport], *, profile: Profile = DEFAULT
) -> Arrived | Defer | Hold | Cancel | None:
    """What follows from the provider's report on each lost message of a text. None: it is sent again.

    A carrier may call a message lost and deliver it later. Perhaps no callback said so, and nobody has looked.
    """
    for sid, report in reports.items():
        if report.status in FINAL:
            why = f"Arrived after all, as {sid}: it is not sent again"
            return Arrived(
                why,
                sid=sid,
                status=report.status,
            )
    for sid, report in reports.items():
        if not report.has_failed and report.status != "not kept":
            why = f"It was lost as {sid}, and may still arrive. {report.description}"
            return Defer(why, "delivery_open", due_at=claim.claimed_at + MAY_ARRIVE_ASK)
    for report in reports.values():
        if report.refusal and report.refusal.kind == "quiet_hours" and report.at:
            why = f"Not delivered: {report.refusal.why}"
            waits = wait_for_next_window(
                claim,
                at=report.at,
                why=why,
                profile=profile,
            )
            if not isinstance(waits, Defer) or waits.due_at > claim.claimed_at:
                return waits
    return None


def troubled(claim: Claim, why: str, why_code: WhyCode = "database_trouble") -> Defer:
    """Wait for the end of trouble that is not the text's own. Texts that were due go first meanwhile."""
    return Defer(why, why_code, due_at=claim.claimed_at + TROUBLE_DELAY)


def _due_day(claim: Claim) -> str:
    """The day on which it was due, without the hour: equal reasons are counted together."""
    if not claim.due_since:
        return ""
    return f": it was due on {claim.due_since.astimezone(UTC):%Y-%m-%d} (UTC)"


def _last_reason(claim: Claim) -> str:
    """What it waited for until its end, if it was held or was to be sent again."""
    waited = claim.held or claim.lost_messages
    return f". {claim.why}" if claim.why and waited else ""


def _cap(claim: Claim, check: QuietHoursCheck) -> Cap | None:
    """The lowest cap: a rule's, or the business's own for marketing texts."""
    rules = [check.window.cap] if check.window.cap else []
    if claim.message_class == "marketing" and claim.business_cap:
        rules.append(replace(_OWN, daily_cap=claim.business_cap))
    caps = [Cap(rule.daily_cap, rule.cap_text) for rule in rules if rule.daily_cap]
    return min(
        caps,
        key=lambda cap: cap.texts,
        default=None,
    )


def stopped_state(claim: Claim, *, at: datetime, profile: Profile) -> str | None:
    """The US state whose stop holds it, if `before_send` held it for that."""
    return _check(claim, at, profile).window.stopped


def _check(claim: Claim, at: datetime, profile: Profile) -> QuietHoursCheck:
    """Whether it may go out at `at`. Raises ValueError: the business's hours cannot be read."""
    return check_quiet_hours(
        claim.timezone,
        at=at,
        phone=claim.phone,
        fallback=claim.business_timezone,
        rules=profile.quiet_hours_rules,
        message_class=claim.message_class,
        own_window=parse_week(claim.business_hours) if claim.business_hours else None,
        # A stop of no known state stops nothing.
        stopped_states=US_STATES.intersection(claim.stopped_states),
    )


def _problem(claim: Claim) -> tuple[str, WhyCode] | None:
    """Why it can never go out, whatever anybody mends elsewhere."""
    body = claim.body or ""
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
    if not body.strip():
        return "Text is empty: write its words into send_logs.subject", "no_body"
    if claim.longest_body and len(body) > claim.longest_body:
        why = f"Text is longer than {claim.longest_body} characters: shorten its send_logs.subject"
        return why, "body_too_long"
    if claim.attempt_count >= claim.max_attempts:
        return f"Gave up after {claim.attempt_count} attempts", "attempts_used_up"
    return None
