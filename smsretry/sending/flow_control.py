"""May another send begin? Four rules, which the threads of a run share.

1. A text that begins has a place at the provider until its send has ended, and while others' texts wait, no sender has
   more than its share of the places. There are `SMSRETRY_CONCURRENCY`; until any send is answered there are 10, and 3
   for a business until one of its own is. A failed send keeps its place until then.
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
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
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
from smsretry.retry.models import AssignedSender, Claim
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
"""The places until any send of a run is answered: an outage costs hardly more texts."""
OF_A_BUSINESS_AT_FIRST: Final = 3
"""Those of a business until one of its sends is answered."""
IN_A_ROW: Final = 3
"""At least so many failures in a row stop anything."""
MIN_FAILING: Final = 4
"""At least so many businesses, or senders, must fail before it is the trouble of what they share."""
PATIENCE_SECONDS: Final = 3.0
"""How long a text waits for its business or its sender. Then it is given back, and its thread goes to another text."""
SLOW_SECONDS: Final = 1.0
"""A sender whose sends take longer is slow: no text waits for it, and no more of them are claimed than may begin."""
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


def is_trouble(failures: Sequence[Hashable], part_count: int) -> bool:
    """Whether failures since the last success are enough, and of enough parts, to stop what has so many parts."""
    needed = min(part_count, MIN_FAILING)
    return len(failures) >= IN_A_ROW and len({*failures}) >= needed


@dataclass(slots=True, eq=False)
class Circuit:
    """The run's knowledge of a business, a sender, or everybody."""

    key: CircuitKey
    failures: list[Hashable] = field(default_factory=list)
    """The texts, businesses or senders that have failed since the last success."""
    database_failures: list[Hashable] = field(default_factory=list)
    """The texts or businesses that the database could not be asked about since its last answer."""
    sender: AssignedSender | None = None
    """If it is a sender's."""
    businesses: set["Circuit"] = field(default_factory=set)
    """Likewise: those whose texts the run has claimed."""
    under_way: set[UUID] = field(default_factory=set)
    """Its texts that have a place."""
    is_answered: bool = False
    """Whether any of its sends was."""
    why_stopped: str | None = None
    trial: UUID | None = None
    """It had stopped before this run, and this text tries it."""
    is_news: bool = True
    """Whether it had not stopped before this run."""
    waits_until: float = 0.0
    """Until when it waits because the provider asked, by `time.monotonic`."""

    def may_send(self, text: UUID | None = None) -> bool:
        """Whether this text's send may begin, if it has a place; None: that of a text which tries nothing."""
        return (
            self.why_stopped is None
            and (self.trial is None or self.trial == text)
            and self.waits_until <= monotonic()
            and self.has_room
        )

    @property
    def has_room(self) -> bool:
        """Whether one more of its sends may be under way."""
        in_vain = len(self.under_way) + len(self.failures)
        is_business = self.key[0] == "business"
        return self.is_answered or not is_business or in_vain < OF_A_BUSINESS_AT_FIRST


@dataclass(slots=True, eq=False)
class SenderCircuit(Circuit):
    """The run's knowledge of a sender."""

    waiting: set[UUID] = field(default_factory=set)
    """Its texts that are claimed, and have had no place."""
    at_once: float = inf
    """How many of its sends may be under way, since the provider asked to go slower."""
    requests: dict[UUID, float] = field(default_factory=dict)
    """Its texts that are at the provider, in order, and since when."""
    last_send_seconds: float = inf
    free_at: float = 0.0
    """When its next text may leave, by its rate."""

    @property
    def has_room(self) -> bool:
        return len(self.under_way) < self.at_once

    @property
    def demand(self) -> int:
        """The places that it has or could use."""
        return len(self.under_way) + len(self.waiting)

    @property
    def send_seconds(self) -> float:
        """How long a send takes: the last one, or one that takes long by now."""
        now = monotonic()
        age = now - next(iter(self.requests.values()), now)
        return age if age > SLOW_SECONDS else self.last_send_seconds

    @property
    def is_slow(self) -> bool:
        return SLOW_SECONDS < self.send_seconds < inf


