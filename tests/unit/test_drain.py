"""How long a run goes on: what it claims, what it waits for, and when it ends. Its clock is the test's."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest

from smsretry.errors import QueueUnreachable
from smsretry.retry.models import Claim, ItemResult, Text
from smsretry.retry.outcome import NotSent, Outcome, Refusal, Rejected
from smsretry.sending import flow_control, run
from smsretry.sending.flow_control import FlowControl
from smsretry.sending.ports import Batch
from smsretry.sending.run import ATTENTIVE_SECONDS, CLAIM_SIZE, LINGER_SECONDS, POLL_SECONDS, run_once
from tests.support.builders import CONCURRENCY, claim_with, run_over
from tests.unit.fakes import FakeQueue, FakeSender


@dataclass
class Clock:
    """`time.monotonic` of the run and of its throttle. It goes on when the run waits."""

    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.seconds

    def wait(self, seconds: float) -> None:
        self.seconds += seconds
        if seconds:
            self.waits.append(seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that only waiting moves."""
    clock = Clock()
    for module in (run, flow_control):
        monkeypatch.setattr(module, "monotonic", clock.now)
    monkeypatch.setattr(FlowControl, "wait", lambda _, seconds: clock.wait(seconds))
    return clock


@dataclass
class Timetable(FakeQueue):
    """A queue whose texts come due by a clock."""

    clock: Clock = field(default_factory=Clock)
    due_at: list[tuple[float, Claim]] = field(default_factory=list)
    claimed_at: list[float] = field(default_factory=list)
    """When each text was claimed."""
    comes_back: bool = False
    """Whether what was claimed stays due, as if it were given back at once."""

    def claim_texts(self, limit: int, **_: Any) -> Batch:
        self.asked.append(limit)
        limit = 1 if self.stops else limit
        due = [entry for entry in self.due_at if entry[0] <= self.clock.now()][:limit]
        if not self.comes_back:
            self.due_at = [entry for entry in self.due_at if entry not in due]
        self.claimed_at += [self.clock.now()] * len(due)
        return Batch([claim for _, claim in due], [*self.stops], self.next_in())

    def next_in(self) -> float | None:
        return min((max(at - self.clock.now(), 0) for at, _ in self.due_at), default=None)


def texts(*due_at: float) -> list[tuple[float, Claim]]:
    """One text due at each of these seconds."""
    return [(at, claim_with(id=UUID(int=number))) for number, at in enumerate(due_at, start=1)]


def go(queue: FakeQueue, sender: FakeSender | None = None, *, limit: int = 10_000, seconds: float = 50) -> list[str]:
    """A whole run; what each text came to."""
    items, _ = run_once(run_over(queue, sender or FakeSender()), limit=limit, seconds=seconds)
    return [item.fate if isinstance(item, ItemResult) else "Error" for item in items]


def test_a_run_claims_until_nothing_is_due(clock: Clock) -> None:
    """Fifty at a time, as the original did."""
    queue = Timetable(clock=clock, due_at=texts(*[0] * 130))
    assert go(queue) == ["Sent"] * 130
    assert set(queue.asked) == {CLAIM_SIZE}
    assert clock.now() <= LINGER_SECONDS + POLL_SECONDS


def test_in_a_drain_nothing_else_is_asked_than_claims(clock: Clock) -> None:
    """Each says what is due and in doubt, and when something else will be."""
    queue = Timetable(clock=clock, due_at=texts(*[0] * 1001))
    assert go(queue, seconds=0) == ["Sent"] * 1001
    assert len(queue.asked) == 22


@pytest.mark.parametrize(("limit", "asked"), [(1, [1]), (50, [50]), (120, [50, 50, 20]), (500, [50, 50, 50, 50])])
def test_a_limit_is_a_cap_on_the_whole_run(clock: Clock, limit: int, asked: list[int]) -> None:
    """Without waiting for anything, when no time is given."""
    queue = Timetable(clock=clock, due_at=texts(*[0] * 130))
    assert len(go(queue, limit=limit, seconds=0)) == min(limit, 130)
    assert (queue.asked, clock.waits) == (asked, [])


def test_a_run_whose_time_is_over_claims_no_more(clock: Clock) -> None:
    """The next one has begun by then."""

    class Slow(Timetable):
        def claim_texts(self, limit: int, **_: Any) -> Batch:
            clock.seconds += 20
            return super().claim_texts(limit, **_)

    queue = Slow(clock=clock, due_at=texts(*[0] * 500))
    assert len(go(queue)) == 3 * CLAIM_SIZE


def test_a_run_that_waits_for_nothing_still_takes_all_that_is_due(clock: Clock) -> None:
    """And leaves what is due later on."""
    queue = Timetable(clock=clock, due_at=texts(*[0] * 130, LINGER_SECONDS + 1))
    assert (len(go(queue, seconds=0)), clock.waits) == (130, [])


