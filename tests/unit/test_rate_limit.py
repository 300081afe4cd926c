"""Turns at a sender that makes so many segments a second: all of its rate, and never more."""

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from heapq import heappop, heappush
from itertools import accumulate, count
from typing import Final, Protocol
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smsretry.retry.answers import Lease
from smsretry.retry.segments import segments
from smsretry.sending import rate_limit
from smsretry.sending.rate_limit import IN_FLIGHT_SECONDS, RateLimit
from tests.support.builders import NOON

LONG: Final = "a" * 300
"""Two segments."""
ROUNDING: Final = 1e-4


class Paced(Protocol):
    """What the street asks of a rate_limit."""

    def max_in_flight(self, most: int) -> int: ...
    def expect(self, texts: list[tuple[UUID, str]]) -> None: ...
    def seconds_to_turn(self, text: UUID, body: str) -> float | None: ...


class Street:
    """Workers' threads in a time of their own. One acts at a moment; it may sleep meanwhile, or wait for a lock."""

    def __init__(self) -> None:
        self.now = 0.0
        self._asleep = list[tuple[float, int, threading.Semaphore]]()
        self._count = count()
        self._me = threading.local()
        self.trouble = list[BaseException]()

    def sleep(self, seconds: float) -> None:
        """The thread does nothing for so long."""
        self.wake(self._me.bell, at=self.now + seconds)
        self.pause()

    def wake(self, bell: threading.Semaphore, *, at: float | None = None) -> None:
        """A thread goes on at this time, or now."""
        heappush(self._asleep, (self.now if at is None else at, next(self._count), bell))

    def pause(self) -> None:
        """Let the others act until somebody wakes this thread."""
        self._pass_on()
        self._me.bell.acquire()

    def _pass_on(self) -> None:
        if self._asleep:
            at, _, bell = heappop(self._asleep)
            self.now = max(self.now, at)
            bell.release()

    @property
    def me(self) -> threading.Semaphore:
        """What the thread that acts is woken by."""
        bell: threading.Semaphore = self._me.bell
        return bell

    def act(self, threads: list[Callable[[], None]]) -> None:
        """All act until each is done."""

        def run(bell: threading.Semaphore, act: Callable[[], None]) -> None:
            self._me.bell = bell
            bell.acquire()
            try:
                act()
            except BaseException as error:  # noqa: BLE001 - it is raised below, in the thread of the test
                self.trouble.append(error)
            self._pass_on()

        bells = [threading.Semaphore(0) for _ in threads]
        running = [threading.Thread(target=run, args=each) for each in zip(bells, threads, strict=True)]
        for thread in running:
            thread.start()
        for bell in bells:
            self.wake(bell)
        self._pass_on()
        for thread in running:
            thread.join()
        if self.trouble:
            raise self.trouble[0]


class StreetLock:
    """A lock for which a thread of the street waits in its time."""

    def __init__(self, street: Street) -> None:
        self._street = street
        self._held = False
        self._waiting = deque[threading.Semaphore]()

    def acquire(self, *, blocking: bool = True) -> bool:
        """As `threading.Lock` has it."""
        if self._held and not blocking:
            return False
        if self._held:
            self._waiting.append(self._street.me)
            self._street.pause()
        self._held = True
        return True

    def release(self) -> None:
        """It goes to whoever waits first."""
        if self._waiting:
            self._street.wake(self._waiting.popleft())
        else:
            self._held = False

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


