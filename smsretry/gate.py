"""May another send of this run begin? The circuit breaker of a run, and its brake.

It shuts when the trouble is not the text's: the account is refused, the provider cannot be reached or fails several
times in a row, or the process is asked to stop. What would be sent then goes back untouched. A provider that asks to go
slower is obeyed: the sends wait, and then fewer of them are under way at once.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, assert_never
from uuid import UUID

from smsretry.brake import Brake
from smsretry.pace import Pace
from smsretry.retry.models import Claim
from smsretry.retry.outcome import Accepted, InDoubt, NotSent, Outcome, Refusal, Rejected

IN_A_ROW: Final = 3
"""Failures to reach the provider, or to get an answer from it, that shut the gate."""

SEVERAL_RECIPIENTS: Final = 3
SEVERAL_BUSINESSES: Final = 2
ENOUGH_BUSINESSES: Final = 10
"""Whose texts must be refused before a refusal that may concern one destination is taken for the account's: several
people's, and those of every business in the run, up to enough of them. Otherwise two tenants who text where this
account cannot send would stop everybody's texts."""
PROBE_SECONDS: Final = 60.0
"""How long the others wait for what becomes of the probe: longer than a send takes."""


class Gate:
    """One per run; shared by its threads."""

    def __init__(self, pace: Pace | None = None) -> None:
        self._pace = pace
        # Reentrant, because a signal handler may stop the gate while its own thread holds the lock.
        self._lock = threading.Condition(threading.RLock())
        self._limit = IN_A_ROW
        self._under_way = 0
        self._brake = Brake()
        self.patient_until = 0.0
        """By `time.monotonic`: how long the run may wait when the provider asks to go slower, instead of stopping."""
        self._in_a_row = 0
        self._probing = False
        self._probe_is_out = False
        self._unfit = frozenset[UUID]()
        self._refused = dict[UUID, set[str]]()
        self._unasked = set[UUID]()
        self._businesses = 0
        self.shut_because: str | None = None
        """Why no further send may begin."""
        self.circuit: str | None = None
        """What is wrong beyond this run, and what to do about it: the next run probes with one text."""
        self.broken: str | None = None
        """Why the database cannot be asked. The next run asks again; nothing is remembered where nothing can be."""
        self.healthy = False
        """Whether the provider has accepted a text, or refused one for its own sake: sending works."""

    def expect(self, businesses: int) -> None:
        """How many businesses have texts in this run."""
        self._businesses = businesses

    def probe(self, *, unfit: frozenset[UUID] = frozenset()) -> None:
        """The circuit was open: one send goes first while the others wait for it, and one failure keeps it open.

        Args:
            unfit: rows for which the account was refused before. They may be what opened it, so none goes first.
        """
        self._limit = 1
        self._probing = True
        self._unfit = unfit

    def admit(self, claim: Claim) -> str | None:
        """Let a send begin, or say why not. A send that was let in is followed by `observe`, or by `withdraw`.

        Raises:
            QueueError: the sender's time could not be leased.
        """
        while self._pace and not self.shut_because and (seconds := self._pace.turn(claim.id, claim.body or "")):
            self.wait(seconds)
        with self._lock:
            # An unfit one waits for nothing: it would keep a thread from the text that may go first.
            fit = claim.id not in self._unfit
            answered = fit and self._lock.wait_for(lambda: not self._waiting(), PROBE_SECONDS)
            while self._brake.holds(self._under_way) and not self.shut_because:
                self._lock.wait(self._brake.seconds)
            if self.shut_because:
                return self.shut_because
            if self._probing and not answered:
                return "Sending had stopped: another text goes first, to see whether it works again"
            self._probe_is_out = self._probing
            self._under_way += 1
            return None

    def _waiting(self) -> bool:
        return self._probing and self._probe_is_out and not self.shut_because

    def withdraw(self) -> None:
        """The send that was let in did not begin."""
        with self._lock:
            self._probe_is_out = False
            self._ended()

    def _ended(self) -> None:
        self._under_way = max(self._under_way - 1, 0)
        self._lock.notify_all()

    def distrust(self, claim: Claim, why: str) -> None:
        """The database could not be asked whether this text may go; somebody must mend that.

        No further send begins once that is so for every business of the run, or for enough of them. Before that it may
        be this row's trouble alone.
        """
        with self._lock:
            self.broken = self.broken or why
            self._unasked.add(claim.business_id)
            everybody = len(self._unasked) >= min(self._businesses, ENOUGH_BUSINESSES)
        if everybody:
            self.stop(why)

    def trust(self) -> None:
        """The database could be asked: what failed before was a row's own trouble, or is over."""
        with self._lock:
            self._unasked.clear()

    def wait(self, seconds: float) -> None:
        """Wait so long, or until the gate is shut."""
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
            self._ended()
        match outcome:
            case Accepted():
                self._works()
            case Rejected(refusal, retry_after):
                if refusal.kind == "account" and self._proves(claim, refusal):
                    self._open(f"The account is refused, not the text: {refusal}. Run `smsretry doctor`")
                elif refusal.kind == "rate_limit" and refusal.level != "recipient":
                    with self._lock:
                        patient = self._brake.slow_down(self._under_way, retry_after, patient_until=self.patient_until)
                    self._probe_again()
                    if not patient:
                        self.stop(f"The provider asks to go slower ({refusal})")
                elif refusal.kind != "account":
                    self._works()
            case NotSent(why) | InDoubt(why):
                with self._lock:
                    self._in_a_row += 1
                    enough = self._in_a_row >= self._limit
                if enough:
                    self._open(f"Sending does not work: {why}. The provider's status page and the network tell more")
            case _:
                assert_never(outcome)

    def _proves(self, claim: Claim, refusal: Refusal) -> bool:
        """Whether it is the account, and not this destination: one refusal may say so, or every business's texts."""
        if refusal.certain:
            return True
        self._probe_again()
        with self._lock:
            self._refused.setdefault(claim.business_id, set()).add(claim.phone or "")
            recipients = set[str]().union(*self._refused.values())
            enough = max(SEVERAL_BUSINESSES, min(self._businesses, ENOUGH_BUSINESSES))
            return not self.healthy and len(self._refused) >= enough and len(recipients) >= SEVERAL_RECIPIENTS

    def _probe_again(self) -> None:
        """What became of the probe proves nothing: the next text is the probe."""
        with self._lock:
            self._probe_is_out = False
            self._lock.notify_all()

    def _works(self) -> None:
        with self._lock:
            self._in_a_row = 0
            self._brake.release()
            self._probing = False
            self.healthy = True
            self._lock.notify_all()

    def _open(self, why: str) -> None:
        self.stop(why)
        with self._lock:
            self.circuit = self.circuit or why


@contextmanager
def stopped_by(gate: Gate, *signals: signal.Signals) -> Iterator[None]:
    """Let these signals stop the gate and nothing else: sends under way end, and the rest is given back.

    Only the main thread may handle signals. In any other they keep their meaning.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        gate.stop(f"This run was asked to stop ({signal.Signals(number).name})")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
