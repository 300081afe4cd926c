"""May another send begin? Four rules, which the threads of a run share.

1. Until any send is answered, at most 10 sends of the run are under way; until one of a business is answered, at most 3
   of that business. A failed send keeps its place until then.
2. A business stops after 3 failures in a row. A sender stops when 4 of its businesses (all, if it has fewer) fail and
   none of its texts goes out, or when its account is surely refused. Everybody stops when 4 senders fail and nothing
   goes out, and these senders stop with them.
3. One text of each run tries what has stopped. Its failure is not counted further up; an answer lifts the stop. While
   everybody is stopped, that text is of a sender which has not stopped itself, if there is one.
4. When the provider asks to go slower, the business waits. If it asks two businesses of a sender (or its only one), the
   sender waits, and then half as many of its sends are under way.

A failure is a request that reached nobody, or got no clear answer. Any other answer, but for a sure refusal of the
account, shows that sending works.
"""

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from math import inf
from time import monotonic
from typing import Final, TypeAlias, assert_never
from uuid import UUID

from smsretry.errors import QueueError
from smsretry.retry.answers import BeginAnswer
from smsretry.retry.before import troubled
from smsretry.retry.decision import GiveBack, NoSend
from smsretry.retry.models import Claim
from smsretry.retry.outcome import (
    Accepted,
    InDoubt,
    NotSent,
    Outcome,
    Refusal,
    Rejected,
)
from smsretry.retry.profile import MOST_CONCURRENCY
from smsretry.retry.segments import segments
from smsretry.sending.ports import Batch
from smsretry.vocabulary import StopKind, WhyCode

AT_FIRST: Final = 10
"""The most sends of a run under way until any is answered: an outage costs hardly more texts."""
OF_A_BUSINESS_AT_FIRST: Final = 3
"""The most sends of a business under way until one of them is answered."""
IN_A_ROW: Final = 3
"""At least so many failures in a row stop anything."""
MIN_FAILING: Final = 4
"""At least so many businesses, or senders, must fail before it is the trouble of what they share."""
PATIENCE_SECONDS: Final = 3.0
"""How long a text waits for its business or its sender. Then it is given back, and its thread goes to another text."""
SLOWER_SECONDS: Final = 1.0
"""How long a sender waits when the provider asks to go slower and does not say how long. Its limits are per second."""
WAKE_SECONDS: Final = 0.5
"""How often a waiting thread checks: a signal that stops the run cannot wake it."""
_AT_CAPACITY: Final = "Its business or its sender has as many sends under way as it may: it is claimed again soon"
_SLOWER: Final = "The provider asks to go slower"
_BUSINESS_FAILING: Final = (
    "Texts of this business came to nothing ({}): one of them is tried each time"
)
_REFUSED: Final = "The provider refuses the account, not just this text: {}"
_FAILING: Final = (
    "Sending does not work: {}. The provider's status page and the network tell more"
)
CircuitKey: TypeAlias = tuple[StopKind, str]
"""The kind, and the id of the business or the sender; '' for everybody."""
ALL_SENDING: Final[CircuitKey] = ("everybody", "")
SetStop = Callable[[StopKind, str, str | None], None]
"""`RetryQueue.set_stop`."""


@dataclass(slots=True)
class _Streak:
    """Failures since the last success."""

    length: int = 0
    parts: set[Hashable] = field(default_factory=set)
    """The texts, businesses or senders that have failed."""

    def add(self, part: Hashable) -> None:
        self.length += 1
        self.parts.add(part)

    def is_of(self, part_count: int) -> bool:
        """Whether it is long enough, and of so many parts."""
        needed = min(part_count, MIN_FAILING)
        return self.length >= IN_A_ROW and len(self.parts) >= needed

    def end(self) -> None:
        self.length = 0
        self.parts.clear()


