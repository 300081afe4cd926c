"""May another send of this sender begin? A breaker, a throttle and a rate limit, and what is in flight.

It stops the sender when the trouble is not the text's: its account is refused, or its requests fail several times in a
row. Texts that were to be sent then go back untouched, and other senders' go on. When the provider asks to go slower,
the sends wait, and then fewer of them are under way at once. What stops every sender is the run's: `RunControl`.
"""

from collections.abc import Sequence
from math import inf
from time import monotonic
from typing import Final, assert_never
from uuid import UUID

from smsretry.retry import before
from smsretry.retry.decision import GiveBack, PutOff
from smsretry.retry.models import Claim
from smsretry.retry.outcome import Accepted, InDoubt, NotSent, Outcome, Refusal, Rejected
from smsretry.sending.breaker import Breaker
from smsretry.sending.in_flight import InFlight
from smsretry.sending.rate_limit import RateLimit
from smsretry.sending.run_control import RunControl
from smsretry.sending.throttle import Throttle

PROBE_SECONDS: Final = 60.0
"""How long the others wait for the outcome of the probe: longer than a send takes."""
PATIENCE_SECONDS: Final = 3.0
"""How long a text waits for its own sender, where another sender's text waits for a thread. Then it goes back."""
_BOOKED: Final = "Its sender is given away for the next seconds: it goes when there is time for it"
_OTHERS_FIRST: Final = "It waits for its sender's other texts, and leaves its place to other senders' meanwhile"


