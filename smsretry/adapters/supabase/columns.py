"""How a decision becomes values of columns. Only this module translates them."""

from typing import assert_never, get_args

from smsretry.adapters.supabase.calls import interval
from smsretry.retry.before import LIFE
from smsretry.retry.decision import (
    AfterLook,
    AfterSend,
    Arrived,
    Cancel,
    Complete,
    Defer,
    Fail,
    GiveBack,
    Hold,
    LookAgain,
    NoSend,
    Retry,
)
from smsretry.retry.delivery import (
    MAY_ARRIVE_LOOK,
    AfterDelivery,
    Close,
    DeliveryReport,
    Silence,
)
from smsretry.retry.models import Claim
from smsretry.retry.outcome import Outcome

Values = dict[str, object]


def no_send(claim: Claim, decision: NoSend) -> tuple[str, Values]:
    """The call for a row that is not sent now: function and values."""
    if isinstance(decision, Fail | Cancel):
        return "end_sms_retry", end(decision)
    values: Values = {
        "why": decision.detail,
        "why_code": decision.why_code,
        "held": decision.is_held,
    }
    # When the text is of no more use: at its expiry, or, if nothing has said so yet, after its life from now.
    values |= {"expires_at": claim.expires_at, "life": interval(LIFE)}
    match decision:
        case Defer(until=until, for_window=True):  # which starts none of its 48 hours
            values |= {"until": until, "reason": "quiet_hours", "life": None}
        case Defer(until=until):
            values |= {"until": until}
        case Hold():
            values |= {"look_in": interval(decision.due_in)}
        case GiveBack():
            values |= {"until": claim.scheduled_for, "why": None}
        case Arrived():
            values |= {
                "until": claim.claimed_at + MAY_ARRIVE_LOOK,
                "why_code": "delivery_open",
            }
        case _:
            assert_never(decision)
    return "defer_sms_retry", values


def end(decision: Fail | Cancel) -> Values:
    """The arguments of `end_sms_retry`."""
    return {
        "final_status": decision.row_status,
        "error": decision.detail,
        "why_code": decision.why_code,
    }


def after_send(outcome: Outcome, decision: AfterSend) -> Values:
    """The arguments of `finish_sms_attempt`: the provider's answer, and what follows from it."""
    values: Values = {
        "outcome": outcome.name,
        "next_status": decision.row_status,
        "held": decision.is_held,
    }
    if isinstance(decision, Complete):
        return values | {"twilio_sid": decision.sid}
    values |= {
        "error": decision.detail,
        "error_code": decision.code,
        "why_code": decision.why_code,
    }
    match decision:
        case Fail():
            return values
        case Retry(reason=reason, counted=counted):
            values |= {"reason": reason, "counted": counted}
        case Hold():
            values |= {"reason": "twilio_error", "counted": False}
        case LookAgain():
            pass
        case _:
            assert_never(decision)
    return values | {"retry_in": interval(decision.due_in)}


def after_look(decision: AfterLook) -> Values:
    """The arguments of `reconcile_sms_retry`: what follows from a look, and the text's life if that is not set yet."""
    values: Values = {"life": interval(LIFE), "why_code": decision.why_code}
    match decision:
        case Complete(sid=sid, by=by):
            return values | {
                "decision": "accepted",
                "twilio_sid": sid,
                "settled_by": by,
            }
        case LookAgain(look_failed=look_failed):
            values |= {"decision": "look_failed" if look_failed else "look_again"}
        case Retry():
            values |= {"decision": "resend"}
        case Hold(detail, ambiguous=ambiguous):
            values |= {
                "decision": "hold",
                "error": detail,
                "ambiguous": list(ambiguous) or None,
            }
        case _:
            assert_never(decision)
    return values | {"look_in": interval(decision.due_in)}


def after_delivery(report: DeliveryReport, decision: AfterDelivery) -> Values:
    """The arguments of `finish_sms_delivery`: the provider's report on a message, and what follows from it."""
    code = report.refusal.code if report.refusal else None
    is_reported = report.status not in get_args(Silence)
    values: Values = (
        {"delivery_status": report.status, "error_code": code} if is_reported else {}
    )
    if isinstance(decision, Close):
        return values | {"decision": "unknown" if decision.unknown else "close"}
    values |= {
        "error": decision.detail,
        "why_code": decision.why_code,
        "held": decision.is_held,
    }
    match decision:
        case LookAgain(due_in=look_in):
            return values | {"decision": "look_again", "look_in": interval(look_in)}
        case Fail():
            return values | {
                "decision": "give_up",
                "look_in": interval(MAY_ARRIVE_LOOK),
            }
        case Retry(counted=counted):
            values |= {"counted": counted}
        case Hold():
            values |= {"counted": False}
        case _:
            assert_never(decision)
    # A report of arrival that comes in time stops the next message, so one looks once more before it.
    again = {
        "retry_in": interval(decision.due_in),
        "look_in": interval(decision.due_in * 0.8),
    }
    return values | {"decision": "send_again"} | again