@dataclass
class Sender:
    """Its time, as the database gives it away; the texts that it was given."""

    street: Street
    delays: Iterator[tuple[float, float]]
    """How long each call is on its way to the database and back."""
    free_at: float = 0.0
    calls: int = 0
    given: list[tuple[float, int]] = field(default_factory=list)
    """When, and of how many segments."""

    def lease(self, count: int, per_second: float, lead: float) -> Lease:
        """As `lease_sms_time` has it."""
        there, back = next(self.delays)
        self.calls += 1
        self.street.sleep(there)
        at = begins = self.street.now
        if count:
            begins = max(self.free_at, at + lead)
            self.free_at = begins + count / per_second
        self.street.sleep(back)
        return Lease(begins_at=NOON + timedelta(seconds=begins), asked_at=NOON + timedelta(seconds=at))

    def share(self, per_second: float) -> float:
        """How much of its rate was used from the first text to the last."""
        (first, _), (last, _) = self.given[0], self.given[-1]
        return sum(count for _, count in self.given[:-1]) / ((last - first) * per_second)

    def too_many(self, per_second: float, *, unsure: float) -> float:
        """By how many segments any second had more than the rate and the largest text.

        Args:
            unsure: seconds by which two workers' notions of the database's clock may differ.
        """
        allowed = per_second * (1 + unsure) + max(count for _, count in self.given) + ROUNDING
        until = [0, *accumulate(count for _, count in self.given)]
        most, first = 0, 0
        for last, (at, _) in enumerate(self.given):
            while self.given[first][0] <= at - 1 + ROUNDING:
                first += 1
            most = max(most, until[last + 1] - until[first])
        return most - allowed


def run_of(sender: Sender, rate_limit: Paced, bodies: list[str], threads: int, name: int) -> list[Callable[[], None]]:
    """A run with more texts than it can send at once: it takes some in flight, and its threads send them in turn."""
    waiting = deque((UUID(int=name * 1_000_000 + place), body) for place, body in enumerate(bodies))
    hand = deque[tuple[UUID, str]]()

    def send() -> None:
        while waiting or hand:
            if len(hand) <= rate_limit.max_in_flight(50) - threads or not hand:
                taken = [waiting.popleft() for _ in range(min(rate_limit.max_in_flight(50), len(waiting)))]
                rate_limit.expect(taken)
                hand.extend(taken)
            text, body = hand.popleft()
            while seconds := rate_limit.seconds_to_turn(text, body):
                sender.street.sleep(seconds)
            sender.given.append((sender.street.now, segments(body)))
            sender.street.sleep(0.1)  # begin, send and finish

    return [send] * threads


@dataclass(frozen=True)
class Day:
    """What a sender, its workers and the way to the database are like."""

    per_second: float
    sizes: list[int]
    workers: int
    threads: int
    delays: list[tuple[float, float]]
    """Repeated."""
    slow: float
    """How long one call in a hundred takes, to the database or back."""

    @property
    def unsure(self) -> float:
        """How well the quickest answer tells the database's clock."""
        return min(there + back for there, back in self.delays)


@st.composite
def days(draw: st.DrawFn) -> Day:
    """Any rate, any texts; answers as fast as usual, and some that are late."""
    quick = st.floats(0.001, 0.01)
    return Day(
        per_second=draw(st.one_of(st.floats(0.2, 100), st.floats(4, 20))),
        sizes=draw(st.lists(st.integers(1, 10), min_size=1, max_size=8)),
        workers=draw(st.integers(1, 3)),
        threads=draw(st.sampled_from([10, 30])),
        delays=draw(st.lists(st.tuples(quick, quick), min_size=1, max_size=6)),
        slow=draw(st.floats(0.1, 1.0)),
    )


def paced(_: Street, lease: Callable[[int, float, float], Lease], per_second: float) -> Paced:
    """As a run makes it."""
    return RateLimit(lease, per_second)


def sent_on(day: Day, make: Callable[[Street, Callable[[int, float, float], Lease], float], Paced] = paced) -> Sender:
    """What the sender was given on such a day, with a backlog of two minutes at least."""

    def delays() -> Iterator[tuple[float, float]]:
        calls = 0
        while True:
            for there, back in day.delays:
                calls += 1
                yield (
                    (there + day.slow, back)
                    if calls % 200 == 40
                    else (there, back + day.slow)
                    if calls % 200 == 140
                    else (there, back)
                )

    street = Street()
    sender = Sender(street, delays())
    each = math.ceil(max(60 * day.per_second / sum(day.sizes), 20) / day.workers)
    bodies = ["a" * (153 * size if size > 1 else 10) for size in day.sizes] * each
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rate_limit, "monotonic", lambda: street.now)
        patch.setattr(rate_limit, "Lock", lambda: StreetLock(street))
        runs = [
            run_of(sender, make(street, sender.lease, day.per_second), bodies, day.threads, name)
            for name in range(day.workers)
        ]
        street.act([thread for run in runs for thread in run])
    return sender


