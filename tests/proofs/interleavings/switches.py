"""Each safeguard taken away: the exploration must find what that breaks, and by the shortest sequence of steps."""

from collections.abc import Sequence
from typing import Any, Final

from smsretry.local.stack import Stack
from smsretry.retry import before, doubt
from smsretry.retry.after import after_send
from smsretry.retry.decision import Cancel, Complete, Fail, Retry
from smsretry.sending import pipeline
from tests.proofs.interleavings.explore import AT_WORK, explore
from tests.proofs.interleavings.people import customers, inbound
from tests.proofs.interleavings.stages import (
    ALIKE,
    BEGUN,
    CLAIM,
    FAILED_IN_DOUBT,
    LOST,
    NEVER_ARRIVED,
    OTHER_SENT,
    PROCESSOR,
    PUT_BACK,
    look,
)
from tests.proofs.interleavings.state import Actor
from tests.proofs.interleavings.surroundings import carrier
from tests.proofs.interleavings.workers import workers
from tests.proofs.town.report import Report
from tests.proofs.town.safeguards import ASKING, BEGIN, RANKS, Safeguard, Switch

_without_evidence = doubt._without_evidence


def _is_the_end(*known: Any, **more: Any) -> Any:
    """A refusal that passes ends the text."""
    decision = after_send(*known, **more)
    return (
        Fail(decision.why, decision.why_code, decision.code)
        if isinstance(decision, Retry)
        else decision
    )


def _was_sent(*known: Any) -> Any:
    """Where nothing was found, it was sent."""
    decision = _without_evidence(*known)
    sent = Complete("Already sent", "already_sent", sid=None, by="callback")
    return sent if isinstance(decision, Retry) else decision


def _switch(
    without: Safeguard,
    sees: str | tuple[str, ...],
    depth: int,
    stage: tuple[str, ...] = (),
    actors: Sequence[Actor] = AT_WORK,
) -> Switch:
    """Where its absence is looked for, and how many steps further."""

    def short(stack: Stack) -> Report:
        return explore(
            stack, depth=depth, stages=[stage], actors=actors, stop_at_first=True
        )

    return Switch(without=without, sees=sees, run=short)


def _edit(function: str, *edits: tuple[str, str]) -> Safeguard:
    return Safeguard(replaces=function, edits=edits)


_DOUBLED: Final = ("doubled", "arrived twice")
_TWO_LOOKS: Final = (*look(2, "1"), *look(3, "5"))
_PROCESSOR_SENT: Final = (
    PROCESSOR,
    "the application's processor sends: accepted",
    "the application's processor dies",
)
SWITCHES: Final = {
    "a begin knows its claim, and whether another send is under way": _switch(  # each would do alone
        _edit(
            BEGIN,
            (
                r"smsretry\.fenced\(retry_id, claim_no\)",
                "(select q from public.sms_retry_queue q where q.id = retry_id)",
            ),
            (
                r"or v_row\.begun_at is not null then",
                "or v_row.begun_at is not null and v_row.attempt_id = attempt_id then",
            ),
        ),
        "bugs: begin is refused",  # by the rule that a claim has one attempt
        5,
        (*CLAIM, "a lease goes by", "recover", "claim due"),
        (workers,),
    ),
    "a worker that slept does not send": _switch(
        Safeguard(patches=((pipeline, "SEND_WITHIN_SECONDS", 1e9),)),
        _DOUBLED,
        5,
        (*BEGUN, "a lease goes by", "recover", *_TWO_LOOKS, *look(4, "15")),
        (workers,),
    ),
    "begin reads consent": _switch(
        _edit(
            BEGIN,
            (r"v_customer\.sms_consent_status::text, v_key\)", "'opted_in', null)"),
        ),
        "sent wrongly: after the customer had said stop",
        3,
        CLAIM,
        (*AT_WORK, customers, inbound),
    ),
    "begin reads the clock": _switch(
        _edit(BEGIN, (r"decided_at >= send_before", "false")),
        "sent wrongly: outside the window",
        2,
        CLAIM,
    ),
    "begin knows its text's end": _switch(  # so does the decision that names the last moment for it
        _edit(
            BEGIN,
            (r"decided_at >= send_before", "false"),
            (r"v_row\.expires_at <= decided_at", "false"),
        ),
        "sent wrongly: past its text's end",
        2,
        ("it is of use for an hour", *CLAIM),
    ),
    "the provider is asked about a lost message before the next one leaves": _switch(
        ASKING,
        _DOUBLED,
        4,
        (*PUT_BACK, "message 1 is delivered after all", "29 min go by", "1 min go by"),
    ),
    "a report that comes late changes nothing": _switch(
        RANKS, "delivery forgotten: by its attempt", 3, LOST, (carrier,)
    ),
    "a late delivery ends the wait for the next message": _switch(
        _edit("smsretry.record_delivery", (r"elsif v_arrived and", "elsif false and")),
        "delivery forgotten: by its send log",
        3,
        PUT_BACK,
        (carrier,),
    ),
    "the claim of the application's own processor counts as a send": _switch(
        _edit(
            "public.recover_stuck_sms_retries",
            (r"if v_row\.claimed_by_application and", "if false and"),
        ),
        _DOUBLED,
        5,
        _PROCESSOR_SENT,
    ),
    "a text that failed in doubt is in doubt when it is queued anew": _switch(
        _edit(
            "smsretry.enter_queue",
            (r"if v_doubt\.attempt_id is not null then", "if false then"),
        ),
        _DOUBLED,
        4,
        (*FAILED_IN_DOUBT, "the application queues the text anew"),
    ),
    "a look waits for the answer to another send to the number": _switch(
        _edit(
            "public.reconcile_sms_retry",
            (r"\(twilio_sid is not null or ambiguous is not null\) and", "false and"),
        ),
        "unsettled: another text's message",
        2,
        (ALIKE, *NEVER_ARRIVED, *OTHER_SENT, "1 min go by", "claim doubtful"),
    ),
    "recovery keeps the row": _switch(
        _edit(
            "public.recover_stuck_sms_retries",
            (
                r"perform smsretry\.save_row\(v_row.*?\);",
                "delete from public.sms_retry_queue q where q.id = v_row.id;",
            ),
        ),
        "lost: gone",
        1,
        (*CLAIM, "a lease goes by"),
    ),
    "what is refused for now is tried again": _switch(
        Safeguard(patches=((pipeline, "after_send", _is_the_end),)),
        "untrue end: failed after 1 of 2",
        3,
        BEGUN,
        (workers,),
    ),
    "looks that find nothing say nothing": _switch(
        Safeguard(patches=((doubt, "_without_evidence", _was_sent),)),
        (
            "lost: completed, and nothing was sent",
            "untrue end: completed as already sent",
        ),
        4,
        (*NEVER_ARRIVED, *_TWO_LOOKS),
    ),
    "nobody opts out without a word": _switch(
        Safeguard(
            patches=(
                (
                    before,
                    "before_send",
                    lambda *_, **__: Cancel("Customer opted out", "opted_out"),
                ),
            )
        ),
        "untrue end: cancelled as opted out",
        2,
    ),
}