@dataclass(slots=True, eq=False)
class _Circuit:
    """The run's knowledge of a business, a sender, or everybody."""

    key: CircuitKey
    at_once: float
    """How many of its sends may be under way. Each answered send may add a part of one."""
    stop_sentence: str
    """Says that it has stopped, with a place for the reason."""
    failures: _Streak = field(default_factory=_Streak)
    database_failures: _Streak = field(default_factory=_Streak)
    """Likewise of calls to the database about its texts."""
    under_way: set[Hashable] = field(default_factory=set)
    """Its texts that were let in and whose sends have not ended."""
    kept_places: set[Hashable] = field(default_factory=set)
    """What has failed and keeps a place until something is answered: texts of a business; of everybody, businesses
    whose sender has not stopped.
    """
    businesses: set["_Circuit"] = field(default_factory=set)
    """A sender's, whose texts the run has claimed."""
    stopped_because: str | None = None
    trial: UUID | None = None
    """It had stopped before this run, and this text tries it."""
    waits_until: float = 0.0
    """Until when it waits because the provider asked, by `time.monotonic`."""
    free_at: float = 0.0
    """When a sender's next text may leave, by its rate."""

    @property
    def kind(self) -> StopKind:
        return self.key[0]

    def has_capacity(self, text: UUID | None = None) -> bool:
        """Whether this text's send may begin; None: that of a text which tries nothing."""
        return (
            self.stopped_because is None
            and (self.trial is None or self.trial == text)
            and len(self.under_way | self.kept_places) < self.at_once
            and self.waits_until <= monotonic()
        )


