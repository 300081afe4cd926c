"""Each safeguard taken away: the exploration must find what that breaks, and by the shortest sequence of steps."""

from typing import Any

from smsretry.local.stack import Stack
from smsretry.retry import before, doubt
from smsretry.retry.after import after_send
from smsretry.retry.decision import Cancel, Complete, Fail, Retry
from smsretry.sending import pipeline
from tests.proofs.interleavings.explore import explore
from tests.proofs.interleavings.stages import (
    ALIKE,
    ARRIVED,
    BEGUN,
    CLAIM,
    FAILED_IN_DOUBT,
    LOST,
    NEVER_ARRIVED,
    OTHER_SENT,
    PROCESSOR,
    PUT_BACK,
    STAGES,
    look,
)
from tests.proofs.town.report import ProofReport
from tests.proofs.town.safeguards import (
    ASKING,
    BEGIN,
    RANKS,
    SENDER,
    Safeguard,
    Switch,
    edited,
)

_without_evidence = doubt._without_evidence


def _is_the_end(*arguments: Any, **options: Any) -> Any:
    """A refusal that passes ends the text."""
    decision = after_send(*arguments, **options)
    return (
        Fail(decision.why, decision.why_code, decision.code)
        if isinstance(decision, Retry)
        else decision
    )


def _was_sent(*arguments: Any) -> Any:
    """Where nothing was found, it was sent."""
    decision = _without_evidence(*arguments)
    sent = Complete("Already sent", "already_sent", sid=None, by="callback")
    return sent if isinstance(decision, Retry) else decision


def _switch(
    without: Safeguard,
    sees: str | tuple[str, ...],
    stage: tuple[str, ...] = (),
) -> Switch:
    """The stage at which its absence is found by the next step."""

    def short(stack: Stack) -> ProofReport:
        return explore(stack, depth=1, stages=[stage], stop_at_first=True)

    return Switch(without=without, sees=sees, run=short)


_DOUBLED = ("doubled", "arrived twice")
_TWO_LOOKS = (*look(2, "1"), *look(3, "5"))
_LOOKED = STAGES["looked after, and lost"]


def _taken_for(assignment: str) -> tuple[str, str]:
    """What begin then takes for so, whatever it has read."""
    return r"where r\.id = v_row\.id;", rf"\g<0> v_claim.{assignment};"


