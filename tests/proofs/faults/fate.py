"""Where a worker of the proof dies or stops, and how it tells the harness."""

import os
import signal
import threading
from collections.abc import Sequence
from datetime import timedelta

from smsretry.retry.delivery import OpenDelivery
from smsretry.retry.models import Claim
from tests.proofs.faults.orders import Event, KillPoint, Order, PollPoint, StallPoint, dice


def report_event(event: Event) -> None:
    """One line, in one write: lines of several processes do not mix."""
    os.write(1, event.model_dump_json().encode() + b"\n")


class Fate:
    """Where this worker dies or stops, decided by the order's seed, the text and its claim number."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._claims: dict[str, Claim] = {}
        self._stalled = False
        self.overslept = timedelta(0)
        """How long it stood still, by what it is told."""

    def learn(self, claims: Sequence[Claim]) -> None:
        """Remember the claims by body, and those in doubt by number."""
        for claim in claims:
            self._claims[(claim.sent_to if claim.in_doubt_since else claim.body) or ""] = claim

    def at(self, point: KillPoint, name: str) -> None:
        """The worker is at this point with the text of this body, or number when it looks."""
        claim = self._claims.get(name)
        if claim is not None and self._dies(point, claim):
            self.die(point)
        if point == self._order.stall_at:
            self.stall(point, name)

    def at_delivery(self, point: PollPoint, message: OpenDelivery) -> None:
        """The worker is at this point with a message that it looks after."""
        lot = dice(self._order.seed, message.send_log_id, message.looks)
        if point == self._order.kill_at and lot < self._order.kill_rate:
            self.die(point)
        if point == self._order.stall_at:
            self.stall(point, str(message.send_log_id))

    def die(self, point: str) -> None:
        """Here."""
        report_event(Event(worker=self._order.worker, kind="killed", detail=point))
        os.kill(os.getpid(), signal.SIGKILL)

    def stall(self, point: StallPoint, name: str) -> None:
        """Stop with this text, once, until somebody continues this process."""
        if not self._stalled:
            self._stalled = True
            held = (name, *(other for other in self._claims if other != name))
            report_event(Event(worker=self._order.worker, kind="stalled", detail=point, bodies=held))
            # To this very thread: of the whole process some other thread is stopped first, and this one runs on.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
            self.overslept = self._order.oversleeps

    def _dies(self, point: KillPoint, claim: Claim) -> bool:
        if claim.body in self._order.kill_targets and point == "answered":
            return True
        return point == self._order.kill_at and (
            dice(self._order.seed, claim.body, claim.claim_no) < self._order.kill_rate
        )
