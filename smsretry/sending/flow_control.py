"""May another send of this run begin? The circuit breaker of a run, and its throttle.

It shuts when the trouble is not the text's: the account is refused, the provider cannot be reached or fails several
times in a row, or the process is asked to stop. What would be sent then goes back untouched. A provider that asks to go
slower is obeyed: the sends wait, and then fewer of them are under way at once.
"""

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final, assert_never

from smsretry.retry import policy
from smsretry.retry.decision import GiveBack, PutOff
from smsretry.retry.models import Claim
from smsretry.retry.outcome import Accepted, InDoubt, NotSent, Outcome, Refusal, Rejected
from smsretry.sending.breaker import IN_A_ROW, Breaker, Tally
from smsretry.sending.in_flight import InFlight
from smsretry.sending.rate_limit import RateLimit
from smsretry.sending.throttle import Throttle

PROBE_SECONDS: Final = 60.0
"""How long the others wait for what becomes of the probe: longer than a send takes."""
_PROBING: Final = "Sending had stopped: another text goes first, to see whether it works again"


class FlowControl:
    """One per run and sender; shared by the run's threads."""

    def __init__(self, rate_limit: RateLimit | None = None) -> None:
        self._rate_limit = rate_limit
        # Reentrant, because a signal handler may stop the flow control while its own thread holds the lock.
        self._lock = threading.Condition(threading.RLock())
        self._throttle = Throttle()
        self.in_flight: Final = InFlight()
        """What the run has claimed, and has not seen to its next state."""
        self._breaker = Breaker(self.in_flight)
        self._database = Tally(self.in_flight)
        self.patient_until = 0.0
        """By `time.monotonic`: how long the run may wait when the provider asks to go slower, instead of stopping."""
        self.shut_because: str | None = None
        """Why no further send may begin."""
        self.broken: str | None = None
        """Why the database cannot be asked. The next run asks again; nothing is remembered where nothing can be."""

    @property
    def circuit(self) -> str | None:
        """What is wrong beyond this run, and what to do about it: the next run probes with one text."""
        return self._breaker.circuit

    @property
    def healthy(self) -> bool:
        """Whether the provider has accepted a text, or refused one for its own sake: sending works."""
        return bool(self._breaker.sends.well)

    @property
    def breaker(self) -> Breaker:
        """What the run has learned of its sender."""
        return self._breaker

    @property
    def is_unsure(self) -> bool:
        """Whether it is open whose the trouble is, so that the rows in flight must tell before others are claimed."""
        with self._lock:
            return self._breaker.is_unsure or self._database.in_a_row >= IN_A_ROW

    def take(self, claims: Sequence[Claim], *, everybody: bool = True) -> None:
        """These were claimed.

        Args:
            everybody: whether all who have a text due have one among them.
        """
        self.in_flight.take(claims)
        with self._lock:
            self._breaker.everybody = everybody
            self._judge()

    def done(self, claim: Claim) -> None:
        """It has come to its next state. If it was the last innocent's in flight, it is known whose the trouble is."""
        self.in_flight.done(claim)
        with self._lock:
            self._judge()
            self._lock.notify_all()  # another may be the best probe now

    def probe(self, claim: Claim | None = None) -> None:
        """The circuit was open: one send goes first while the others wait for it.

        Args:
            claim: tells since when.
        """
        since = claim.circuit_opened_at if claim else None
        with self._lock:
            self._breaker.begin_probing(claim.claimed_at - since if claim and since else None)

    def admit(self, claim: Claim) -> PutOff | None:
        """Let a send begin, or say why not. A send that was let in is followed by `observe`, or by `withdraw`.

        Raises:
            QueueError: the sender's time could not be leased.
        """
        if put_off := self._put_off(claim):
            return put_off
        while (
            self._rate_limit
            and not self.shut_because
            and (seconds := self._rate_limit.turn(claim.id, claim.body or ""))
        ):
            self.wait(seconds)
        with self._lock:
            self._lock.wait_for(lambda: not self._waits(claim), PROBE_SECONDS)
            while self._throttle.holds(self._breaker.under_way) and not self.shut_because:
                self._lock.wait(self._throttle.seconds)
            if self.shut_because:
                return GiveBack(self.shut_because, "sending_stopped")
            if self._breaker.probing and not self._breaker.is_fit(claim):
                # Given back, it would fill the claim that is to bring others.
                return policy.suspected(claim, _PROBING, "sending_stopped")
            if self._breaker.probing and not self._breaker.may_probe:
                return GiveBack(_PROBING, "sending_stopped")
            if put_off := self._put_off(claim):
                return put_off
            self._breaker.begins(claim)
            return None

    def _put_off(self, claim: Claim) -> PutOff | None:
        """Whether the text waits because of its own business's trouble, so that others' go on."""
        with self._lock:
            if self.shut_because:
                return GiveBack(self.shut_because, "sending_stopped")
            if claim.business_id in self._database.suspects:
                return policy.unasked(claim.claimed_at, self.broken or "")
            why = self._breaker.puts_off(claim)
            return policy.suspected(claim, why) if why else None

    def _waits(self, claim: Claim) -> bool:
        """Whether it may be a later probe, or one of the first. Else it would keep a thread from one that may go."""
        breaker = self._breaker
        if self.shut_because or breaker.puts_off(claim):
            return False
        if not breaker.probing:
            return breaker.has_enough_under_way(claim.business_id)
        if breaker.is_fit(claim):
            return not breaker.may_probe
        # When the circuit was open, whoever is to go before it was claimed before it, and has a thread of its own.
        return breaker.was_open and not breaker.comes_to_nothing(claim.business_id)

    def withdraw(self, claim: Claim) -> None:
        """The send that was let in did not begin."""
        with self._lock:
            self._ended(claim)

    def _ended(self, claim: Claim) -> None:
        self._breaker.ends(claim)
        self._lock.notify_all()

    def distrust(self, claim: Claim, why: str) -> None:
        """The database could not be asked whether this text may go; somebody must mend that.

        No further send begins once that is so for every business of the run. Before that it may be this row's trouble
        alone.
        """
        with self._lock:
            self.broken = self.broken or why
            self._database.fails(claim.business_id)
            self._judge()

    def trust(self, claim: Claim) -> None:
        """The database could be asked: what failed before was a row's own trouble, or is over."""
        with self._lock:
            self._database.goes_well(claim.business_id)

    def wait(self, seconds: float) -> None:
        """Wait so long, or until flow control is shut."""
        with self._lock:
            self._lock.wait_for(lambda: self.shut_because, seconds)

    def stop(self, why: str) -> None:
        """Let no further send begin. The reason ends with this run."""
        with self._lock:
            self.shut_because = self.shut_because or why
            self._lock.notify_all()

    def observe(self, claim: Claim, outcome: Outcome) -> None:
        """Learn from what became of a send."""
        with self._lock:
            self._ended(claim)
            match outcome:
                case Accepted():
                    self._works(claim)
                case Rejected(refusal, retry_after):
                    self._refused(claim, refusal, retry_after.total_seconds() if retry_after else 0.0)
                case NotSent(why) | InDoubt(why):
                    self._breaker.fails(claim, why)
                case _:
                    assert_never(outcome)
            self._judge()

    def _refused(self, claim: Claim, refusal: Refusal, retry_after: float) -> None:
        if refusal.kind == "account":
            self._breaker.refuses(claim, refusal)
        elif refusal.kind != "rate_limit" or refusal.level == "recipient":
            self._works(claim)
        elif self._breaker.is_everybodys_limit(claim):
            if not self._throttle.slow_down(self._breaker.under_way, retry_after, patient_until=self.patient_until):
                self.stop(f"The provider asks to go slower ({refusal})")
        else:
            if not self._throttle.is_waiting:  # else it is of the same burst
                self._breaker.sends.fails_by_itself(claim.business_id)
            self._throttle.slow_down(self._breaker.under_way, 0.0, patient_until=self.patient_until)

    def _works(self, claim: Claim) -> None:
        self._throttle.release()
        self._breaker.works(claim)

    def _judge(self) -> None:
        """Shut the flow control if the trouble is everybody's."""
        self._breaker.judge()
        if self._breaker.circuit:
            self.stop(self._breaker.circuit)
        nobody_else = self._breaker.everybody and not self._database.innocents
        if self.broken and self._database.failing and nobody_else:
            self.stop(self.broken)


@contextmanager
def stopped_by(flow_control: FlowControl, *signals: signal.Signals) -> Iterator[None]:
    """Let these signals stop the flow control and nothing else: sends under way end, and the rest is given back.

    Only the main thread may handle signals. In any other they keep their meaning.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        flow_control.stop(f"This run was asked to stop ({signal.Signals(number).name})")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
