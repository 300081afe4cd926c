"""May another send of this run begin? A breaker, a throttle and a rate limit, and what is in flight.

It stops the run when the trouble is not the text's: the account is refused, the provider cannot be reached or fails
several times in a row, or the process is asked to stop. Texts that were to be sent then go back untouched. When the
provider asks to go slower, the sends wait, and then fewer of them are under way at once.
"""

import threading
from collections.abc import Sequence
from typing import Final, assert_never

from smsretry.retry import trouble
from smsretry.retry.decision import GiveBack, PutOff
from smsretry.retry.models import Claim
from smsretry.retry.outcome import Accepted, InDoubt, NotSent, Outcome, Refusal, Rejected
from smsretry.sending.breaker import Breaker
from smsretry.sending.in_flight import InFlight
from smsretry.sending.rate_limit import RateLimit
from smsretry.sending.tally import IN_A_ROW, Tally
from smsretry.sending.throttle import Throttle

PROBE_SECONDS: Final = 60.0
"""How long the others wait for the outcome of the probe: longer than a send takes."""


class FlowControl:
    """One per run and sender; shared by the run's threads."""

    def __init__(self, rate_limit: RateLimit | None = None) -> None:
        self._rate_limit = rate_limit
        # Reentrant, because a signal handler may stop the run while its own thread holds the lock.
        self._lock = threading.Condition(threading.RLock())
        self._throttle = Throttle()
        self.in_flight: Final = InFlight()
        """What the run has claimed, and has not seen to its next state."""
        self.breaker: Final = Breaker(self.in_flight)
        """What the run has learned of its sender."""
        self._database = Tally(self.in_flight)
        self.database_trouble: str | None = None
        """Why the database could not be asked. The next run asks again; nothing is remembered where nothing can be."""
        self.may_wait_until = 0.0
        """By `time.monotonic`: how long the run may wait when the provider asks to go slower, instead of stopping."""
        self.stopped_because: str | None = None
        """Why no further send may begin."""

    @property
    def open_because(self) -> str | None:
        """Why the breaker is open, and what to do about it: the trouble outlasts this run, and the next one probes."""
        return self.breaker.open_because

    @property
    def sending_works(self) -> bool:
        """Whether the provider has accepted a text, or refused one for its own sake."""
        return bool(self.breaker.sends.successful)

    @property
    def cause_is_unknown(self) -> bool:
        """Whether nobody knows yet whose trouble it is: the rows in flight must show it before others are claimed."""
        with self._lock:
            return self.breaker.cause_is_unknown or self._database.in_a_row >= IN_A_ROW

    def claimed(self, claims: Sequence[Claim], *, nobody_else_is_due: bool = True) -> None:
        """Take note of rows that were claimed.

        Args:
            nobody_else_is_due: whether every business with a text due has one among them.
        """
        self.in_flight.add(claims)
        with self._lock:
            self.breaker.nobody_else_is_due = nobody_else_is_due
            self._evaluate()

    def done(self, claim: Claim) -> None:
        """Take note that a row is in its next state. The last innocent in flight settles whose trouble it is."""
        self.in_flight.remove(claim)
        with self._lock:
            self._evaluate()
            self._lock.notify_all()  # another may be the best probe now

    def start_half_open(self, claim: Claim | None = None) -> None:
        """The breaker was open before this run: one send goes first while the others wait for it.

        Args:
            claim: says since when.
        """
        since = claim.circuit_opened_at if claim else None
        with self._lock:
            self.breaker.probes.was_open = True
            self.breaker.probes.start(open_for=claim.claimed_at - since if claim and since else None)

    # Before a send

    def admit(self, claim: Claim) -> PutOff | None:
        """Let a send begin, or say why not. A send that was let in is followed by `observe`, or by `withdraw`.

        Raises:
            QueueError: the sender's time could not be leased.
        """
        if put_off := self._put_off(claim):
            return put_off
        self._wait_for_turn(claim)
        with self._lock:
            self._lock.wait_for(lambda: self.stopped_because or not self.breaker.must_wait(claim), PROBE_SECONDS)
            while self._throttle.is_full(self.breaker.under_way) and not self.stopped_because:
                self._lock.wait(self._throttle.seconds)
            if put_off := self._put_off(claim) or self.breaker.put_off_for_probe(claim):
                return put_off
            self.breaker.began(claim)
            return None

    def _wait_for_turn(self, claim: Claim) -> None:
        while self._rate_limit and not self.stopped_because:
            seconds = self._rate_limit.seconds_to_turn(claim.id, claim.body or "")
            if not seconds:
                return
            self.wait(seconds)

    def _put_off(self, claim: Claim) -> PutOff | None:
        """Where the text waits if the run has stopped, or for trouble of its own business."""
        with self._lock:
            if self.stopped_because:
                return GiveBack(self.stopped_because, "sending_stopped")
            if claim.business_id in self._database.failing_repeatedly:
                return trouble.unasked(claim.claimed_at, self.database_trouble or "")
            why = self.breaker.reason_to_wait(claim)
            return trouble.suspected(claim, why) if why else None

    # After it

    def withdraw(self, claim: Claim) -> None:
        """The send that was let in did not begin."""
        with self._lock:
            self._ended(claim)

    def observe(self, claim: Claim, outcome: Outcome) -> None:
        """Learn from what became of a send."""
        with self._lock:
            self._ended(claim)
            match outcome:
                case Accepted():
                    self._succeeded(claim)
                case Rejected(refusal, retry_after):
                    self._refused(claim, refusal, retry_after.total_seconds() if retry_after else 0.0)
                case NotSent(why) | InDoubt(why):
                    self.breaker.failed(claim, why)
                case _:
                    assert_never(outcome)
            self._evaluate()

    def _ended(self, claim: Claim) -> None:
        self.breaker.ended(claim)
        self._lock.notify_all()

    def _succeeded(self, claim: Claim) -> None:
        self._throttle.release()
        self.breaker.succeeded(claim)

    def _refused(self, claim: Claim, refusal: Refusal, retry_after: float) -> None:
        if refusal.kind == "account":
            self.breaker.refused(claim, refusal)
        elif refusal.kind != "rate_limit" or refusal.level == "recipient":
            self._succeeded(claim)
        elif self.breaker.is_shared_limit(claim):
            if not self._throttle.slow_down(self.breaker.under_way, retry_after, may_wait_until=self.may_wait_until):
                self.stop(f"The provider asks to go slower ({refusal})")
        else:
            if not self._throttle.is_waiting:  # else it belongs to the same burst
                self.breaker.sends.failed_alone(claim.business_id)
            self._throttle.slow_down(self.breaker.under_way, 0.0, may_wait_until=self.may_wait_until)

    def database_failed(self, claim: Claim, why: str) -> None:
        """The database could not be asked whether this text may go; a person must mend that.

        No further send begins once that is so for every business of the run. Until then it may be this row's trouble
        alone.
        """
        with self._lock:
            self.database_trouble = self.database_trouble or why
            self._database.failed(claim.business_id)
            self._evaluate()

    def database_answered(self, claim: Claim) -> None:
        """The database could be asked about this text: earlier trouble was a row's own, or has passed."""
        with self._lock:
            self._database.succeeded(claim.business_id)

    def _evaluate(self) -> None:
        """Stop if the trouble is everybody's."""
        self.breaker.evaluate()
        if self.breaker.open_because:
            self.stop(self.breaker.open_because)
        calls = self._database
        if self.database_trouble and calls.failing and self.breaker.nobody_else_is_due and not calls.innocents:
            self.stop(self.database_trouble)

    # The run

    def wait(self, seconds: float) -> None:
        """Wait so long, or until the run is stopped."""
        with self._lock:
            self._lock.wait_for(lambda: self.stopped_because, seconds)

    def stop(self, why: str) -> None:
        """Let no further send begin. The reason ends with this run."""
        with self._lock:
            self.stopped_because = self.stopped_because or why
            self._lock.notify_all()
