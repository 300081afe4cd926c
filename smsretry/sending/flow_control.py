"""May another send begin? Four rules, which the threads of a run share.

1. Until somebody was answered, 10 sends of the run are under way at most, and 3 of a business until it was. What has
   failed, but has not stopped, keeps its place.
2. After 3 failures in a row a business stops. A sender stops when 4 of its businesses (all, if it has fewer) fail and
   none goes out, or when its account is refused for certain. Everybody stops when 4 senders fail and nothing goes out,
   and these senders with them.
3. What has stopped is tried with one text at a time, and counts no more. An answer lifts it. While
   everybody is stopped, that text is of a sender which is not stopped itself, if there is one.
4. When the provider asks to go slower, the business waits; if it asks two businesses, their sender does, and then half
   as many are under way.

A failure is a request that reached nobody, or got no clear answer. Whatever else is answered shows that sending works.
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
from smsretry.retry.answers import Begun
from smsretry.retry.before import troubled
from smsretry.retry.decision import GiveBack, PutOff
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

IN_A_ROW: Final = 3
"""Failures in a row that stop a business, and its sends under way until it was answered."""
AT_FIRST: Final = 10
"""Sends of a run under way until somebody was answered: an outage costs hardly more texts."""
SEVERAL: Final = 4
"""Businesses, or senders, that must fail before it is the trouble of what they share."""
PATIENCE_SECONDS: Final = 3.0
"""How long a text waits for its business or its sender. Then it goes back, and leaves its thread to another's."""
SLOWER_SECONDS: Final = 1.0
"""How long a sender waits when the provider asks to go slower and does not say how long. Its limits are per second."""
LOOK_UP_SECONDS: Final = 0.5
"""How often a waiting thread checks: a signal that stops the run cannot wake it."""
_OTHERS_FIRST: Final = "It waits for other texts of its business or sender, and leaves its place to others meanwhile"
_SLOWER: Final = "The provider asks to go slower"
_FAILING: Final = (
    "Texts of this business came to nothing ({}): one of them is tried each time"
)
_REFUSED: Final = "The account is refused, not the text: {}"
_STOPPED: Final = (
    "Sending does not work: {}. The provider's status page and the network tell more"
)
Stop: TypeAlias = tuple[StopKind, str]
ALL_SENDING: Final[Stop] = ("everybody", "")
Tell = Callable[[StopKind, str, str | None], None]


@dataclass(slots=True)
class _Streak:
    """Failures since the last success."""

    length: int = 0
    parts: set[Hashable] = field(default_factory=set)
    """Texts, businesses or senders that have failed."""

    def add(self, part: Hashable) -> None:
        self.length += 1
        self.parts.add(part)

    def is_of(self, several: int) -> bool:
        """Whether it is long enough, and of so many parts."""
        return self.length >= IN_A_ROW and len(self.parts) >= min(several, SEVERAL)

    def end(self) -> None:
        self.length = 0
        self.parts.clear()


@dataclass(slots=True, eq=False)
class _Circuit:
    """The run's knowledge of a business, a sender, or everybody."""

    name: Stop
    at_once: float
    """How many of its sends may be under way."""
    stopped: str
    """The sentence that says that it has stopped."""
    failures: _Streak = field(default_factory=_Streak)
    unasked: _Streak = field(default_factory=_Streak)
    """Likewise of calls to the database about its texts."""
    under_way: set[Hashable] = field(default_factory=set)
    """Its texts whose sends were let in and have not ended. What has failed keeps its place until something is
    answered: a text that of its business, a business that of everybody, if its sender has not stopped.
    """
    businesses: set["_Circuit"] = field(default_factory=set)
    """A sender's, whose texts the run has claimed."""
    stopped_because: str | None = None
    """Why it has stopped."""
    trial: UUID | None = None
    """It had stopped before this run, and this text tries it."""
    waits_until: float = 0.0
    """Until when it waits because the provider asked, by `time.monotonic`."""
    free_at: float = 0.0
    """When a sender's next text may leave, by its rate."""

    def has_capacity(self, text: UUID | None = None) -> bool:
        """Whether this text's send may begin; None: that of another one."""
        return (
            self.stopped_because is None
            and self.trial in (None, text)
            and len(self.under_way) < self.at_once
            and self.waits_until <= monotonic()
        )


