"""How a decision becomes values of columns. Only this module translates them."""

from datetime import datetime
from typing import assert_never

from smsretry.adapters.supabase.calls import interval
from smsretry.retry.decision import (
    AfterLook,
    AfterSend,
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
from smsretry.retry.models import Claim
from smsretry.retry.outcome import Accepted, InDoubt, NotSent, Outcome, Rejected
from smsretry.retry.policy import LIFE
from smsretry.vocabulary import OutcomeName


def put_off(claim: Claim, decision: PutOff) -> tuple[str, dict[str, object]]:
    """For a row that is not sent now: the function to call, and its values."""
    match decision:
        case Defer(until, reason, why, code, closes_at, ages, expires_at):
            values = {"until": until, "reason": reason, "why": why, "why_code": code, "window_closes_at": closes_at}
            return "defer_sms_retry", values | (_life(expires_at) if ages else {})
        case Hold(why, code, look_in, _, expires_at):
            return "hold_sms_retry", {"why": why, "why_code": code, "look_in": interval(look_in)} | _life(expires_at)
        case GiveBack(_, code, expires_at):
            return "defer_sms_retry", {"until": claim.scheduled_for, "why_code": code} | _life(expires_at)
        case End(status, why, code):
            return "end_sms_retry", {"final_status": status, "error": why, "why_code": code}
        case _:
            assert_never(decision)


def _life(expires_at: datetime | None) -> dict[str, object]:
    """When a text is of no more use, if that is not set yet: at `expires_at`, or after its life from now."""
    return {"life": interval(LIFE), "expires_at": expires_at}


def after_send(claim: Claim, outcome: Outcome, decision: AfterSend) -> dict[str, object]:
    """For `finish_sms_attempt`: what the provider answered, and what follows from it."""
    return {"outcome": _name(outcome), **_next(claim, decision)}


def _name(outcome: Outcome) -> OutcomeName:
    match outcome:
        case Accepted():
            return "accepted"
        case Rejected():
            return "rejected"
        case NotSent():
            return "not_sent"
        case InDoubt():
            return "in_doubt"
        case _:
            assert_never(outcome)


def _next(claim: Claim, decision: AfterSend) -> dict[str, object]:
    match decision:
        case Complete(sid):
            return {"next_status": "completed", "twilio_sid": sid}
        case Retry(delay, reason, why, why_code, code, counted, account_refused):
            values = {"error": why, "error_code": code, "retry_in": interval(delay), "reason": reason}
            values |= {"why_code": why_code}
            return {"next_status": "pending", "counted": counted, "account_refused": account_refused, **values}
        case GiveUp(why, why_code, code, opted_out, phone_status):
            values = {"error": why, "error_code": code, "why_code": why_code}
            if not (opted_out or phone_status):
                return {"next_status": "failed", **values}
            number = {"phone": claim.phone, "opted_out": opted_out, "phone_status": phone_status}
            return {"next_status": "failed", **values, **number}
        case Doubt(why, look_in):
            values = {"error": why, "retry_in": interval(look_in), "why_code": decision.why_code}
            return {"next_status": "pending", **values}
        case _:
            assert_never(decision)


def after_look(decision: AfterLook) -> dict[str, object]:
    """For `reconcile_sms_retry`: what follows from a look, and how long the text is of use if that is not set yet."""
    return _looked(decision) | {"life": interval(LIFE)}


def _looked(decision: AfterLook) -> dict[str, object]:
    match decision:
        case Settle(sid, by):
            return {"decision": "accepted", "twilio_sid": sid, "settled_by": by}
        case LookAgain(after, failed, _, code):
            look = "look_failed" if failed else "look_again"
            return {"decision": look, "look_in": interval(after), "why_code": code}
        case Resend():
            return {"decision": "resend", "why_code": decision.why_code}
        case Hold(why, code, look_in, ambiguous):
            values = {"decision": "hold", "error": why, "look_in": interval(look_in), "why_code": code}
            return values | ({"ambiguous": list(ambiguous)} if ambiguous else {})
        case _:
            assert_never(decision)
