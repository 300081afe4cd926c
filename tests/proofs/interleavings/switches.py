"""Each safeguard taken away: the exploration must find what that breaks, and by the shortest sequence of steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from smsretry.local.stack import Stack
from smsretry.retry import doubt
from smsretry.sending import pipeline
from tests.proofs.faults.switches import NO_FENCE
from tests.proofs.interleavings.actors import AT_WORK
from tests.proofs.interleavings.explore import Report, explore
from tests.proofs.interleavings.people import application, inbound
from tests.proofs.interleavings.stages import ARRIVED, BEGUN, CLAIM, look
from tests.proofs.interleavings.steps import Actor
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
SWITCHES: Final = {
    "a worker that lost its claim changes nothing": Switch(
        replaces="smsretry.fenced",
        sql=NO_FENCE,
        sees=_DOUBLED,
        stage=(*CLAIM, "a lease goes by", "recover", "claim due"),
    ),
    "a worker that slept does not send": Switch(
        patches=((pipeline, "SEND_WITHIN_SECONDS", 1e9),),
        sees=_DOUBLED,
        stage=(*BEGUN, "a lease goes by", "recover", *look(2, "1"), *look(3, "5"), *look(4, "15")),
        depth=5,
    ),
    "a text in doubt waits for three looks and a quarter of an hour": Switch(
        patches=((doubt, "MIN_LOOKS", 1), (doubt, "MIN_QUARANTINE", timedelta(0))),
        sees=_DOUBLED,
        stage=(*ARRIVED, "1 min go by", "claim doubtful"),
        depth=6,
    ),
    "a send that began is in doubt when its worker dies": Switch(
        replaces="smsretry.recover_row",
        edits=((r"if retry\.begun_at is not null then", "if false then"),),
        sees="nothing ends it",  # begin still asks what other attempts came to
        stage=(*BEGUN, "worker 1 sends: accepted", "a lease goes by"),
        depth=5,
    ),
    "begin reads consent": Switch(
        replaces="smsretry.admit_send",
        edits=((r"v_customer\.sms_consent_status::text, v_key\)", "'opted_in', null)"),),
        sees="a send began after the customer had said stop",
        stage=CLAIM,
        actors=(*AT_WORK, application, inbound),
        depth=3,
    ),
}
