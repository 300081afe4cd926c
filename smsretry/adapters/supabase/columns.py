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
    PutOff,
    Retry,
)
from smsretry.retry.delivery import ASK_AGAIN, GIVEN_UP_LOOK, AfterDelivery, Close, Report, Silence, look_before
from smsretry.retry.models import Claim
from smsretry.retry.outcome import Outcome

Values = dict[str, object]


def put_off(claim: Claim, decision: PutOff) -> tuple[str, Values]:
    """For a row that is not sent now: the function to call, and its values."""
    if isinstance(decision, Fail | Cancel):
        ends = "failed" if isinstance(decision, Fail) else "cancelled"
        return "end_sms_retry", {"final_status": ends, "error": decision.why, "why_code": decision.why_code}
    values: Values = {"why": decision.why, "why_code": decision.why_code}
    # When the text is of no more use: at its expiry, or, if nothing has said so yet, after its life from now.
    values |= {"expires_at": claim.expires_at, "life": interval(LIFE)}
    match decision:
        case Defer(until=until, for_window=True):  # which costs none of its life
            values |= {"until": until, "reason": "quiet_hours", "life": None}
        case Defer(until=until):
            values |= {"until": until}
        case Hold(look_in=look_in):
            values |= {"look_in": interval(look_in), "held": True}
        case GiveBack():
            values |= {"until": claim.scheduled_for, "why": None}
        case Arrived():
            values |= {"until": claim.claimed_at + ASK_AGAIN, "why_code": "delivery_open"}
        case _:
            assert_never(decision)
    return "defer_sms_retry", values


def after_send(outcome: Outcome, decision: AfterSend) -> Values:
    """For `finish_sms_attempt`: what the provider answered, and what follows from it."""
    values: Values = {"outcome": outcome.name}
    if isinstance(decision, Complete):
        return values | {"next_status": "completed", "twilio_sid": decision.sid}
    values |= {"error": decision.why, "error_code": decision.code, "why_code": decision.why_code}
    match decision:
        case Fail(opted_out=opted_out, phone_status=phone_status):
            return values | {"next_status": "failed"} | _of_number(opted_out, phone_status)
        case Retry(delay=delay, reason=reason, counted=counted):
            values |= {"retry_in": interval(delay), "reason": reason, "counted": counted}
        case Hold(look_in=look_in):
            values |= {"retry_in": interval(look_in), "reason": "twilio_error", "counted": False, "held": True}
        case LookAgain(look_in=look_in):
            values |= {"retry_in": interval(look_in)}
        case _:
            assert_never(decision)
    return values | {"next_status": "pending"}


def _of_number(opted_out: bool, phone_status: str | None) -> Values:
    """What is kept of a number, if anything is."""
    return {"opted_out": opted_out, "phone_status": phone_status} if opted_out or phone_status else {}


def after_look(decision: AfterLook) -> Values:
    """For `reconcile_sms_retry`: what follows from a look, and how long the text is of use if that is not set yet."""
    values: Values = {"life": interval(LIFE), "why_code": decision.why_code}
    match decision:
        case Complete(sid=sid, by=by):
            return values | {"decision": "accepted", "twilio_sid": sid, "settled_by": by}
        case LookAgain(look_in=look_in, failed=failed):
            return values | {"decision": "look_failed" if failed else "look_again", "look_in": interval(look_in)}
        case Retry():
            return values | {"decision": "resend"}
        case Hold(why, look_in=look_in, ambiguous=ambiguous):
            messages = {"ambiguous": list(ambiguous)} if ambiguous else {}
            return values | {"decision": "hold", "error": why, "look_in": interval(look_in)} | messages
        case _:
            assert_never(decision)


def after_delivery(report: Report, decision: AfterDelivery) -> Values:
    """For `finish_sms_delivery`: what the provider reports of a message, and what follows from it."""
    code = report.refusal.code if report.refusal else None
    told = report.status not in get_args(Silence)
    values: Values = {"delivery_status": report.status, "error_code": code} if told else {}
    match decision:
        case Close(unknown):
            return values | {"decision": "unknown" if unknown else "close"}
        case LookAgain(look_in=look_in):
            return values | {"decision": "look_again", "look_in": interval(look_in)}
    values |= {"error": decision.why, "why_code": decision.why_code}
    match decision:
        case Fail(opted_out=opted_out, phone_status=phone_status):
            number = {"opted_out": opted_out, "phone_status": phone_status}
            return values | {"decision": "give_up", "look_in": interval(GIVEN_UP_LOOK)} | number
        case Retry(delay=delay, counted=counted):
            held = False
        case Hold(look_in=delay):
            counted, held = False, True
        case _:
            assert_never(decision)
    again = {"retry_in": interval(delay), "look_in": interval(look_before(delay)), "counted": counted, "held": held}
    return values | {"decision": "send_again"} | again
