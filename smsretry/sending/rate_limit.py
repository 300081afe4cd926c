"""When may each text go, so that a sender keeps its rate? A sender makes a fixed number of segments a second.

All workers of all machines share the sender's time: each leases enough of it for whole texts from the database, and its
threads take these turns. A turn is a moment on the database's clock, which each answer tells. A missed turn is lost:
taken late, it would add to the turns of other workers.
The provider would queue faster texts, for hours, past the closing of any window.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from math import inf
from threading import Lock
from time import monotonic
from typing import Final
from uuid import UUID

from smsretry.retry.answers import Lease
from smsretry.retry.segments import segments, sending_seconds

LEASE_SECONDS: Final = 1.0
"""How far a worker leases ahead, for texts that it has in flight: more than one request a text would take."""
IN_FLIGHT_SECONDS: Final = 5.0
"""The sender's time for which a run has texts in flight: the others stay for other workers."""
LATE_SECONDS: Final = 0.25
"""How late a thread may wake up for its turn. One that was stopped for longer takes another."""
_SURE_SECONDS: Final = 0.1
"""How well the database's clock must be known."""
_TRIES: Final = 3
"""Leases, or looks at the database's clock, before what there is must do."""


class Clock:
    """How far the database's clock is ahead of this process's: between two bounds, as close as one answer was fast.

    Shared by the senders of a run, from any thread.
    """

    def __init__(self) -> None:
        self._least, self._most = -float("inf"), float("inf")
        self._lock = Lock()

    def learn(self, said: float, *, asked: float, answered: float) -> None:
        """The database said this time between two moments of this process."""
        least, most = said - answered, said - asked
        with self._lock:
            if least > self._most or most < self._least:  # one of the two clocks was set, or they drifted apart
                self._least, self._most = least, most
            self._least, self._most = max(least, self._least), min(most, self._most)

    @property
    def is_known(self) -> bool:
        return self._most - self._least <= _SURE_SECONDS

    def here(self, said: float) -> float:
        """When it is this time at the database."""
        return said - (self._least + self._most) / 2