class FlowControl:
    """One per run; shared by its threads.

    A text is *in flight* from its claim to its next state. It has a *place* from just before its begin to the end of
    its send. *At the provider* is the request alone.
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
        self._at_provider: Final = threading.Semaphore(concurrency)
        self._in_flight = dict[UUID, Claim]()
        # The only lock, and reentrant: a signal handler may stop the run while its own thread holds it.
        self._lock: Final = threading.Condition(threading.RLock())
        self._set_stop = set_stop
        self._untold = list[tuple[CircuitKey, str | None]]()
        """Stops, and lifts of stops, that the database does not know yet."""
        self._is_telling = False
        """Whether a thread does. It is one at a time, so that no lift overtakes its stop."""
        self._everybody = Circuit(ALL_SENDING)
        self._businesses = dict[str, Circuit]()
        self._senders = dict[str, SenderCircuit]()
        self._clock_offset = inf
        """`time.monotonic` less the database's clock, plus the time of the fastest answer."""
        self.answer_seconds = 0.0
        """The duration of the last begin: no text's slot comes sooner."""
        self.database_trouble: str | None = None
        """Why the database could not be asked. It is not stored, because it is the database that fails."""
        self.claims_one_by_one = False
        """True while suspects are claimed, one at a time: a text that is given back would be the next one again."""
        self.why_stopped: str | None = None
        """Why no further send of the run may begin."""

    # What was claimed

    def note_claimed(self, batch: Batch) -> None:
        """Take note of the texts of a claim, and of the stops that they try."""
        with self._lock:
            for claim in batch.texts:
                self._in_flight[claim.id] = claim
                if claim.in_doubt_since is not None:
                    continue
                business, sender, _ = circuits = self._needs(claim)
                sender.businesses.add(business)
                sender.waiting.add(claim.id)
                for circuit in circuits:
                    if circuit.key in batch.stops:
                        circuit.trial, circuit.is_news = claim.id, False

    def release(self, claim: Claim) -> None:
        """Take note that a text is in its next state."""
        with self._lock:
            _, sender, _ = circuits = self._needs(claim)
            # A text that was given back may be in flight again, by another claim.
            if self._in_flight.get(claim.id) is claim:
                del self._in_flight[claim.id]
                sender.waiting.discard(claim.id)
            for circuit in circuits:
                if circuit.trial == claim.id:
                    circuit.trial = None
            self._lock.notify_all()

    def _needs(self, claim: Claim) -> tuple[Circuit, SenderCircuit, Circuit]:
        """What must not have stopped, unless this text tries it: its business, its sender, everybody."""
        business, sender = str(claim.business_id), str(claim.sender.id or "")
        if business not in self._businesses:
            self._businesses[business] = Circuit(("business", business))
        if sender not in self._senders:
            key: CircuitKey = ("sender", sender)
            self._senders[sender] = SenderCircuit(key, sender=claim.sender)
        return self._businesses[business], self._senders[sender], self._everybody

    @property
    def _circuits(self) -> list[Circuit]:
        return [self._everybody, *self._senders.values(), *self._businesses.values()]

    @property
    def room(self) -> dict[str, int]:
        """How many texts of these senders and businesses, by id, may be claimed now; of others, any number."""
        with self._lock:
            room = {
                circuit.key[1]: 0
                for circuit in self._circuits
                if circuit.key[1] and not circuit.may_send()
            }
            share = min(self._share(self._places), self._places)
            for subject, sender in self._senders.items():
                if subject and sender.is_slow:
                    room.setdefault(subject, max(int(share - sender.demand), 0))
            return room

    def wait_to_claim(
        self,
        room: Mapping[str, int],
        *,
        at: float,
        until: float,
        most_in_flight: int,
    ) -> bool:
        """Wait until others may be claimed: `at` has come, or there is another room than this, and few are in flight.

        False: nothing more is to be claimed.

        Args:
            at: by `time.monotonic`. inf: only what is in flight may make another room.
            until: the end of the wait, likewise.
            most_in_flight: so few texts.
        """
        with self._lock:
            while self.why_stopped is None and (now := monotonic()) < until:
                is_time = now >= at or self.room != room
                if is_time and self._has_capacity(most_in_flight):
                    return True
                if at == inf and not self._in_flight:
                    return False
                wake_at = at if at > now else inf
                self._sleep(min(WAKE_SECONDS, until - now, wake_at - now))
            return False

    def _sleep(self, seconds: float) -> None:
        self._lock.wait(seconds)

    def _has_capacity(self, most_in_flight: int) -> bool:
        """Whether so few texts are in flight that others may be claimed.

        Until somebody was answered, nothing is claimed that could not begin.
        """
        everybody = self._everybody
        has_place = everybody.is_answered or len(everybody.under_way) < self._places
        is_free = len(self._in_flight) <= most_in_flight
        return is_free and has_place and everybody.may_send()

    # Before a send

    @contextmanager
    def place(self, claim: Claim) -> Iterator[NoSend | None]:
        """Hold a place for a text that begins, to the end of its send; or say what becomes of it instead."""
        obstacle = self._wait_for_place(claim)
        try:
            yield obstacle
        finally:
            with self._lock:
                for circuit in self._needs(claim):
                    circuit.under_way.discard(claim.id)
                self._lock.notify_all()

    def _wait_for_place(self, claim: Claim) -> NoSend | None:
        deadline = monotonic() + PATIENCE_SECONDS
        with self._lock:
            _, sender, everybody = needs = self._needs(claim)
            while True:
                if obstacle := self._obstacle(claim):
                    return self._back(claim, *obstacle)
                places = self._places + self._ends_soon(sender)
                is_any_free = len(everybody.under_way) < places
                has_share = len(sender.under_way) < self._share(places)
                may_send = all(circuit.may_send(claim.id) for circuit in needs)
                if is_any_free and has_share and may_send:
                    sender.waiting.discard(claim.id)
                    for circuit in needs:
                        circuit.under_way.add(claim.id)
                    return None
                if is_any_free and everybody.may_send(claim.id):
                    is_over = monotonic() > deadline
                else:
                    # No other text could use its thread either.
                    deadline, is_over = monotonic() + PATIENCE_SECONDS, False
                if is_over or (sender.is_slow and not has_share):
                    return self._back(claim, _AT_CAPACITY, "at_capacity")
                self._lock.wait(WAKE_SECONDS)

    @property
    def _places(self) -> int:
        if self._everybody.is_answered:
            return self._concurrency
        failed = sum(
            len({*sender.failures})
            for sender in self._senders.values()
            if sender.why_stopped is None
        )
        # Failures count against the first ten, not a small run's own places: it would be left with none.
        return max(min(AT_FIRST - failed, self._concurrency), 0)

    def _ends_soon(self, sender: SenderCircuit) -> int:
        """How many places will be free by the time when a text of this sender that begins now gets there.

        Until then, sends end: as many as are under way for as long as a begin takes, and none of slow senders.
        """
        if not self._everybody.is_answered:
            return 0
        under_way = sum(
            len(other.under_way)
            for other in self._senders.values()
            if other.send_seconds <= SLOW_SECONDS
        )
        share_that_ends = min(self.answer_seconds / sender.send_seconds, 1)
        return int(min(under_way, self._concurrency) * share_that_ends)

    def _share(self, places: int) -> float:
        """The most of these places that a sender may have. What others do not need, it may."""
        demands = sorted(
            sender.demand for sender in self._senders.values() if sender.demand
        )
        for index, demand in enumerate(demands):
            share = places / (len(demands) - index)
            if demand >= share:
                return max(share, 1)
            places -= demand
        return inf

    def _obstacle(self, claim: Claim) -> tuple[str, WhyCode] | None:
        """Why the text goes back, if sending has stopped, or if its own business has trouble."""
        business, sender, _ = self._needs(claim)
        if why := self.why_stopped or sender.why_stopped:
            return why, "sending_stopped"
        if why := business.why_stopped:
            return why, "business_trouble"
        if is_trouble(business.database_failures, 1):
            return self.database_trouble or "", "database_trouble"
        waits_until = max(business.waits_until, sender.waits_until)
        if waits_until > monotonic() + PATIENCE_SECONDS:
            return _SLOWER, "rate_limited"
        return None

    def _back(self, claim: Claim, why: str, why_code: WhyCode) -> NoSend:
        if self.claims_one_by_one or why_code == "database_trouble":
            return troubled(claim, why, why_code)
        return GiveBack(why, why_code)

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
                _, sender, _ = self._needs(claim)
                leaves_at = max(leaves_at, sender.free_at, monotonic())
                sender.free_at = leaves_at + segments(claim.body or "") / per_second
        time.sleep(max(leaves_at - monotonic(), 0))

    @contextmanager
    def at_provider(self, claim: Claim) -> Iterator[float]:
        """Make a request in the place of this text, and tell for how many seconds it was not free.

        It is, but for a sender whose answers have become slow while the text began.
        """
        came, (_, sender, _) = monotonic(), self._needs(claim)
        with self._at_provider:
            with self._lock:
                began = sender.requests[claim.id] = monotonic()
            yield began - came
            with self._lock:
                del sender.requests[claim.id]
                sender.last_send_seconds = max(monotonic() - began, 0.001)

    # After it

    def observe(self, claim: Claim, outcome: Outcome) -> float | None:
        """Learn from what became of a send, as it ends.

        Returns:
            For how many seconds the provider asks its sender to wait.
        """
        pause_seconds = None
        with self._lock:
            business, sender, everybody = needs = self._needs(claim)
            match outcome:
                case NotSent(why) | InDoubt(why):
                    self._failed(claim, why)
                case Rejected(refusal, wait) if _is_of_more_than_its_text(refusal):
                    self._answered(everybody)
                    if refusal.kind == "account_refused":
                        self._stop(sender, _REFUSED.format(refusal.advice))
                    else:
                        pause_seconds = self._slow_down(business, sender, wait)
                case Accepted() | Rejected():
                    self._answered(*needs)
                    # After the provider asked it to go slower: one more for each full round of texts.
                    sender.at_once += 1 / sender.at_once
                case _:
                    assert_never(outcome)
        self._tell()
        return pause_seconds

    def _answered(self, *circuits: Circuit) -> None:
        """Take note that these work, even if they had stopped."""
        for circuit in circuits:
            circuit.failures.clear()
            circuit.is_answered = True
            if circuit.why_stopped or circuit.trial:
                circuit.why_stopped = circuit.trial = None
                self._untold.append((circuit.key, None))

    def _failed(self, claim: Claim, why: str) -> None:
        """Count a failure, and stop what fails. A trial's is not counted further up: it says nothing new of that."""
        business, sender, everybody = self._needs(claim)
        failing, is_counted = _FAILING.format(why), True
        for circuit, part, part_count in (
            (business, claim.id, 1),
            (sender, business, len(sender.businesses)),
            (everybody, sender, MIN_FAILING),
        ):
            if is_counted:
                circuit.failures.append(part)
            is_trial = circuit.trial == claim.id
            if is_trial or is_trouble(circuit.failures, part_count):
                of_business = _BUSINESS_FAILING.format(why)
                self._stop(circuit, of_business if circuit is business else failing)
            is_counted = is_counted and not is_trial
        if everybody.why_stopped:
            for other in self._senders.values():
                if other.failures:
                    self._stop(other, failing)

    def _slow_down(
        self, business: Circuit, sender: SenderCircuit, retry_after: timedelta | None
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
        sender.at_once = max(1, min(sender.at_once, len(sender.under_way)) / 2)
        return seconds

    def _stop(self, circuit: Circuit, why: str) -> None:
        if circuit.key == ("sender", ""):
            self.stop(why)  # it has no id by which a claim could leave it out
        elif circuit.why_stopped is None:
            circuit.why_stopped = why
            self._untold.append((circuit.key, why))
            if circuit is self._everybody:
                self.stop(why)
        self._lock.notify_all()

    def _tell(self) -> None:
        """Tell the next run, and other machines. If they cannot be told, they find out by themselves."""
        while True:
            with self._lock:
                if self._is_telling or not self._untold:
                    return
                (kind, subject), why = self._untold.pop(0)
                self._is_telling = True
            try:
                with suppress(QueueError):
                    self._set_stop(kind, subject, why)
            finally:
                self._is_telling = False

    def database_failed(self, claim: Claim, why: str) -> None:
        """Take note that the database could not be asked whether this text may go.

        No further send begins once that is so for every business of the run. Until then it may be this row's trouble
        alone.
        """
        with self._lock:
            self.database_trouble = self.database_trouble or why
            business, _, everybody = self._needs(claim)
            business.database_failures.append(claim.id)
            everybody.database_failures.append(business)
            businesses = {text.business_id for text in self._in_flight.values()}
            if is_trouble(everybody.database_failures, len(businesses)):
                self.stop(why)

    def database_answered(self, claim: Claim, seconds: float) -> None:
        """Take note that the database could be asked about this text, which took so long."""
        with self._lock:
            business, _, everybody = self._needs(claim)
            business.database_failures.clear()
            everybody.database_failures.clear()
            self.answer_seconds = seconds

    # The run

    @property
    def stopped(self) -> list[Circuit]:
        """What has stopped beyond this run."""
        with self._lock:
            return [circuit for circuit in self._circuits if circuit.why_stopped]

    def stop(self, why: str) -> None:
        """Let no further send begin. The reason ends with this run."""
        with self._lock:
            self.why_stopped = self.why_stopped or why
            self._lock.notify_all()


def _is_of_more_than_its_text(refusal: Refusal) -> bool:
    """Whether a refusal concerns its business or its sender, too."""
    if refusal.kind == "account_refused":
        return refusal.certain
    return refusal.kind == "rate_limited" and refusal.level != "recipient"