class FlowControl:
    """One per run; shared by its threads.

    A text is *in flight* from its claim to its next state. It is *let in* when its send may begin, and holds a place of
    its business, its sender and everybody until that has ended. *At the provider* is the request alone.
    """

    def __init__(
        self,
        set_stop: SetStop = lambda *_: None,
        concurrency: int = MOST_CONCURRENCY,
    ) -> None:
        """Prepare.

        Args:
            set_stop: tells the next run, and other machines, what has stopped.
            concurrency: the most sends under way at the provider.
        """
        self._concurrency: Final = concurrency
        self._places_at_provider: Final = threading.Semaphore(concurrency)
        self._in_flight = dict[UUID, Claim]()
        self._let_in = set[UUID]()
        self._send_seconds = inf
        """The duration of the last send."""
        # The only lock, and reentrant: a signal handler may stop the run while its own thread holds it.
        self._lock: Final = threading.Condition(threading.RLock())
        self._set_stop = set_stop
        self._unpublished = list[tuple[CircuitKey, str | None]]()
        """Stops, and lifts of stops, that the database does not know yet."""
        self._is_publishing = False
        """Whether a thread does. It is one at a time, so that no lift overtakes its stop."""
        self._everybody = _Circuit(ALL_SENDING, AT_FIRST, _FAILING)
        self._circuits = {ALL_SENDING: self._everybody}
        self._clock_offset = inf
        """`time.monotonic` less the database's clock, plus the time of the fastest answer."""
        self.answer_seconds = 0.0
        """The duration of the last begin: no text's slot comes sooner."""
        self.tried = set[CircuitKey]()
        """What had stopped before this run, and was tried."""
        self.database_trouble: str | None = None
        """Why the database could not be asked. It is not stored, because it is the database that fails."""
        self.claims_one_by_one = False
        """True while suspects are claimed, one at a time: a text that is given back would be the next one again."""
        self.run_stopped_because: str | None = None
        """Why no further send of the run may begin."""

    # What was claimed

    def note_claimed(self, batch: Batch) -> None:
        """Take note of the texts of a claim, and of the stops that they try."""
        with self._lock:
            for claim in batch.texts:
                self._in_flight[claim.id] = claim
                if claim.in_doubt_since is not None:
                    continue
                self._sender(claim).businesses.add(self._business(claim))
                for circuit in self._needs(claim):
                    if circuit.key in batch.stops:
                        circuit.trial = claim.id
                        self.tried.add(circuit.key)

    def release(self, claim: Claim) -> None:
        """Take note that a text is in its next state."""
        with self._lock:
            # A text that was given back may be in flight again, by another claim.
            if self._in_flight.get(claim.id) is claim:
                del self._in_flight[claim.id]
            for circuit in self._needs(claim):
                if circuit.trial == claim.id:
                    circuit.trial = None
            self._lock.notify_all()

    def _circuit(self, key: CircuitKey, at_once: float, stop_sentence: str) -> _Circuit:
        if key not in self._circuits:
            self._circuits[key] = _Circuit(key, at_once, stop_sentence)
        return self._circuits[key]

    def _business(self, claim: Claim) -> _Circuit:
        key: CircuitKey = ("business", str(claim.business_id))
        return self._circuit(key, OF_A_BUSINESS_AT_FIRST, _BUSINESS_FAILING)

    def _sender(self, claim: Claim) -> _Circuit:
        """Without an id: the default sender, if the database does not know it."""
        key: CircuitKey = ("sender", str(claim.sender.id or ""))
        return self._circuit(key, inf, _FAILING)

    def _needs(self, claim: Claim) -> tuple[_Circuit, _Circuit, _Circuit]:
        """What must not have stopped, unless this text tries it."""
        return self._business(claim), self._sender(claim), self._everybody

    @property
    def unavailable(self) -> set[str]:
        """Senders and businesses, by id, of which nothing is to be claimed now."""
        with self._lock:
            return {
                subject
                for (_, subject), circuit in self._circuits.items()
                if subject and not circuit.has_capacity()
            }

    def wait_for_capacity(self, most_in_flight: int, until: float) -> bool:
        """Wait until so few texts are in flight that others may be claimed. False: nothing more is to be claimed.

        Args:
            until: by `time.monotonic`.
        """
        with self._lock:
            while self.run_stopped_because is None and (now := monotonic()) < until:
                is_free = len(self._in_flight) <= most_in_flight
                if is_free and self._everybody.has_capacity():
                    return True
                self._lock.wait(min(WAKE_SECONDS, until - now))
            return False

    def wait_for_others(self, unavailable: set[str], until: float) -> bool:
        """Wait until others are unavailable than these. False: nothing is in flight that could change it.

        Args:
            until: by `time.monotonic`.
        """
        with self._lock:
            while self.run_stopped_because is None and (now := monotonic()) < until:
                if self.unavailable != unavailable:
                    return True
                if not self._in_flight:
                    return False
                self._lock.wait(min(WAKE_SECONDS, until - now))
            return False

    # Before a send

    def admit(self, claim: Claim) -> NoSend | None:
        """Let a text in, or say why not. `free_places` or `observe` must follow, once its send has ended."""
        deadline = monotonic() + PATIENCE_SECONDS
        with self._lock:
            business, sender, everybody = needs = self._needs(claim)
            while True:
                if obstacle := self._obstacle(claim, business, sender):
                    return obstacle
                has_place = self._has_place()
                if has_place and all(c.has_capacity(claim.id) for c in needs):
                    self._let_in.add(claim.id)
                    for circuit in needs:
                        circuit.under_way.add(claim.id)
                    return None
                if not (has_place and everybody.has_capacity(claim.id)):
                    # No other text could use its thread either.
                    deadline = monotonic() + PATIENCE_SECONDS
                elif monotonic() > deadline:
                    return self._back(claim, _AT_CAPACITY, "at_capacity")
                self._lock.wait(WAKE_SECONDS)

    def _has_place(self) -> bool:
        """Whether there will be a place at the provider when a text that begins now gets there.

        Until then, sends end: as many as are under way for as long as a begin takes.
        """
        share_that_ends = min(self.answer_seconds / self._send_seconds, 1)
        expected_places = self._concurrency + int(self._concurrency * share_that_ends)
        return len(self._let_in) < expected_places

    def _obstacle(
        self, claim: Claim, business: _Circuit, sender: _Circuit
    ) -> NoSend | None:
        """What becomes of the text if sending has stopped, or if its own business has trouble."""
        if detail := self.run_stopped_because:
            return GiveBack(detail, "sending_stopped")
        if detail := sender.stopped_because:
            return self._back(claim, detail, "sending_stopped")
        if detail := business.stopped_because:
            return self._back(claim, detail, "business_trouble")
        if business.database_failures.is_of(1):
            return troubled(claim, self.database_trouble or "")
        waits_until = max(business.waits_until, sender.waits_until)
        if waits_until > monotonic() + PATIENCE_SECONDS:
            return self._back(claim, _SLOWER, "rate_limited")
        return None

    def _back(self, claim: Claim, detail: str, why_code: WhyCode) -> NoSend:
        if self.claims_one_by_one:
            return troubled(claim, detail, why_code)
        return GiveBack(detail, why_code)

    def wait_for_slot(self, claim: Claim, begun: BeginAnswer) -> None:
        """Wait until the text may leave, by its sender's rate: two seconds at most, if nothing here is late.

        The database gives each text its slot, at one rate for all machines. Answers take unequally long, so slots may
        have passed: the texts of this process keep their distance nevertheless.
        """
        with self._lock:
            self._clock_offset = min(
                self._clock_offset, monotonic() - begun.decided_at.timestamp()
            )
            leaves_at = 0.0
            if begun.until:
                leaves_at = begun.until.timestamp() + self._clock_offset
            if per_second := claim.sender.segments_per_second:
                sender = self._sender(claim)
                leaves_at = max(leaves_at, sender.free_at, monotonic())
                sender.free_at = leaves_at + segments(claim.body or "") / per_second
        time.sleep(max(leaves_at - monotonic(), 0))

    @contextmanager
    def at_provider(self) -> Iterator[None]:
        """Hold one of the places at the provider."""
        with self._places_at_provider:
            began = monotonic()
            yield
            self._send_seconds = max(monotonic() - began, 0.001)

    # After it

    def free_places(self, claim: Claim) -> None:
        """Free the places of a text whose send has ended, or did not begin."""
        with self._lock:
            self._let_in.discard(claim.id)
            for circuit in self._needs(claim):
                circuit.under_way.discard(claim.id)
                circuit.kept_places.discard(claim.id)
            self._lock.notify_all()

    def observe(self, claim: Claim, outcome: Outcome) -> float | None:
        """Learn from what became of a send, which has ended.

        Returns:
            For how many seconds the provider asks its sender to wait.
        """
        pause_seconds = None
        with self._lock:
            business, sender, everybody = self._needs(claim)
            self.free_places(claim)
            match outcome:
                case NotSent(detail) | InDoubt(detail):
                    self._failed(claim, detail)
                case Rejected(refusal, retry_after) if _is_of_more_than_its_text(
                    refusal
                ):
                    self._answered(everybody)
                    if refusal.kind == "account_refused":
                        self._stop(sender, _REFUSED.format(refusal.advice))
                    else:
                        pause_seconds = self._slow_down(business, sender, retry_after)
                case Accepted() | Rejected():
                    self._answered(business, sender, everybody)
                case _:
                    assert_never(outcome)
        self._publish()
        return pause_seconds

    def _answered(self, *circuits: _Circuit) -> None:
        """Take note that these work, even if they had stopped."""
        for circuit in circuits:
            circuit.failures.end()
            if circuit.kind == "sender":
                # After the provider asked it to go slower: one more for each full round of texts.
                circuit.at_once += 1 / circuit.at_once
            else:
                circuit.at_once = inf
            if circuit.stopped_because or circuit.trial:
                circuit.stopped_because = circuit.trial = None
                self._unpublished.append((circuit.key, None))

    def _failed(self, claim: Claim, detail: str) -> None:
        """Count a failure, and stop what fails. A trial's is not counted further up: it says nothing new of that."""
        business, sender, everybody = self._needs(claim)
        business.failures.add(claim.id)
        business.kept_places.add(claim.id)
        if business.trial != claim.id:
            sender.failures.add(business)
            if sender.trial != claim.id:
                everybody.failures.add(sender)
                everybody.kept_places.add(business)
        part_counts = {
            business: 1,
            sender: len(sender.businesses),
            everybody: MIN_FAILING,
        }
        for circuit, part_count in part_counts.items():
            if circuit.trial == claim.id or circuit.failures.is_of(part_count):
                self._stop_failing(circuit, detail)
        if everybody.stopped_because:
            for circuit in self._circuits.values():
                if circuit.kind == "sender" and circuit.failures.length:
                    self._stop_failing(circuit, detail)
        if sender.stopped_because:
            # Nothing of it is claimed now, so others may have these places.
            everybody.kept_places -= sender.businesses

    def _slow_down(
        self, business: _Circuit, sender: _Circuit, retry_after: timedelta | None
    ) -> float | None:
        now, wait = monotonic(), retry_after or timedelta(0)
        seconds = max(wait.total_seconds(), SLOWER_SECONDS)
        business.waits_until = now + seconds
        slowed = sum(circuit.waits_until > now for circuit in sender.businesses)
        if slowed < min(2, len(sender.businesses)):
            return None  # it may be this business's recipients alone
        waits_already = sender.waits_until > now
        sender.waits_until = max(sender.waits_until, now + seconds)
        if waits_already:
            return None  # a refusal of the same burst, to which this was the answer
        under_way = len(sender.under_way) + 1  # with this one, whose place is free now
        sender.at_once = max(1, min(sender.at_once, under_way) / 2)
        return seconds

    def _stop_failing(self, circuit: _Circuit, detail: str) -> None:
        self._stop(circuit, circuit.stop_sentence.format(detail))

    def _stop(self, circuit: _Circuit, detail: str) -> None:
        if circuit.key == ("sender", ""):
            self.stop(detail)  # it has no id by which a claim could leave it out
        elif circuit.stopped_because is None:
            circuit.stopped_because = detail
            self._unpublished.append((circuit.key, detail))
            if circuit is self._everybody:
                self.stop(detail)
        self._lock.notify_all()

    def _publish(self) -> None:
        """Tell the next run, and other machines. If they cannot be told, they find out by themselves."""
        while True:
            with self._lock:
                if self._is_publishing or not self._unpublished:
                    return
                (kind, subject), detail = self._unpublished.pop(0)
                self._is_publishing = True
            try:
                with suppress(QueueError):
                    self._set_stop(kind, subject, detail)
            finally:
                self._is_publishing = False

    def database_failed(self, claim: Claim, detail: str) -> None:
        """Take note that the database could not be asked whether this text may go.

        No further send begins once that is so for every business of the run. Until then it may be this row's trouble
        alone.
        """
        with self._lock:
            self.database_trouble = self.database_trouble or detail
            business = self._business(claim)
            business.database_failures.add(claim.id)
            self._everybody.database_failures.add(business)
            businesses = {text.business_id for text in self._in_flight.values()}
            if self._everybody.database_failures.is_of(len(businesses)):
                self.stop(detail)

    def database_answered(self, claim: Claim, seconds: float) -> None:
        """Take note that the database could be asked about this text, which took so long."""
        with self._lock:
            self._business(claim).database_failures.end()
            self._everybody.database_failures.end()
            self.answer_seconds = seconds

    # The run

    @property
    def stops(self) -> dict[CircuitKey, str]:
        """What has stopped beyond this run, and why."""
        with self._lock:
            return {
                key: circuit.stopped_because
                for key, circuit in self._circuits.items()
                if circuit.stopped_because
            }

    def businesses_of(self, sender: str) -> int:
        """How many businesses had texts to go out from this sender, by its id, in this run."""
        with self._lock:
            circuit = self._circuits.get(("sender", sender))
            return len(circuit.businesses) if circuit else 0

    def stop(self, detail: str) -> None:
        """Let no further send begin. The reason ends with this run."""
        with self._lock:
            self.run_stopped_because = self.run_stopped_because or detail
            self._lock.notify_all()

    def wait(self, seconds: float) -> None:
        """Wait so long, or until the run is stopped."""
        with self._lock:
            self._lock.wait_for(lambda: self.run_stopped_because, seconds)


def _is_of_more_than_its_text(refusal: Refusal) -> bool:
    """Whether a refusal concerns its business or its sender, too."""
    if refusal.kind == "account_refused":
        return refusal.certain
    return refusal.kind == "rate_limited" and refusal.level != "recipient"
