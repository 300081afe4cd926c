"""Each safeguard taken away: the exploration must find what that breaks, and by the shortest sequence of steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from smsretry.local.stack import Stack
from smsretry.retry import doubt
from smsretry.retry.evidence import Found
from smsretry.sending import pipeline
from tests.proofs.interleavings.actors import AT_WORK
from tests.proofs.interleavings.application import customers
from tests.proofs.interleavings.explore import Report, explore
from tests.proofs.interleavings.people import inbound
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
from tests.proofs.interleavings.steps import Actor
from tests.proofs.interleavings.surroundings import carrier
from tests.proofs.interleavings.workers import workers
from tests.proofs.town.safeguards import FENCE
from tests.support.builders import NOON
from tests.support.safeguards import Safeguard, without


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch(Safeguard):
    """A safeguard, and where its absence is looked for."""

    sees: str
    """What is found then."""
    stage: tuple[str, ...] = ()
    actors: Sequence[Actor] = AT_WORK
    depth: int = 7

    def explore(self, stack: Stack) -> Report:
        """Look for what its absence breaks."""
        with without(stack, self):
            return explore(stack, NOON, depth=self.depth, stages=[self.stage], actors=self.actors, stop_at_first=True)


_DOUBLED: Final = "two messages for one text"
_TWO_LOOKS: Final = (*look(2, "1"), *look(3, "5"))
SWITCHES: Final = {
    "a worker that lost its claim changes nothing": Switch(
        replaces="smsretry.fenced",
        sql=FENCE.sql,
        sees=_DOUBLED,
        stage=(*CLAIM, "a lease goes by", "recover", "claim due"),
    ),
    "a begin knows its claim, and whether another send is under way": Switch(  # each would do alone
        replaces="public.begin_sms_attempt",
        edits=(
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
        patches=((pipeline, "SEND_WITHIN_SECONDS", 1e9),),
        sees=_DOUBLED,
        stage=(*BEGUN, "a lease goes by", "recover", *_TWO_LOOKS, *look(4, "15")),
        actors=(workers,),
        depth=5,
    ),
    "a text in doubt waits for three looks and a quarter of an hour": Switch(
        patches=((doubt, "MIN_LOOKS", 1), (doubt, "MIN_QUARANTINE", timedelta(0))),
        sees=_DOUBLED,
        stage=(*ARRIVED, "1 min go by", "claim doubtful"),
        depth=6,
    ),
    "begin reads consent": Switch(
        replaces="public.begin_sms_attempt",
        edits=(
            (
                r"v_customer\.sms_consent_status::text,\s+smsretry\.number_key\(.*?\)\)",
                "'opted_in', null)",
            ),
        ),
        sees="a send began after the customer had said stop",
        stage=CLAIM,
        actors=(*AT_WORK, customers, inbound),
        depth=3,
    ),
    "begin reads the clock": Switch(
        replaces="public.begin_sms_attempt",
        edits=((r"decided_at >= send_before", "false"),),
        sees="a send began outside the window",
        stage=CLAIM,
        depth=2,
    ),
    "begin knows its text's end": Switch(  # so does the decision that names the last moment for it
        replaces="public.begin_sms_attempt",
        edits=(
            (r"decided_at >= send_before", "false"),
            (r"v_row\.expires_at <= decided_at", "false"),
        ),
        sees="a send began past its text's end",
        stage=("it is of use for an hour", *CLAIM),
        depth=2,
    ),
    "evidence is looked for in the provider's list": Switch(
        patches=((doubt, "find", lambda _look, _sent: Found((), ())),),
        sees=_DOUBLED,
        stage=(*ARRIVED, *_TWO_LOOKS, "15 min go by", "claim doubtful"),
        depth=6,
    ),
    "the provider is asked about a lost message before the next one leaves": Switch(
        patches=((pipeline, "before_sending_again", lambda _said, at: None),),
        sees=_DOUBLED,
        stage=(*PUT_BACK, "message 1 is delivered after all", "29 min go by", "1 min go by"),
        depth=4,
    ),
    "a report that comes late changes nothing": Switch(
        replaces="smsretry.record_delivery",
        edits=((r"\(v_rank > v_known\) is not true", "v_rank is null"),),
        sees="its delivery is forgotten",
        stage=LOST,
        actors=(carrier,),
        depth=3,
    ),
    "a late delivery ends the wait for the next message": Switch(
        replaces="smsretry.record_delivery",
        edits=((r"elsif v_arrived and not", "elsif false and not"),),
        sees="it was delivered, and its send log does not say so",
        stage=PUT_BACK,
        actors=(carrier,),
        depth=3,
    ),
    "the claim of the application's own processor counts as a send": Switch(
        replaces="smsretry.recover_row",
        edits=((r"if retry\.claimed_by_application and", "if false and"),),
        sees=_DOUBLED,
        stage=(PROCESSOR, "the application's processor sends: accepted", "the application's processor dies"),
        depth=5,
    ),
    "a text that failed in doubt is in doubt when it is queued anew": Switch(
        replaces="smsretry.before_insert",
        edits=((r"if v_doubt\.attempt_id is not null then", "if false then"),),
        sees=_DOUBLED,
        stage=(*FAILED_IN_DOUBT, "the application queues the text anew"),
        depth=4,
    ),
    "a look waits for the answer to another send to the number": Switch(
        replaces="smsretry.may_be_unanswered",
        edits=((r"(?s)select exists.*<= may_be_unanswered\.at\)\)", "select false"),),
        sees="another text's message is taken for its own",
        stage=(ALIKE, *NEVER_ARRIVED, *OTHER_SENT, "1 min go by", "claim doubtful"),
        depth=2,
    ),
}
