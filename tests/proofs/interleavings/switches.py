"""Each safeguard taken away: the exploration must find what that breaks, and by the shortest sequence of steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from smsretry.local.stack import Stack
from smsretry.retry import before, doubt
from smsretry.retry.after import after_send
from smsretry.retry.decision import Cancel, Complete, Fail, Retry
from smsretry.sending import pipeline
from tests.proofs.interleavings.explore import AT_WORK, Report, explore
from tests.proofs.interleavings.people import customers, inbound
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
    look,
)
from tests.proofs.interleavings.state import Actor
from tests.proofs.interleavings.surroundings import carrier
from tests.proofs.interleavings.workers import workers
from tests.proofs.town.safeguards import ASKING, BEGIN, EVIDENCE, FENCE, QUARANTINE, RANKS, Safeguard, without
from tests.support.builders import NOON

_without_evidence = doubt._without_evidence


def _is_the_end(*known: Any, **more: Any) -> Any:
    """A refusal that passes ends the text."""
    decision = after_send(*known, **more)
    return Fail(decision.why, decision.why_code, decision.code) if isinstance(decision, Retry) else decision


def _was_sent(*known: Any) -> Any:
    """Where nothing was found, it was sent."""
    decision = _without_evidence(*known)
    sent = Complete("Already sent", "already_sent", sid=None, by="callback")
    return sent if isinstance(decision, Retry) else decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """A safeguard, and where its absence is looked for."""

    without: Safeguard
    sees: str | tuple[str, ...]
    """How what is found then begins."""
    stage: tuple[str, ...] = ()
    actors: Sequence[Actor] = AT_WORK
    depth: int = 7

    def explore(self, stack: Stack) -> Report:
        """Look for what its absence breaks."""
        with without(stack, self.without):
            return explore(stack, NOON, depth=self.depth, stages=[self.stage], actors=self.actors, stop_at_first=True)


def _edit(function: str, *edits: tuple[str, str]) -> Safeguard:
    return Safeguard(replaces=function, edits=edits)


_DOUBLED: Final = ("doubled", "arrived twice")
_TWO_LOOKS: Final = (*look(2, "1"), *look(3, "5"))
SWITCHES: Final = {
    "a worker that lost its claim changes nothing": Switch(
        without=FENCE,
        sees=_DOUBLED,
        stage=(*CLAIM, "a lease goes by", "recover", "claim due"),
    ),
    "a begin knows its claim, and whether another send is under way": Switch(  # each would do alone
        without=_edit(
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
        sees="begin is refused",  # by the rule that a claim has one attempt
        stage=(*CLAIM, "a lease goes by", "recover", "claim due"),
        actors=(workers,),
        depth=5,
    ),
    "a worker that slept does not send": Switch(
        without=Safeguard(patches=((pipeline, "SEND_WITHIN_SECONDS", 1e9),)),
        sees=_DOUBLED,
        stage=(*BEGUN, "a lease goes by", "recover", *_TWO_LOOKS, *look(4, "15")),
        actors=(workers,),
        depth=5,
    ),
    "a text in doubt waits for three looks and a quarter of an hour": Switch(
        without=QUARANTINE,
        sees=_DOUBLED,
        stage=(*ARRIVED, "1 min go by", "claim doubtful"),
        depth=6,
    ),
    "begin reads consent": Switch(
        without=_edit(
            BEGIN,
            (
                r"v_customer\.sms_consent_status::text, v_key\)",
                "'opted_in', null)",
            ),
        ),
        sees="a send began after the customer had said stop",
        stage=CLAIM,
        actors=(*AT_WORK, customers, inbound),
        depth=3,
    ),
    "begin reads the clock": Switch(
        without=_edit(
            BEGIN,
            (r"decided_at >= send_before", "false"),
        ),
        sees="a send began outside the window",
        stage=CLAIM,
        depth=2,
    ),
    "begin knows its text's end": Switch(  # so does the decision that names the last moment for it
        without=_edit(BEGIN, (r"decided_at >= send_before", "false"), (r"v_row\.expires_at <= decided_at", "false")),
        sees="a send began past its text's end",
        stage=("it is of use for an hour", *CLAIM),
        depth=2,
    ),
    "evidence is looked for in the provider's list": Switch(
        without=EVIDENCE,
        sees=_DOUBLED,
        stage=(*ARRIVED, *_TWO_LOOKS, "15 min go by", "claim doubtful"),
        depth=6,
    ),
    "the provider is asked about a lost message before the next one leaves": Switch(
        without=ASKING,
        sees=_DOUBLED,
        stage=(*PUT_BACK, "message 1 is delivered after all", "29 min go by", "1 min go by"),
        depth=4,
    ),
    "a report that comes late changes nothing": Switch(
        without=RANKS,
        sees="its delivery is forgotten",
        stage=LOST,
        actors=(carrier,),
        depth=3,
    ),
    "a late delivery ends the wait for the next message": Switch(
        without=_edit("smsretry.record_delivery", (r"elsif v_arrived and", "elsif false and")),
        sees="it was delivered, and its send log does not say so",
        stage=PUT_BACK,
        actors=(carrier,),
        depth=3,
    ),
    "the claim of the application's own processor counts as a send": Switch(
        without=_edit("public.recover_stuck_sms_retries", (r"if v_row\.claimed_by_application and", "if false and")),
        sees=_DOUBLED,
        stage=(PROCESSOR, "the application's processor sends: accepted", "the application's processor dies"),
        depth=5,
    ),
    "a text that failed in doubt is in doubt when it is queued anew": Switch(
        without=_edit("smsretry.enter_queue", (r"if v_doubt\.attempt_id is not null then", "if false then")),
        sees=_DOUBLED,
        stage=(*FAILED_IN_DOUBT, "the application queues the text anew"),
        depth=4,
    ),
    "a look waits for the answer to another send to the number": Switch(
        without=_edit(
            "public.reconcile_sms_retry", (r"\(twilio_sid is not null or ambiguous is not null\) and", "false and")
        ),
        sees="unsettled: another text's message",
        stage=(ALIKE, *NEVER_ARRIVED, *OTHER_SENT, "1 min go by", "claim doubtful"),
        depth=2,
    ),
    "recovery keeps the row": Switch(
        without=_edit(
            "public.recover_stuck_sms_retries",
            (r"perform smsretry\.save_row\(v_row.*?\);", "delete from public.sms_retry_queue q where q.id = v_row.id;"),
        ),
        sees="lost: gone",
        stage=(*CLAIM, "a lease goes by"),
        depth=1,
    ),
    "what is refused for now is tried again": Switch(
        without=Safeguard(patches=((pipeline, "after_send", _is_the_end),)),
        sees="untrue end: failed after 1 of 2",
        stage=BEGUN,
        actors=(workers,),
        depth=3,
    ),
    "looks that find nothing say nothing": Switch(
        without=Safeguard(patches=((doubt, "_without_evidence", _was_sent),)),
        sees=("lost: completed, and nothing was sent", "untrue end: completed as already sent"),
        stage=(*NEVER_ARRIVED, *_TWO_LOOKS),
        depth=4,
    ),
    "nobody opts out without a word": Switch(
        without=Safeguard(
            patches=((before, "before_send", lambda *_, **__: Cancel("Customer opted out", "opted_out")),)
        ),
        sees="untrue end: cancelled as opted out",
        depth=2,
    ),
}