class Dropping:
    """A rate limit that wastes: what is left of a lease is thrown away when the next text does not fit in it."""

    def __init__(self, street: Street, lease: Callable[[int, float, float], Lease], per_second: float) -> None:
        self._street, self._lease, self._per_second = street, lease, per_second
        self._left, self._next = 0, 0.0
        self._taken, self._lock = set[UUID](), StreetLock(street)

    def max_in_flight(self, most: int) -> int:
        return max(1, min(most, int(self._per_second * IN_FLIGHT_SECONDS)))

    def expect(self, texts: list[tuple[UUID, str]]) -> None:
        pass

    def seconds_to_turn(self, text: UUID, body: str) -> float:
        if text in self._taken:
            return 0.0
        self._taken.add(text)
        with self._lock:
            return self._turn(segments(body))

    def _turn(self, size: int) -> float:
        now = self._street.now
        if self._next < now - 0.5:
            self._left = 0
        if size > self._left:
            self._left = max(size, math.ceil(self._per_second * 0.5))
            lease = self._lease(self._left, self._per_second, 0)
            self._next = now + (lease.begins_at - lease.asked_at).total_seconds()
        turn = self._next
        self._left -= size
        self._next += size / self._per_second
        return max(turn - now, 0.0)


@settings(max_examples=40)
@given(day=days())
def test_a_sender_s_rate_is_reached_and_never_exceeded_by_more_than_one_text(day: Day) -> None:
    """Whatever it is, however long the texts and however many workers send them; also when the database is slow."""
    sender = sent_on(day)
    assert len(sender.given) >= 20
    assert sender.share(day.per_second) >= 0.99
    assert sender.too_many(day.per_second, unsure=day.unsure) <= 0
    if day.per_second >= 20 * max(day.sizes):
        assert sender.calls <= len(sender.given) / 2


USUAL: Final = [(0.004, 0.006)]


def test_the_pace_of_before_threw_away_a_third_of_the_rate_and_exceeded_it() -> None:
    """The property fails for the rate_limit that dropped what was left of a lease, and piled up what came late."""
    wasted = sent_on(Day(5, [2], workers=1, threads=10, delays=USUAL, slow=0.1), Dropping)
    assert wasted.share(5) < 0.7
    late = sent_on(Day(40, [1], workers=3, threads=10, delays=USUAL, slow=1.0), Dropping)
    assert late.too_many(40, unsure=0.01) > 5


def test_without_a_rate_nobody_waits_and_nothing_is_leased() -> None:
    """The provider queues what comes too fast."""

    def lease(*_: float) -> Lease:
        raise AssertionError("nothing is leased")

    rate_limit = RateLimit(lease, None)
    rate_limit.expect([(UUID(int=1), "Hello")])
    assert [rate_limit.seconds_to_turn(UUID(int=n), "Hello") for n in range(100)] == [0] * 100
    rate_limit.forget(UUID(int=1))
    assert rate_limit.max_in_flight(50) == 50


def test_a_run_has_no_more_in_hand_than_the_sender_makes_in_some_seconds() -> None:
    """The others stay for other workers, and for a run that comes after."""
    assert [RateLimit(_at_once, rate).max_in_flight(50) for rate in (1, 0.1, 80)] == [IN_FLIGHT_SECONDS, 1, 50]


def _at_once(count: int, per_second: float, lead: float) -> Lease:
    return Lease(begins_at=NOON, asked_at=NOON)


@pytest.fixture
def leases(monkeypatch: pytest.MonkeyPatch) -> "Leases":
    """A sender that is free, of one worker, in a time that stands."""
    leases = Leases()
    monkeypatch.setattr(rate_limit, "monotonic", lambda: leases.now)
    return leases