class RateLimit:
    """One per run and sender; shared by the run's threads."""

    def __init__(
        self, lease: Callable[[int, float, float], Lease], per_second: float | None, clock: Clock | None = None
    ) -> None:
        """Prepare.

        Args:
            lease: takes segments of the sender's time, at a rate per second, some seconds ahead at the soonest.
            per_second: segments the sender makes a second; None: nobody has to wait.
            clock: what is known of the database's clock.
        """
        self._ask_for = lease
        self._per_second = per_second
        self._lock = Lock()
        self._leasing = Lock()
        """Held while the database is asked: one thread does, and those that have a turn go on."""
        self._clock = clock or Clock()
        self._coming = dict[UUID, int]()
        """Texts in flight that have no turn yet, and their segments."""
        self._turns = dict[int, deque[float]]()
        """Turns leased for texts in flight, by segments: the next text of that size takes the first."""
        self._taken = dict[UUID, float]()
        self._leased_until = -float("inf")
        self._usual = 0.03
        """Seconds until an answer comes, as a rule."""
        self._last = 0.0
        """The same of the last one."""

    @property
    def is_set(self) -> bool:
        """Whether anybody has to wait."""
        return self._per_second is not None

    def max_in_flight(self, at_most: int) -> int:
        """How many texts a run takes in flight, of at most so many."""
        if self._per_second is None:
            return at_most
        return max(1, min(at_most, int(self._per_second * IN_FLIGHT_SECONDS)))

    def expect(self, texts: Iterable[tuple[UUID, str]]) -> None:
        """These texts, by id and body, were taken in flight: turns may be leased ahead for them."""
        if self._per_second is not None:
            with self._lock:
                self._coming |= {text: segments(body) for text, body in texts}

    def forget(self, text: UUID) -> None:
        """It is in flight no more, sent or not."""
        with self._lock:
            self._coming.pop(text, None)
            self._taken.pop(text, None)

    def keep_to(self, per_second: float | None) -> None:
        """Go no faster than this: one sender may have two rates, as the environment's and as a business's own."""
        if per_second is not None:
            self._per_second = min(per_second, self._per_second or per_second)

    def seconds_to_turn(self, text: UUID, body: str, *, patience: float = inf) -> float | None:
        """Seconds until the text may go, by its turn; 0: now. Ask again after that time.

        None: the sender's time is given away for longer than this, as far as is known here, and the text takes none of
        it. A text that has a turn keeps it: given back, it would be lost.

        Raises:
            QueueError: the database could not be asked.
        """
        if self._per_second is None:
            return 0.0
        with self._lock:
            turn = self._taken.get(text)
        if turn is None or turn < monotonic() - LATE_SECONDS:
            turn = self._take(text, segments(body), self._per_second, patience)
        return None if turn is None else max(turn - monotonic(), 0.0)

    def _take(self, text: UUID, size: int, per_second: float, patience: float) -> float | None:
        turn = monotonic()
        for missed in range(_TRIES):
            with self._lock:
                self._coming.pop(text, None)
                found = self._next(size, per_second)
            if found is None:
                lead = 2 * max(self._usual, self._last if missed else 0)
                if not self._lease_for(size, per_second, patience, lead=lead):
                    return None
                continue
            turn = self._taken[text] = found
            if turn > monotonic() + 2 * self._usual and self._leased_until < monotonic() + LEASE_SECONDS:
                self._lease_ahead(per_second)
            if turn >= _over(per_second):
                break
        return turn

    def _next(self, size: int, per_second: float) -> float | None:
        """The next turn of a text of this size that was leased and is not over."""
        for turns in self._turns.values():
            while turns and turns[0] < _over(per_second):
                turns.popleft()
        turns = self._turns.setdefault(size, deque())
        return turns.popleft() if turns else None

    def _uncovered(self, at_most: float) -> Iterator[int]:
        """Sizes of texts in flight for which nothing is leased yet, in their order, as many as have room."""
        covered = Counter({size: len(turns) for size, turns in self._turns.items()})
        for size in self._coming.values():
            if covered[size]:
                covered[size] -= 1
            elif size <= at_most:
                at_most -= size
                yield size
            else:
                return

    def _lease_for(self, size: int, per_second: float, patience: float, *, lead: float) -> bool:
        """Lease a turn for this text, and for others in flight as there is room. False: it would be late."""
        with self._leasing:
            with self._lock:
                if self._turns.get(size):  # another thread was here meanwhile
                    return True
                if self._leased_until > monotonic() + patience:  # here, because another thread may have leased just now
                    return False
                sizes = [size, *self._uncovered(per_second * LEASE_SECONDS - size)]
            self._lease(sizes, per_second, lead)
            return True

    def _lease_ahead(self, per_second: float) -> None:
        """Lease turns before they are needed, unless another thread does."""
        if not self._leasing.acquire(blocking=False):
            return
        try:
            with self._lock:
                sizes = [*self._uncovered(per_second * LEASE_SECONDS)]
            if sizes:
                self._lease(sizes, per_second, 2 * self._usual)
        finally:
            self._leasing.release()

    def _lease(self, sizes: list[int], per_second: float, lead: float) -> None:
        begins = self._ask(sum(sizes), per_second, lead)
        for _ in range(_TRIES):
            if self._clock.is_known:
                break
            self._ask(0, per_second, lead)
        turn = self._clock.here(begins)
        with self._lock:
            for size in sizes:
                self._turns.setdefault(size, deque()).append(turn)
                turn += sending_seconds(size, per_second)
            self._leased_until = turn

    def _ask(self, count: int, per_second: float, lead: float) -> float:
        """When the leased segments begin, by the database's clock."""
        asked = monotonic()
        lease = self._ask_for(count, per_second, lead)
        answered = monotonic()
        self._clock.learn(lease.asked_at.timestamp(), asked=asked, answered=answered)
        self._last = answered - asked
        self._usual += (min(self._last, 4 * self._usual) - self._usual) / 8
        return lease.begins_at.timestamp()


def _over(per_second: float) -> float:
    """A turn before this moment is missed, by a quarter of a segment's time."""
    return monotonic() - sending_seconds(1, per_second) / 4