_ROW = _taken_for("sms_consent_status := 'opted_in'")
_KEPT = (_taken_for("phone := null"), _taken_for("customer_id := null"))
"""Whom begin asks about."""
_STOP = "the customer texts STOP"
_PROCESSOR_SENT = (
    PROCESSOR,
    "the application's processor sends: accepted",
    "the application's processor dies",
)
SWITCHES = {
    "a begin knows its claim, and whether another send is under way": _switch(  # each would do alone
        edited(
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
        "bugs: worker 2 begin: Refused",  # by the rule that a claim has one attempt
        (*CLAIM, "a lease goes by", "recover", "claim due"),
    ),
    "a worker that slept does not send": _switch(
        Safeguard(patches=((pipeline, "SEND_WITHIN_SECONDS", 1e9),)),
        _DOUBLED,
        (*BEGUN, "a lease goes by", "recover", *_TWO_LOOKS, *look(4, "15")),
    ),
    "begin reads consent": _switch(
        edited(BEGIN, _ROW, *_KEPT),
        "sent wrongly: after the customer had said stop",
        CLAIM,
    ),
    "begin reads what was kept of the number": _switch(
        edited(BEGIN, *_KEPT),
        "sent wrongly: after the customer had said stop",
        (*CLAIM, _STOP, "the application imports an old opt-in"),
    ),
    "begin reads the customer's row": _switch(
        edited(BEGIN, _ROW),
        "sent wrongly: after the customer had said stop",
        (*CLAIM, "its customer opts out while no trigger is at work"),
    ),
    "a STOP is kept before it is answered": _switch(
        edited(
            "public.record_inbound_sms",
            (r"v_source is null or", "v_said = 'opted_out' or"),
        ),
        "sent wrongly: after the customer had said stop",
        CLAIM,
    ),
    "begin reads the clock": _switch(
        edited(BEGIN, (r"decided_at >= send_before", "false")),
        "sent wrongly: outside the window",
        CLAIM,
    ),
    "begin knows its text's end": _switch(  # so does the decision that names the last moment for it
        edited(
            BEGIN,
            (r"decided_at >= send_before", "false"),
            _taken_for("expires_at := null"),
        ),
        "sent wrongly: past its text's end",
        ("it is of use for an hour", *CLAIM),
    ),
    "the provider is asked about a lost message before the next one leaves": _switch(
        ASKING,
        _DOUBLED,
        (*PUT_BACK, "message 1 is delivered after all", "29 min go by", "1 min go by"),
    ),
    "a report that comes late changes nothing": _switch(
        RANKS,
        "delivery forgotten: by its attempt",
        (
            *LOST,
            "message 1 is delivered after all",
            "Twilio reports message 1: delivered",
        ),
    ),
    "a late delivery ends the wait for the next message": _switch(
        edited("smsretry.record_delivery", (r"elsif v_arrived and", "elsif false and")),
        ("delivery forgotten: by its send log", "arrived twice"),
        PUT_BACK,
    ),
    "the claim of the application's own processor counts as a send": _switch(
        edited(
            "public.recover_stuck_sms_retries",
            (r"if v_row\.claimed_by_application and", "if false and"),
        ),
        _DOUBLED,
        _PROCESSOR_SENT,
    ),
    "a text that failed in doubt is in doubt when it is queued anew": _switch(
        edited(
            "smsretry.enter_queue",
            (r"if v_doubt\.attempt_id is not null then", "if false then"),
        ),
        _DOUBLED,
        (*FAILED_IN_DOUBT, "the application queues the text anew"),
    ),
    "finish knows its claim, or its attempt": _switch(  # each would do alone
        edited(
            "public.finish_sms_attempt",
            (
                r"smsretry\.fenced\(retry_id, claim_no\)",
                "(select q from public.sms_retry_queue q where q.id = retry_id)",
            ),
            (r" and v_row\.attempt_id = attempt_id, false", ", false"),
        ),
        _DOUBLED,
        (
            *(*BEGUN, "worker 1 sends: refused for now", "a lease goes by", "recover"),
            *(*_TWO_LOOKS, *look(4, "15"), *CLAIM, "worker 5 begin"),
        ),
    ),
    "a late word leaves the log of the message that counts": _switch(
        edited(
            "smsretry.accept_attempt",
            (r"and smsretry\.found_sid\(l\.provider_message_id\) is null", ""),
        ),
        "delivery forgotten: by its send log",
        (
            *(*ARRIVED, "a person says that it did not go out", *CLAIM),
            *("worker 2 begin", "worker 2 sends: accepted", "worker 2 finish"),
            *("message 2 is delivered", "Twilio reports message 2: delivered"),
        ),
    ),
    "a look after a message knows that another one came after it": _switch(
        edited(
            "public.finish_sms_delivery",
            (r"\(v_attempt\.delivery_asks = asks\) is not true", "false"),
        ),
        "retried too often",
        (
            *("it may be sent three times", *_LOOKED, "15 min go by"),
            *("a delivery is looked after",),
            *(
                "look 2 after a message asks about a message",
                "look 2 after a message follow",
            ),
            *("29 min go by", "1 min go by", *CLAIM, "worker 2 asks about a message"),
            *("worker 2 begin", "worker 2 sends: accepted", "worker 2 finish"),
            *("message 2 is lost", "Twilio reports message 2: lost"),
        ),
    ),
    "a lost message leads to another one only if nothing else may": _switch(
        edited(
            "public.finish_sms_delivery",
            (
                r"if \(case when v_fails",
                "if false and (case when v_fails",
            ),
        ),
        ("bugs: look 1", *_DOUBLED),
        (*_LOOKED, "the application inserts the next try"),
    ),
    "a look waits for the answer to another send to the number": _switch(
        edited(
            "public.reconcile_sms_retry",
            (r"if v_found <> '\{\}' and exists", "if false and exists"),
        ),
        "unsettled: another text's message",
        (ALIKE, *NEVER_ARRIVED, *OTHER_SENT, "1 min go by", "claim doubtful"),
    ),
    "recovery keeps the row": _switch(
        edited(
            "public.recover_stuck_sms_retries",
            (
                r"perform smsretry\.save_row\(v_row.*?\);",
                "delete from public.sms_retry_queue q where q.id = v_row.id;",
            ),
        ),
        "lost: gone",
        (*CLAIM, "a lease goes by"),
    ),
    "what is refused for now is tried again": _switch(
        Safeguard(patches=((pipeline, "after_send", _is_the_end),)),
        "untrue end: failed after 1 of 2",
        BEGUN,
    ),
    "looks that find nothing say nothing": _switch(
        Safeguard(patches=((doubt, "_without_evidence", _was_sent),)),
        (
            "lost: completed, and nothing was sent",
            "untrue end: completed as already sent",
        ),
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
    ),
    "begin reads where the text goes": _switch(
        SENDER,
        "astray: to a number that the customer has no more",
        (*CLAIM, "the application changes the number"),
    ),
    "begin reads the words that nobody has read": _switch(
        Safeguard(
            replaces="smsretry.refusals",
            edits=((r"t\.message_class is distinct from 'transactional'", "false"),),
        ),
        "sent wrongly: while nobody had read",
        STAGES["with unread words, and claimed"],
    ),
    "the application's processor gets no text that may not go": _switch(
        edited("public.claim_due_sms_retries", (r"t\.refused is not null", "false")),
        "sent wrongly: handed out as opted in",
        STAGES["with unread words"],
    ),
    "an opt-out cancels no text in doubt": _switch(
        edited("smsretry.write_consent", (r"and q\.in_doubt_since is null", "")),
        "misreported: cancelled, though accepted",
        ARRIVED,
    ),
    "looks come to an end": _switch(
        Safeguard(patches=((doubt, "MIN_LOOKS", 10**6),)),
        "stuck",
        (*NEVER_ARRIVED, *_TWO_LOOKS),
    ),
    "a text has as many attempts as it may": _switch(
        Safeguard(patches=((before, "_problem", lambda _: None),)),
        "too many attempts",
        (
            *(*STAGES["to be sent again"], *CLAIM, "worker 5 begin"),
            *("worker 5 sends: unheard", "worker 5 finish"),
            *(*look(6, "1"), *look(7, "5"), *look(8, "15")),
        ),
    ),
    "a story tells the row's state": _switch(
        edited("smsretry.live_state", (r"in_doubt_since is not null", "false")),
        "told wrongly: in_doubt, and the story says waiting",
        (*BEGUN, "worker 1 sends: accepted unheard"),
    ),
}