class FlowControl:
    """One per run; shared by its threads."""

    def __init__(
        self, tell: Tell = lambda *_: None, concurrency: int = MOST_CONCURRENCY
    ) -> None:
        """Prepare.

        Args:
            tell: tells the next run, and other machines, what has stopped; as a rule `RetryQueue.set_stop`.
            concurrency: the most sends under way at the provider.
        """
        self._concurrency: Final = concurrency
        self._places: Final = threading.Semaphore(concurrency)
        self._let_in = set[UUID]()
        """Texts whose sends were let in and have not ended."""
        self._send_seconds = inf
        """The duration of the last send."""
        # The only lock, and reentrant: a signal handler may stop the run while its own thread holds it.
        self._lock: Final = threading.Condition(threading.RLock())
        self._tell_next_run = tell
        self._is_telling = False
        """Whether a thread tells. It is one at a time, so that no lift is told before its stop."""
        self._news = list[tuple[Stop, str | None]]()
        """Stops that the database does not know yet."""
        self._in_flight = dict[UUID, Claim]()
        self._everybody = _Circuit(ALL_SENDING, AT_FIRST, _STOPPED)
        self._circuits = {ALL_SENDING: self._everybody}
        self._ahead = inf
        """The lead of this process's clock over the database's, plus the time of the fastest answer."""
        self.lead = 0.0
        """Seconds that the last answer to a begin took: no text's turn comes sooner."""
        self.tried = set[Stop]()
        """Stops from before this run that were tried."""
        self.database_trouble: str | None = None
        """Why the database could not be asked. The next run asks again; nothing is remembered where nothing can be."""
        self.claims_one_by_one = False
        """Whether each claim brings one row: what goes back would come again, and keep others from it."""
        self.run_stopped_because: str | None = None
        """Why no further send of the run may begin."""

    # What was claimed

    def claimed(self, batch: Batch) -> None:
        """Take note of rows that were claimed, and of what had stopped of what they need."""
        with self._lock:
            for claim in batch.texts:
                self._in_flight[claim.id] = claim
                if claim.in_doubt_since is not None:
                    continue
                self._sender(claim).businesses.add(self._business(claim))
                for circuit in self._needs(claim):
                    if circuit.name in batch.stops:
                        circuit.trial = claim.id
                        self.tried.add(circuit.name)

    def release(self, claim: Claim) -> None:
        """Take note that a row is in its next state."""
        with self._lock:
            # Else it was given back, and has been claimed again.
            if self._in_flight.get(claim.id) is claim:
                del self._in_flight[claim.id]
            for circuit in self._tried_by(claim):
                circuit.trial = None
            self._lock.notify_all()

    def _circuit(self, name: Stop, at_once: float, stopped: str) -> _Circuit:
        if name not in self._circuits:
            self._circuits[name] = _Circuit(name, at_once, stopped)
        return self._circuits[name]

    def _business(self, claim: Claim) -> _Circuit:
        return self._circuit(("business", str(claim.business_id)), IN_A_ROW, _FAILING)

    def _sender(self, claim: Claim) -> _Circuit:
        """No id: that of the environment, if the database knows none."""
        return self._circuit(("sender", str(claim.sender.id or "")), inf, _STOPPED)

    def _needs(self, claim: Claim) -> tuple[_Circuit, _Circuit, _Circuit]:
        """The parties that must not have stopped, unless this text is the one that tries them."""
        return self._business(claim), self._sender(claim), self._everybody

    def _tried_by(self, claim: Claim) -> list[_Circuit]:
        return [circuit for circuit in self._needs(claim) if circuit.trial == claim.id]

    @property
    def without(self) -> set[str]:
        """Senders and businesses, by id, of which nothing is to be claimed now."""
        with self._lock:
            return {
                subject
                for (_, subject), circuit in self._circuits.items()
                if subject and not circuit.has_capacity()
            }

    def wait_for_capacity(self, at_most: int, until: float) -> bool:
        """Wait until so few rows are in flight that others may be claimed. False: nothing more is to be claimed.

        Args:
            until: by `time.monotonic`.
        """
        with self._lock:
            while self.run_stopped_because is None and (now := monotonic()) < until:
                if len(self._in_flight) <= at_most and self._everybody.has_capacity():
                    return True
                self._lock.wait(min(LOOK_UP_SECONDS, until - now))
            return False

    def wait_for_others(self, without: set[str], until: float) -> bool:
        """Wait until others may be claimed than without these. False: nothing in flight could let them any more.

        Args:
            until: by `time.monotonic`.
        """
        with self._lock:
            while self.run_stopped_because is None and (now := monotonic()) < until:
                if self.without != without:
                    return True
                if not self._in_flight:
                    return False
                self._lock.wait(min(LOOK_UP_SECONDS, until - now))
            return False

    # Before a send

    def admit(self, claim: Claim) -> PutOff | None:
        """Let a send begin, or say why not. A send that was let in is followed by `observe`, or by `withdraw`."""
        began = monotonic()
        with self._lock:
            business, sender, everybody = needs = self._needs(claim)
            while not (put_off := self._put_off(claim, business, sender)):
                has_place = self._has_place()
                if has_place and all(c.has_capacity(claim.id) for c in needs):
                    self._let_in.add(claim.id)
                    for circuit in needs:
                        circuit.under_way.add(claim.id)
                    return None
                if not (has_place and everybody.has_capacity(claim.id)):
                    began = monotonic()  # then nobody else needs its thread
                if monotonic() > began + PATIENCE_SECONDS:
                    return self._back(claim, _OTHERS_FIRST, "others_first")
                self._lock.wait(LOOK_UP_SECONDS)
            return put_off

    def _has_place(self) -> bool:
        """Whether a text that begins now will find a place at the provider: as many sends end until then as are under
        way for as long as a begin takes.
        """
        ending = self._concurrency * min(self.lead / self._send_seconds, 1)
        return len(self._let_in) < self._concurrency + int(ending)

    def _put_off(
        self, claim: Claim, business: _Circuit, sender: _Circuit
    ) -> PutOff | None:
        """The decision that the text waits, because sending has stopped or its own business has trouble."""
        if detail := self.run_stopped_because:
            return GiveBack(detail, "sending_stopped")
        if detail := sender.stopped_because:
            return self._back(claim, detail, "sending_stopped")
        if detail := business.stopped_because:
            return self._back(claim, detail, "business_trouble")
        if business.unasked.is_of(1):
            return troubled(claim, self.database_trouble or "")
        waits_until = max(business.waits_until, sender.waits_until)
        if waits_until > monotonic() + PATIENCE_SECONDS:
            return self._back(claim, _SLOWER, "rate_limited")
        return None

    def _back(self, claim: Claim, detail: str, why_code: WhyCode) -> PutOff:
        return (
            troubled(claim, detail, why_code)
            if self.claims_one_by_one
            else GiveBack(detail, why_code)
        )

    def wait_for_turn(self, claim: Claim, begun: Begun) -> None:
        """Wait until the text may leave, by its sender's rate: two seconds at most, if nothing here is late.

        The database gives each text its turn, at one rate for all machines. Texts whose turns have passed, because
        answers took unequally long, keep their distance all the same.
        """
        with self._lock:
            self._ahead = min(self._ahead, monotonic() - begun.decided_at.timestamp())
            leaves = (
                begun.reached_at.timestamp() + self._ahead if begun.reached_at else 0.0
            )
            if per_second := claim.sender.segments_per_second:
                sender = self._sender(claim)
                leaves = max(leaves, sender.free_at, monotonic())
                sender.free_at = leaves + segments(claim.body or "") / per_second
        time.sleep(max(leaves - monotonic(), 0))

    @contextmanager
    def at_provider(self) -> Iterator[None]:
        """Hold one of the places of the sends that are under way at the provider."""
        with self._places:
            began = monotonic()
            yield
            self._send_seconds = max(monotonic() - began, 0.001)

    # After it

    def withdraw(self, claim: Claim) -> None:
        """The send did not begin, whether it was let in or not."""
        with self._lock:
            self._let_in.discard(claim.id)
            for circuit in self._needs(claim):
                circuit.under_way.discard(claim.id)
            self._lock.notify_all()

    def observe(self, claim: Claim, outcome: Outcome) -> float | None:
        """Learn from what became of a send. Returns for how many seconds the provider asks its sender to wait."""
        slower = None
        with self._lock:
            business, sender, everybody = self._needs(claim)
            self.withdraw(claim)
            match outcome:
                case NotSent(detail) | InDoubt(detail):
                    self._failed(claim, detail)
                case Rejected(refusal, retry_after) if _is_of_more_than_its_text(
                    refusal
                ):
                    self._note_answer(everybody)
                    if refusal.kind == "account_refused":
                        self._stop(sender, _REFUSED.format(refusal.advice))
                    else:
                        slower = self._slow_down(business, sender, retry_after)
                case Accepted() | Rejected():
                    self._note_answer(business, sender, everybody)
                case _:
                    assert_never(outcome)
        self._tell()
        return slower

    def _note_answer(self, *circuits: _Circuit) -> None:
        """Take note that these work, even if they had stopped."""
        for circuit in circuits:
            circuit.failures.end()
            # A sender that was asked to go slower has one more for each full round of texts.
            circuit.at_once = (
                circuit.at_once + 1 / circuit.at_once
                if circuit.name[0] == "sender"
                else inf
            )
            if circuit.stopped_because or circuit.trial:
                circuit.stopped_because = circuit.trial = None
                self._news.append((circuit.name, None))

    def _failed(self, claim: Claim, detail: str) -> None:
        """Count a failure, but of no more than what had stopped before: that proves nothing of what it is part of."""
        business, sender, everybody = needs = self._needs(claim)
        tried = self._tried_by(claim)
        business.failures.add(claim.id)
        business.under_way.add(claim.id)
        if business not in tried:
            sender.failures.add(business)
            if sender not in tried:
                everybody.failures.add(sender)
                everybody.under_way.add(business)
        of_several = 1, len(sender.businesses), SEVERAL
        for circuit, several in zip(needs, of_several, strict=True):
            if circuit in tried or circuit.failures.is_of(several):
                self._stop(circuit, circuit.stopped.format(detail))
        if everybody.stopped_because:
            for sender_circuit in self._circuits.values():
                if (
                    sender_circuit.name[0] == "sender"
                    and sender_circuit.failures.length
                ):
                    self._stop(sender_circuit, sender_circuit.stopped.format(detail))
        if sender.stopped_because:
            everybody.under_way -= sender.businesses

    def _slow_down(
        self, business: _Circuit, sender: _Circuit, retry_after: timedelta | None
    ) -> float | None:
        now, wait = monotonic(), retry_after or timedelta(0)
        seconds = max(wait.total_seconds(), SLOWER_SECONDS)
        business.waits_until = now + seconds
        slowed = sum(circuit.waits_until > now for circuit in sender.businesses)
        if slowed < min(2, len(sender.businesses)):
            return None  # it may be this business's recipients alone
        is_same_burst = sender.waits_until > now  # which was answered by waiting
        sender.waits_until = max(sender.waits_until, now + seconds)
        if is_same_burst:
            return None
        under_way = len(sender.under_way) + 1
        sender.at_once = max(1, min(sender.at_once, under_way) / 2)
        return seconds

    def _stop(self, circuit: _Circuit, detail: str) -> None:
        if circuit.name == ("sender", ""):
            self.stop(detail)  # it has no name by which a claim could leave it out
        elif circuit.stopped_because is None:
            circuit.stopped_because = detail
            self._news.append((circuit.name, detail))
            if circuit is self._everybody:
                self.stop(detail)
        self._lock.notify_all()

    def _tell(self) -> None:
        """Tell the next run, and other machines. If they cannot be told, they find out by themselves."""
        while True:
            with self._lock:
                if self._is_telling or not self._news:
                    return
                (kind, subject), detail = self._news.pop(0)
                self._is_telling = True
            try:
                with suppress(QueueError):
                    self._tell_next_run(kind, subject, detail)
            finally:
                self._is_telling = False

    def database_failed(self, claim: Claim, detail: str) -> None:
        """The database could not be asked whether this text may go; a person must mend that.

        No further send begins once that is so for every business of the run. Until then it may be this row's trouble
        alone.
        """
        with self._lock:
            self.database_trouble = self.database_trouble or detail
            business = self._business(claim)
            business.unasked.add(claim.id)
            self._everybody.unasked.add(business)
            businesses = {text.business_id for text in self._in_flight.values()}
            if self._everybody.unasked.is_of(len(businesses)):
                self.stop(detail)

    def database_answered(self, claim: Claim, seconds: float) -> None:
        """The database could be asked about this text, which took so long."""
        with self._lock:
            self._business(claim).unasked.end()
            self._everybody.unasked.end()
            self.lead = seconds

    # The run

    @property
    def stopped(self) -> dict[Stop, str]:
        """Trouble that outlasts this run, and its reason."""
        with self._lock:
            return {
                name: circuit.stopped_because
                for name, circuit in self._circuits.items()
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