def test_a_text_that_comes_due_in_the_run_s_time_is_sent_when_it_is_due(clock: Clock) -> None:
    """Not a minute later; and what comes due after that time is the next run's."""
    queue = Timetable(clock=clock, due_at=texts(0, 5.5, 31, 49, 51))
    assert go(queue) == ["Sent"] * 4
    assert queue.claimed_at == [0, 5.5, 31, 49]
    assert clock.now() <= 50


def test_when_nothing_was_due_and_nothing_will_be_a_run_ends_at_once(clock: Clock) -> None:
    """An idle minute costs next to nothing."""
    queue = Timetable(clock=clock, due_at=texts(70))
    assert go(queue) == []
    assert (clock.waits, queue.asked) == ([], [CLAIM_SIZE])


def test_a_run_that_had_something_to_do_waits_a_moment_for_more(clock: Clock) -> None:
    """Texts that are queued and due at once come one after the other; the first of them was found by chance."""

    class Growing(Timetable):
        grown = False

        def next_in(self) -> float | None:
            if clock.now() > 3 and not self.grown:
                self.grown = True
                self.due_at += [(clock.now(), claim_with(id=UUID(int=99)))]
            return super().next_in()

    queue = Growing(clock=clock, due_at=texts(0))
    assert go(queue) == ["Sent", "Sent"]
    assert max(clock.waits) <= ATTENTIVE_SECONDS


def test_a_row_that_only_comes_back_does_not_keep_a_run_busy(clock: Clock) -> None:
    """Somebody has it locked, or flow control gave it back: it is looked for once a second. The run ends in time."""
    queue = Timetable(clock=clock, due_at=texts(0), comes_back=True)
    go(queue)
    assert len(queue.asked) <= 50 / POLL_SECONDS + LINGER_SECONDS / ATTENTIVE_SECONDS + 2
    assert 49 <= clock.now() <= 51
    queue = Timetable(clock=clock, due_at=texts(0), comes_back=True)
    before = clock.now()
    go(queue, seconds=0)
    assert clock.now() <= before + LINGER_SECONDS


@pytest.mark.parametrize("seconds", [0, 50])
def test_a_run_ends_when_its_flow_control_is_shut(clock: Clock, seconds: float) -> None:
    """What it has in flight goes back; it claims no more."""
    queue = Timetable(clock=clock, due_at=texts(*[0] * 400))
    fates = go(queue, FakeSender(Rejected(Refusal("account", "Some provider: refused"))), seconds=seconds)
    assert len(fates) <= CLAIM_SIZE + CONCURRENCY + CLAIM_SIZE
    assert set(fates) == {"Held", "GivenBack"}


def test_a_run_that_found_sending_stopped_claims_again_only_when_it_works(clock: Clock) -> None:
    """One text tries it; if that does not work either, the others stay where they are."""
    queue = Timetable(clock=clock, due_at=texts(*[0] * 200), stops={("everybody", "")})
    assert go(queue) == ["Sent"] * 200
    assert not queue.stops
    queue = Timetable(clock=clock, due_at=texts(*[0] * 200), stops={("everybody", "")})
    assert go(queue, FakeSender(NotSent("Not reached"))) == ["RetryScheduled"]


def test_a_claim_that_cannot_be_made_ends_the_run_and_costs_nothing_that_is_in_hand(clock: Clock) -> None:
    """The next run asks again."""

    class Breaking(Timetable):
        def claim_texts(self, limit: int, **_: Any) -> Batch:
            if self.asked:
                raise QueueUnreachable("Supabase did not answer claim_sms_texts")
            return super().claim_texts(limit, **_)

    broken = run_over(Breaking(clock=clock, due_at=texts(*[0] * 130)), FakeSender())
    items, summary = run_once(broken, limit=500, seconds=50)
    assert (len(items), summary.sent, summary.needs_somebody) == (50, 50, False)
    assert summary.stopped_because == "Supabase did not answer claim_sms_texts"


def test_what_is_in_hand_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that dies costs a lease of this many, and no more."""
    monkeypatch.setattr(run, "LINGER_SECONDS", 0)
    under_way: list[int] = []
    done: list[int] = []

    class Counting(FakeQueue):
        def claim_texts(self, limit: int, **_: Any) -> Batch:
            batch = super().claim_texts(limit, **_)
            taken.extend(batch.texts)
            under_way.append(len(taken) - len(done))
            return batch

    class Noting(FakeSender):
        def send(self, text: Text) -> Outcome:
            done.append(1)
            return super().send(text)

    taken: list[Claim] = []
    go(Counting(claims=[claim for _, claim in texts(*[0] * 500)]), Noting())
    assert len(done) == 500
    assert max(under_way) <= CONCURRENCY * 2 + CLAIM_SIZE
