"""The arguments of the SQL functions that record a decision."""

from typing import Final, assert_never, get_args

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

Arguments = dict[str, object]

_LAST_LOOK: Final = 0.8
"""The share of the wait for another message after which the lost one is looked for once more. If a report of arrival
comes in time, no other message is sent."""


def fence(retry_id: object, claim_no: object) -> Arguments:
    """The arguments by which a function knows a claimed row, and refuses a lost claim."""
    return {"retry_id": retry_id, "claim_no": claim_no}


def no_send_call(claim: Claim, decision: NoSend) -> tuple[str, Arguments]:
    """The function and its arguments for a row that is not sent now."""
    if isinstance(decision, Fail | Cancel):
        return "end_sms_retry", end_arguments(decision)
    # The text is of no more use at its expiry, or, if none is known yet, after its life from now.
    arguments: Arguments = {
        "held": decision.is_held,
        "expires_at": claim.expires_at,
        "life": interval(LIFE),
        "why": decision.detail,
        "why_code": decision.why_code,
    }
    match decision:
        case Defer(until=until):
            arguments["until"] = until
            if decision.for_window:
                arguments["reason"] = "quiet_hours"
                # Such a wait starts none of its 48 hours.
                del arguments["life"]
        case Hold():
            arguments["look_in"] = interval(decision.due_in)
        case GiveBack():
            arguments["until"] = claim.scheduled_for
            # The row is as if it had never been claimed.
            del arguments["why"]
        case Arrived():
            arguments["until"] = claim.claimed_at + MAY_ARRIVE_LOOK
            # The row waits for the report of the message that arrived.
            arguments["why_code"] = "delivery_open"
        case _:
            assert_never(decision)
    return "defer_sms_retry", arguments


def end_arguments(decision: Fail | Cancel) -> Arguments:
    """The arguments of `end_sms_retry`."""
    return {
        "final_status": decision.row_status,
        "error": decision.detail,
        "why_code": decision.why_code,
    }


def after_send_arguments(outcome: Outcome, decision: AfterSend) -> Arguments:
    """The arguments of `finish_sms_attempt`: the provider's answer, and what follows from it."""
    arguments: Arguments = {
        "outcome": outcome.name,
        "next_status": decision.row_status,
        "held": decision.is_held,
    }
    if isinstance(decision, Complete):
        return arguments | {"twilio_sid": decision.sid}
    arguments |= {
        "error": decision.detail,
        "error_code": decision.code,
        "why_code": decision.why_code,
    }
    match decision:
        case Fail():
            return arguments
        case Retry(reason=reason, counted=counted):
            arguments |= {"reason": reason, "counted": counted}
        case Hold():
            arguments |= {
                "reason": "twilio_error",
                "counted": False,
                "refused_for": decision.refused_for,
            }
        case LookAgain():
            pass
        case _:
            assert_never(decision)
    return arguments | {"retry_in": interval(decision.due_in)}


def after_look_arguments(decision: AfterLook) -> Arguments:
    """The arguments of `reconcile_sms_retry`: what follows from a look, and the text's life if that is not set yet."""
    arguments: Arguments = {"life": interval(LIFE), "why_code": decision.why_code}
    match decision:
        case Complete(sid=sid, by=by):
            return arguments | {
                "decision": "accepted",
                "twilio_sid": sid,
                "settled_by": by,
            }
        case LookAgain(look_failed=True):
            arguments |= {"decision": "look_failed", "error": decision.detail}
        case LookAgain():
            arguments |= {"decision": "look_again"}
        case Retry():
            arguments |= {"decision": "resend"}
        case Hold(detail, ambiguous=ambiguous):
            arguments |= {
                "decision": "hold",
                "error": detail,
                "ambiguous": list(ambiguous) or None,
            }
        case _:
            assert_never(decision)
    return arguments | {"look_in": interval(decision.due_in)}


def after_delivery_arguments(
    report: DeliveryReport, decision: AfterDelivery
) -> Arguments:
    """The arguments of `finish_sms_delivery`: the provider's report on a message, and what follows from it."""
    arguments: Arguments = {}
    if report.status not in get_args(Silence):
        code = report.refusal.code if report.refusal else None
        arguments = {"delivery_status": report.status, "error_code": code}
    if isinstance(decision, Close):
        return arguments | {"decision": "unknown" if decision.unknown else "close"}
    arguments |= {
        "error": decision.detail,
        "why_code": decision.why_code,
        "held": decision.is_held,
    }
    match decision:
        case LookAgain(due_in=look_in):
            return arguments | {"decision": "look_again", "look_in": interval(look_in)}
        case Fail():
            return arguments | {
                "decision": "give_up",
                "look_in": interval(MAY_ARRIVE_LOOK),
            }
        case Retry(counted=counted):
            arguments |= {"counted": counted}
        case Hold():
            arguments |= {"counted": False}
        case _:
            assert_never(decision)
    return arguments | {
        "decision": "send_again",
        "retry_in": interval(decision.due_in),
        "look_in": interval(decision.due_in * _LAST_LOOK),
    }
