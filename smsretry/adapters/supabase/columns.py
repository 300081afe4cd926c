"""The arguments of the SQL functions that record a decision. A wait and a reason have the same names in all of them."""

from typing import Final, assert_never, get_args

from smsretry.retry.before import LIFE
from smsretry.retry.decision import (
    AfterLook,
    AfterSend,
    Arrived,
    Cancel,
    Complete,
    Decision,
    Defer,
    Fail,
    GiveBack,
    Hold,
    LookAgain,
    NoSend,
    Retry,
    Waits,
)
from smsretry.retry.delivery import (
    MAY_ARRIVE_ASK,
    AfterDelivery,
    AskAgain,
    Close,
    DeliveryReport,
    Silence,
)
from smsretry.retry.models import Claim
from smsretry.retry.outcome import Outcome

Arguments = dict[str, object]

_LAST_ASK: Final = 0.8
"""The share of the wait for another message after which the lost one is asked about once more. If a report of arrival
comes in time, no other message is sent."""


def fence(retry_id: object, claim_no: object) -> Arguments:
    """The arguments by which a function knows a claimed row, and refuses a lost claim."""
    return {"retry_id": retry_id, "claim_no": claim_no}


def _reason_and_wait(decision: Decision) -> Arguments:
    arguments: Arguments = {"why": decision.why, "why_code": decision.why_code}
    if isinstance(decision, Waits):
        arguments["due_in"] = decision.due_in
    return arguments


def no_send_call(claim: Claim, decision: NoSend) -> tuple[str, Arguments]:
    """The function and its arguments for a row that is not sent now."""
    if isinstance(decision, Fail | Cancel):
        return "end_sms_retry", end_arguments(decision)
    arguments = _reason_and_wait(decision)
    # The text is of no more use at its expiry, or, if none is known yet, after its life from now.
    arguments |= {
        "held": decision.is_held,
        "expires_at": claim.expires_at,
        "life": LIFE,
    }
    match decision:
        case Defer(due_at=due_at):
            arguments["due_at"] = due_at
            if decision.for_window:
                # Such a wait starts none of its 48 hours.
                arguments |= {"reason": "quiet_hours", "life": None}
        case Hold():
            pass
        case GiveBack():
            # The row is as if it had never been claimed.
            arguments |= {"due_at": claim.scheduled_for, "why": None}
        case Arrived():
            # The row waits for the report of the message that arrived.
            arguments |= {
                "due_at": claim.claimed_at + MAY_ARRIVE_ASK,
                "why_code": "delivery_open",
            }
        case _:
            assert_never(decision)
    return "defer_sms_retry", arguments


def end_arguments(decision: Fail | Cancel) -> Arguments:
    """The arguments of `end_sms_retry`."""
    return _reason_and_wait(decision) | {"final_status": decision.row_status}


def after_send_arguments(outcome: Outcome, decision: AfterSend) -> Arguments:
    """The arguments of `finish_sms_attempt`: the provider's answer, and what follows from it."""
    arguments: Arguments = {
        "outcome": outcome.name,
        "next_status": decision.row_status,
        "held": decision.is_held,
    }
    if isinstance(decision, Complete):
        return arguments | {"twilio_sid": decision.sid}
    arguments |= _reason_and_wait(decision) | {"error_code": decision.code}
    match decision:
        case Fail() | LookAgain():
            return arguments
        case Retry(reason=reason, counted=counted):
            return arguments | {"reason": reason, "counted": counted}
        case Hold(refused_for=refused_for):
            return arguments | {
                "reason": "twilio_error",
                "counted": False,
                "refused_for": refused_for,
            }
        case _:
            assert_never(decision)


def after_look_arguments(decision: AfterLook) -> Arguments:
    """The arguments of `reconcile_sms_retry`: what follows from a look, and the text's life if that is not set yet."""
    arguments = _reason_and_wait(decision) | {"life": LIFE}
    match decision:
        case Complete(sid=sid, by=by):
            return arguments | {
                "decision": "accepted",
                "twilio_sid": sid,
                "settled_by": by,
            }
        case LookAgain(look_failed=True):
            return arguments | {"decision": "look_failed"}
        case LookAgain():
            return arguments | {"decision": "look_again"}
        case Retry():
            return arguments | {"decision": "resend"}
        case Hold(ambiguous=ambiguous):
            return arguments | {
                "decision": "hold",
                "ambiguous": list(ambiguous) or None,
            }
        case _:
            assert_never(decision)


def after_delivery_arguments(
    report: DeliveryReport, decision: AfterDelivery
) -> Arguments:
    """The arguments of `finish_sms_delivery`: the provider's report on a message, and what follows from it."""
    arguments: Arguments = {}
    if report.status not in get_args(Silence):
        code = report.refusal.code if report.refusal else None
        arguments = {"delivery_status": report.status, "error_code": code}
    if isinstance(decision, Close):
        unknown = {"delivery_status": "unknown"} if decision.unknown else {}
        return arguments | {"decision": "close", **unknown}
    if isinstance(decision, AskAgain):
        return arguments | {"decision": "ask_again", "ask_in": decision.ask_in}
    arguments |= _reason_and_wait(decision)
    if isinstance(decision, Fail):
        return arguments | {"decision": "give_up", "ask_in": MAY_ARRIVE_ASK}
    return arguments | {
        "decision": "send_again",
        "held": decision.is_held,
        "counted": isinstance(decision, Retry) and decision.counted,
        "ask_in": decision.due_in * _LAST_ASK,
    }