@dataclass
class Leases:
    """A database that answers at once."""

    now: float = 100.0
    free_at: float = 0.0
    sizes: list[int] = field(default_factory=list)

    def lease(self, count: int, per_second: float, lead: float) -> Lease:
        """As `lease_sms_time` has it."""
        self.sizes.append(count)
        begins = max(self.free_at, self.now)
        self.free_at = begins + count / per_second
        return Lease(begins_at=NOON + timedelta(seconds=begins), asked_at=NOON + timedelta(seconds=self.now))


def test_a_lease_is_of_whole_texts_that_are_in_hand(leases: Leases) -> None:
    """As many as have room in a second; what a text has left over is nobody's, because there is none."""
    rate_limit = RateLimit(leases.lease, 5)
    rate_limit.expect([(UUID(int=n), LONG) for n in range(4)])
    assert [rate_limit.seconds_to_turn(UUID(int=n), LONG) for n in range(4)] == pytest.approx(
        [0, 0.4, 0.8, 1.2], abs=ROUNDING
    )
    assert leases.sizes == [4, 4]


def test_a_turn_that_was_missed_is_over(leases: Leases) -> None:
    """Others have had the sender since. A thread, or a process, that was stopped takes another turn."""
    rate_limit = RateLimit(leases.lease, 80)
    rate_limit.expect([(UUID(int=n), "Hello") for n in range(80)])
    waits = [rate_limit.seconds_to_turn(UUID(int=n), "Hello") for n in range(40)]
    assert waits[-1] == pytest.approx(39 / 80, abs=ROUNDING)
    leases.now += 10
    again = sorted(rate_limit.seconds_to_turn(UUID(int=n), "Hello") or 0 for n in range(80))
    assert again == pytest.approx([n / 80 for n in range(80)], abs=ROUNDING)


def test_a_text_that_asks_while_another_s_turn_is_leased_takes_none_beyond_its_patience(leases: Leases) -> None:
    """The answer gave the sender's time away. A turn in minutes would keep its thread, or be lost."""
    answers: dict[int, float | None] = {}

    def ask(text: int) -> None:
        answers[text] = rate_limit.seconds_to_turn(UUID(int=text), "Hello", patience=3)

    def lease(count: int, per_second: float, lead: float) -> Lease:
        if not other.ident:
            other.start()
        return leases.lease(count, per_second, lead)

    rate_limit = RateLimit(lease, 0.01)
    other = threading.Thread(target=ask, args=[2])
    ask(1)
    other.join()
    assert answers == {1: 0, 2: None}
    assert leases.sizes == [1]


def test_the_turn_of_a_text_that_is_not_sent_is_the_next_one_s(leases: Leases) -> None:
    """It was put off: whoever is as long takes its turn."""
    rate_limit = RateLimit(leases.lease, 5)
    rate_limit.expect([(UUID(int=n), LONG) for n in range(2)])
    rate_limit.seconds_to_turn(UUID(int=0), LONG)
    rate_limit.forget(UUID(int=1))
    rate_limit.expect([(UUID(int=2), LONG)])
    assert rate_limit.seconds_to_turn(UUID(int=2), LONG) == pytest.approx(0.4, abs=ROUNDING)
    assert leases.sizes == [4]


def test_a_clock_of_the_database_that_is_set_moves_no_turn(leases: Leases) -> None:
    """Turns are moments on its clock, which is learned anew from the next answer."""
    rate_limit = RateLimit(leases.lease, 1)
    assert rate_limit.seconds_to_turn(UUID(int=1), "Hello") == 0

    def lease(count: int, per_second: float, lead: float) -> Lease:
        told = leases.lease(count, per_second, lead)
        return Lease(begins_at=told.begins_at + timedelta(hours=1), asked_at=told.asked_at + timedelta(hours=1))

    rate_limit._ask_for = lease
    assert rate_limit.seconds_to_turn(UUID(int=2), "Hello") == pytest.approx(1, abs=ROUNDING)
