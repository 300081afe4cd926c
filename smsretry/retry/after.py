"""What follows from a send: where its row goes. Decides, and does nothing."""

from datetime import timedelta
from typing import assert_never

from smsretry.phone import country
from smsretry.retry.backoff import (
    HELD_LOOK,
    RESEND_DELAYS,
    after_so_long,
    next_retry_delay,
    uncounted_delay,
)
from smsretry.retry.before import wait_for_next_window
from smsretry.retry.decision import (
    AfterSend,
    Complete,
    Defer,
    Fail,
    Hold,
    LookAgain,
    Retry,
)
from smsretry.retry.doubt import next_look_delay
from smsretry.retry.models import Claim
from smsretry.retry.outcome import (
    Accepted,
    InDoubt,
    NotSent,
    Outcome,
    Refusal,
    Rejected,
)
from smsretry.retry.profile import DEFAULT, Profile


def after_send(
    claim: Claim,
    outcome: Outcome,
    *,
    refused_for: timedelta = timedelta(0),
    first_send: bool = False,
    profile: Profile = DEFAULT,
) -> AfterSend:
    """Where the row goes, given what became of the request.

    Args:
        refused_for: how long its sender has been refused for what this text tried.
        first_send: whether it is the text's very first send, made by `send_sms`. It does not count as a retry.
    """
    match outcome:
        case Accepted(sid):
            return Complete(f"Accepted as {sid}", sid=sid)
        case InDoubt(why):
            return LookAgain(why, "in_doubt", due_in=next_look_delay(0))
        case NotSent(why):
            return Retry(
                why, "unreachable", due_in=uncounted_delay(claim.attempt_count)
            )
        case Rejected(refusal, retry_after):
            return _after_refusal(
                claim, refusal, retry_after, refused_for, first_send, profile
            )
        case _:
            assert_never(outcome)


def _after_refusal(
    claim: Claim,
    refusal: Refusal,
    retry_after: timedelta | None,
    refused_for: timedelta,
    first_send: bool,
    profile: Profile,
) -> AfterSend:
    why, why_code, code = refusal.why, refusal.kind, refusal.code
    match refusal.kind:
        case "refused" | "opted_out":
            return Fail(
                why,
                why_code,
                code,
                opted_out=refusal.kind == "opted_out",
                phone_status=refusal.phone_status,
            )
        case "account_refused":
            if not refusal.certain:
                return Hold(
                    refusal.advice,
                    "destination_refused",
                    code,
                    due_in=min(after_so_long(RESEND_DELAYS, refused_for), _left(claim)),
                    refused_for=f"{code} {_destination(claim, refusal)}".strip(),
                )
            return Hold(refusal.advice, why_code, code)
        case "day_spent":
            return Retry(why, why_code, code, due_in=HELD_LOOK)
        case "quiet_hours":
            waits = wait_for_next_window(
                claim, at=claim.claimed_at, why=why, profile=profile
            )
            delay = HELD_LOOK
            if isinstance(waits, Defer):
                delay = waits.due_at - claim.claimed_at
            return Retry(
                why,
                why_code,
                code,
                due_in=delay,
                reason="quiet_hours",
            )
        case "rate_limited":
            # The provider considered no message, for a reason that is not this text's: it costs no attempt.
            delay = uncounted_delay(claim.attempt_count, retry_after=retry_after)
            return Retry(
                why,
                why_code,
                code,
                due_in=delay,
                reason="rate_limit",
            )
        case "refused_for_now":
            attempts = claim.attempt_count if first_send else claim.attempt_count + 1
            if attempts >= claim.max_attempts:
                return Fail(
                    f"Gave up after {attempts} attempts; the last: {why}",
                    "attempts_used_up",
                    code,
                )
            return Retry(
                why, why_code, code, due_in=next_retry_delay(attempts), counted=True
            )
        case _:
            assert_never(refusal.kind)


def _destination(claim: Claim, refusal: Refusal) -> str:
    """The destination that a refusal is about, without telling a number; '' if it is every one."""
    match refusal.about:
        case "country":
            return country(claim.phone or "")
        case "number":
            return str(claim.customer_id)
        case None:
            return ""
        case _:
            assert_never(refusal.about)


def _left(claim: Claim) -> timedelta:
    """The rest of its life."""
    if claim.expires_at is None:
        return timedelta.max
    return max(claim.expires_at - claim.claimed_at, timedelta(0))