class FlowControl:
    """One per run and sender; shared by the run's threads."""

    def __init__(self, rate_limit: RateLimit | None = None, run: RunControl | None = None) -> None:
        self.run: Final = run or RunControl()
        """What it shares with the run's other senders."""
        self.rate_limit: Final = rate_limit
        self._lock: Final = self.run.lock
        self._throttle = Throttle()
        self.in_flight: Final = InFlight()
        """What the run has claimed of this sender, and has not seen to its next state."""
        self.breaker: Final = Breaker(self.in_flight)
        """What the run has learned of this sender."""
        self.businesses = set[UUID]()
        """Whose texts the run has claimed of it."""
        self.may_identify_cause = False
        """Whether its texts of the last claim might tell whose trouble it is."""
        self._stopped_because: str | None = None
        self._has_too_many = False
        """Whether a text of it went back because others' waited for a thread, and no send has ended since."""

    @property
    def stopped_because(self) -> str | None:
        """Why no further send may begin."""
        return self._stopped_because or self.run.stopped_because

    @property
    def database_trouble(self) -> str | None:
        """Why the database could not be asked."""
        return self.run.database_trouble

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
            return self.breaker.cause_is_unknown

    @property
    def has_ended(self) -> bool:
        """Whether nothing more of it can go out in this run."""
        with self._lock:
            # Where it was open, a claim helps only if it may bring a text that shows whose trouble it is.
            hopeless = self.breaker.cause_is_unknown and self.breaker.probes.was_open and not self.may_identify_cause
            return self._stopped_because is not None or (hopeless and not len(self.in_flight))

    @property
    def is_unsettled(self) -> bool:
        """Whether its rows in flight must show first whose trouble it is."""
        return self.cause_is_unknown and len(self.in_flight) > 0

    @property
    def is_busy(self) -> bool:
        """Whether more of its texts would only wait, while other senders' might go."""
        return self._has_too_many or self._throttle.is_waiting

    def claimed(self, claims: Sequence[Claim], *, nobody_else_is_due: bool = True) -> None:
        """Take note of rows that were claimed, by a run that has one sender.

        Args:
            nobody_else_is_due: whether every business with a text due has one among them.
        """
        self.run.claimed(claims, nobody_else_is_due=nobody_else_is_due)
        self.took(claims, nobody_else_is_due=nobody_else_is_due)

    def took(self, claims: Sequence[Claim], *, nobody_else_is_due: bool) -> None:
        """Take note of this sender's rows among those that were claimed."""
        due = [claim for claim in claims if claim.in_doubt_since is None]
        self.businesses |= {claim.business_id for claim in due}
        if self.rate_limit:
            self.rate_limit.expect((claim.id, claim.body or "") for claim in due)
        self.in_flight.add(claims)
        with self._lock:
            self.breaker.nobody_else_is_due = nobody_else_is_due
            self._evaluate()
            self.may_identify_cause = self.breaker.may_identify_cause(due)

    def done(self, claim: Claim) -> None:
        """Take note that a row is in its next state. The last innocent in flight settles whose trouble it is."""
        if self.rate_limit:
            self.rate_limit.forget(claim.id)
        self.in_flight.remove(claim)
        with self._lock:
            self._evaluate()
        self.run.in_flight.remove(claim)  # wakes who waits for room: it must see what followed
        with self._lock:
            self.run.evaluate()
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
        put_off = self._put_off(claim) or self._wait_for_turn(claim) or self._let_in(claim)
        with self._lock:
            if isinstance(put_off, GiveBack) and not self.stopped_because:
                # It is due and was not tried: until the next claim, what becomes of others proves nothing.
                self.breaker.nobody_else_is_due = False
                self.run.went_back()
        return put_off

    def _let_in(self, claim: Claim) -> PutOff | None:
        outage, breaker = self.run.outage, self.breaker
        with self._lock:
            if not (self._wait_for_others(claim) and self._wait_for_throttle()):
                self._has_too_many = True
                return GiveBack(_OTHERS_FIRST, "sending_stopped")
            if put_off := self._put_off(claim) or outage.put_off_for_probe(claim) or breaker.put_off_for_probe(claim):
                return put_off
            outage.began(claim)
            breaker.began(claim)
            return None

    def _wait_for_turn(self, claim: Claim) -> PutOff | None:
        while self.rate_limit and not self.stopped_because:
            patience = inf if self.run.claims_one_by_one else PATIENCE_SECONDS
            seconds = self.rate_limit.seconds_to_turn(claim.id, claim.body or "", patience=patience)
            if seconds is None:
                return GiveBack(_BOOKED, "sender_rate")
            if not seconds:
                return None
            self.wait(seconds)
        return None

    def _wait_for_others(self, claim: Claim) -> bool:
        """Wait for the probe, or for the first answers. False: another sender's text should have the thread now."""

        def may_go() -> bool:
            waits = self.run.outage.must_wait(claim) or self.breaker.must_wait(claim)
            return self.stopped_because is not None or not waits

        def leaves() -> bool:
            return self._keeps_others_waiting and not self.run.outage.holds_everybody_up

        patience = min(PATIENCE_SECONDS, PROBE_SECONDS)
        if self._lock.wait_for(may_go, patience):
            return True
        self._lock.wait_for(lambda: may_go() or leaves(), PROBE_SECONDS - patience)
        return may_go() or not leaves()

    def _wait_for_throttle(self) -> bool:
        """Wait as long as the provider asks. False: another sender's text should have the thread now."""
        patient_until = monotonic() + PATIENCE_SECONDS
        while self._throttle.is_full(self.breaker.under_way) and not self.stopped_because:
            if monotonic() + self._throttle.seconds > patient_until and self._keeps_others_waiting:
                return False
            self._lock.wait(self._throttle.seconds)
        return True

    @property
    def _keeps_others_waiting(self) -> bool:
        return self.run.is_short_of_threads and len(self.in_flight) < len(self.run.in_flight)

    def _put_off(self, claim: Claim) -> PutOff | None:
        """Where the text waits if sending has stopped, or for trouble of its own business."""
        with self._lock:
            if self.run.stopped_because is None and self._stopped_because and self.run.claims_one_by_one:
                return before.suspected(claim, self._stopped_because, "sending_stopped")
            if why := self.stopped_because:
                return GiveBack(why, "sending_stopped")
            if claim.business_id in self.run.failing_at_the_database:
                return before.unasked(claim.claimed_at, self.database_trouble or "")
            why = self.breaker.reason_to_wait(claim)
            return before.suspected(claim, why) if why else None

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
                    self.run.outage.succeeded(claim)
                    self._succeeded(claim)
                case Rejected(refusal, retry_after):
                    self.run.outage.succeeded(claim)
                    self._refused(claim, refusal, retry_after.total_seconds() if retry_after else 0.0)
                case NotSent(why) | InDoubt(why):
                    self.run.outage.failed(claim, why)
                    self.breaker.failed(claim, why)
                case _:
                    assert_never(outcome)
            self._evaluate()
            self.run.evaluate()

    def _ended(self, claim: Claim) -> None:
        self.run.outage.ended(claim)
        self.breaker.ended(claim)
        self._has_too_many = False
        self._lock.notify_all()

    def _succeeded(self, claim: Claim) -> None:
        self._throttle.release()
        self.breaker.succeeded(claim)

    def _refused(self, claim: Claim, refusal: Refusal, retry_after: float) -> None:
        may_wait_until = self.run.may_wait_until
        if refusal.kind == "account":
            self.breaker.refused(claim, refusal)
        elif refusal.kind != "rate_limit" or refusal.level == "recipient":
            self._succeeded(claim)
        elif self.breaker.is_shared_limit(claim):
            if not self._throttle.slow_down(self.breaker.under_way, retry_after, may_wait_until=may_wait_until):
                self._stop_sender(f"The provider asks to go slower ({refusal})")
        else:
            if not self._throttle.is_waiting:  # else it belongs to the same burst
                self.breaker.sends.failed_alone(claim)
            self._throttle.slow_down(self.breaker.under_way, 0.0, may_wait_until=may_wait_until)

    def database_failed(self, claim: Claim, why: str) -> None:
        """The database could not be asked whether this text may go; a person must mend that.

        No further send begins once that is so for every business of the run. Until then it may be this row's trouble
        alone.
        """
        self.run.database_failed(claim, why)

    def database_answered(self, claim: Claim) -> None:
        """The database could be asked about this text: earlier trouble was a row's own, or has passed."""
        self.run.database_answered(claim)

    def _evaluate(self) -> None:
        """Stop this sender if its trouble is no single business's."""
        self.breaker.evaluate()
        if self.breaker.open_because:
            self._stop_sender(self.breaker.open_because)

    def _stop_sender(self, why: str) -> None:
        self._stopped_because = self.stopped_because or why  # the first reason stays
        self.run.wake_all()

    # The run

    def wait(self, seconds: float) -> None:
        """Wait so long, or until sending is stopped."""
        with self.run.stops:
            self.run.stops.wait_for(lambda: self.stopped_because, seconds)

    def stop(self, why: str) -> None:
        """Let no further send of the run begin. The reason ends with this run."""
        self.run.stop(why)
