"""How long a run goes on: what it claims, what it waits for, and when it ends. Its clock is the test's."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from smsretry.errors import QueueUnreachable
from smsretry.retry.models import Claim, ItemResult, Text
from smsretry.retry.outcome import Accepted, Outcome, Refusal, Rejected
from smsretry.sending import claiming, throttle
from smsretry.sending.claiming import ATTENTIVE_SECONDS, LINGER_SECONDS, POLL_SECONDS
from smsretry.sending.flow_control import FlowControl
from smsretry.sending.run import CLAIM_SIZE, run_once
from smsretry.sending.run_control import RunControl
from tests.support.builders import CONCURRENCY, SID, claim_with, run_over
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
    for module in (claiming, throttle):
        monkeypatch.setattr(module, "monotonic", clock.now)
    for waiting in (FlowControl, RunControl):
        monkeypatch.setattr(waiting, "wait", lambda _, seconds: clock.wait(seconds))
    return clock


@dataclass
class Timetable(FakeQueue):
    """A queue whose texts come due by a clock."""

    clock: Clock = field(default_factory=Clock)
    due_at: list[tuple[float, Claim]] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    """How many each claim asked for."""
    claimed_at: list[float] = field(default_factory=list)
    """When each text was claimed."""
    comes_back: bool = False
    """Whether what was claimed stays due, as if it were given back at once."""

    def claim_due(self, limit: int, **_: Any) -> list[Claim]:
        self.asked.append(limit)
        due = [entry for entry in self.due_at if entry[0] <= self.clock.now()][:limit]
        if not self.comes_back:
            self.due_at = [entry for entry in self.due_at if entry not in due]
        self.claimed_at += [self.clock.now()] * len(due)
        return [claim for _, claim in due]

    def next_due(self, **senders: object) -> float | None:
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
    """A full claim says that there is more, and what is in doubt is looked for once a second."""

    class Counting(Timetable):
        looks = 0
        questions = 0

        def claim_doubtful(self, limit: int) -> list[Claim]:
            self.looks += 1
            return super().claim_doubtful(limit)

        def next_due(self, **senders: object) -> float | None:
            self.questions += 1
            return super().next_due(**senders)

    queue = Counting(clock=clock, due_at=texts(*[0] * 1001))
    assert go(queue, seconds=0) == ["Sent"] * 1001
    assert (len(queue.asked), queue.looks, queue.questions) == (21, 1, 1)


@pytest.mark.parametrize(("limit", "asked"), [(1, [1]), (50, [50]), (120, [50, 50, 20]), (500, [50, 50, 50])])
def test_a_limit_is_a_cap_on_the_whole_run(clock: Clock, limit: int, asked: list[int]) -> None:
    """Without waiting for anything, when no time is given."""
    queue = Timetable(clock=clock, due_at=texts(*[0] * 130))
    assert len(go(queue, limit=limit, seconds=0)) == min(limit, 130)
    assert (queue.asked, clock.waits) == (asked, [])


def test_a_run_whose_time_is_over_claims_no_more(clock: Clock) -> None:
    """The next one has begun by then."""

    class Slow(Timetable):
        def claim_due(self, limit: int, **_: Any) -> list[Claim]:
            clock.seconds += 20
            return super().claim_due(limit, **_)

    queue = Slow(clock=clock, due_at=texts(*[0] * 500))
    assert len(go(queue)) == 3 * CLAIM_SIZE


def test_a_run_that_waits_for_nothing_still_takes_all_that_is_due(clock: Clock) -> None:
    """And leaves what is due a second later."""
    queue = Timetable(clock=clock, due_at=texts(*[0] * 130, 1))
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

        def next_due(self, **senders: object) -> float | None:
            if clock.now() > 3 and not self.grown:
                self.grown = True
                self.due_at += [(clock.now(), claim_with(id=UUID(int=99)))]
            return super().next_due(**senders)

    queue = Growing(clock=clock, due_at=texts(0))
    assert go(queue) == ["Sent", "Sent"]
    assert max(clock.waits) <= ATTENTIVE_SECONDS


def test_a_row_that_only_comes_back_does_not_keep_a_run_busy(clock: Clock) -> None:
    """Somebody has it locked, or flow control gave it back: it is looked for once a second. The run ends in time."""
    queue = Timetable(clock=clock, due_at=texts(0), comes_back=True)
    go(queue)
    assert len(queue.asked) <= 50 / POLL_SECONDS + 2
    assert 49 <= clock.now() <= 51
    queue = Timetable(clock=clock, due_at=texts(0), comes_back=True)
    go(queue, seconds=0)
    assert len(queue.asked) == 2


@pytest.mark.parametrize("seconds", [0, 50])
def test_a_run_ends_when_its_flow_control_is_shut(clock: Clock, seconds: float) -> None:
    """What it has in flight goes back; it claims no more."""
    queue = Timetable(clock=clock, due_at=texts(*[0] * 400))
    fates = go(queue, FakeSender(Rejected(Refusal("account", "Some provider: refused"))), seconds=seconds)
    assert len(fates) <= CLAIM_SIZE + CONCURRENCY + CLAIM_SIZE
    assert set(fates) == {"Held", "GivenBack"}


def test_a_run_that_found_the_circuit_open_claims_again_only_when_sending_works(clock: Clock) -> None:
    """Otherwise it would take and give back everything that is due."""
    sick = [(0.0, claim_with(id=UUID(int=n), circuit_open=True)) for n in range(1, 200)]
    queue = Timetable(clock=clock, due_at=list(sick))
    assert set(go(queue)) == {"Sent"}
    assert len(queue.asked) > 2
    unproven = Rejected(Refusal("account", "Some provider: this destination", certain=False))
    queue = Timetable(clock=clock, due_at=list(sick))
    go(queue, FakeSender(unproven))
    assert len(queue.asked) == 2, "the second claim brought nobody else"


def test_a_claim_that_cannot_be_made_ends_the_run_and_costs_nothing_that_is_in_hand(clock: Clock) -> None:
    """The next run asks again."""

    class Breaking(Timetable):
        def claim_due(self, limit: int, **_: Any) -> list[Claim]:
            if self.asked:
                raise QueueUnreachable("Supabase did not answer claim_sms_texts")
            return super().claim_due(limit, **_)

    run = run_over(Breaking(clock=clock, due_at=texts(*[0] * 130)), FakeSender())
    items, summary = run_once(run, limit=500, seconds=50)
    assert (len(items), summary.sent, summary.needs_somebody) == (50, 50, False)
    assert summary.stopped_because == "Supabase did not answer claim_sms_texts"


def test_what_is_in_hand_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that dies costs a lease of this many, and no more."""
    monkeypatch.setattr(claiming, "LINGER_SECONDS", 0)
    under_way: list[int] = []
    done: list[int] = []

    class Counting(FakeQueue):
        def claim_due(self, limit: int, **_: Any) -> list[Claim]:
            claims = super().claim_due(limit, **_)
            under_way.append(sum(map(len, (taken, claims))) - len(done))
            taken.extend(claims)
            return claims

    class Noting(FakeSender):
        def send(self, text: Text) -> Outcome:
            done.append(1)
            return super().send(text)

    taken: list[Claim] = []
    go(Counting(claims=[claim for _, claim in texts(*[0] * 500)]), Noting())
    assert len(done) == 500
    assert max(under_way) <= CONCURRENCY * 2 + CLAIM_SIZE


# A provider that asks to go slower

SLOWER = Rejected(Refusal("rate_limit", "Some provider: too many at once"))


def test_a_run_that_has_time_obeys_a_provider_that_asks_to_go_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others wait as long as it says, and then go out; the flow control stays open."""
    monkeypatch.setattr(claiming, "LINGER_SECONDS", 0)
    slower = Rejected(SLOWER.refusal, retry_after=timedelta(seconds=1))

    class Once(FakeSender):
        def send(self, text: Text) -> Outcome:
            super().send(text)
            return slower if len(self.texts) == 1 else Accepted(SID)

    queue = FakeQueue(claims=[claim for _, claim in texts(*[0] * 40)])
    fates = go(queue, Once(), seconds=30)
    assert (fates.count("Sent"), fates.count("RetryScheduled")) == (39, 1)


def test_a_probe_that_is_asked_to_go_slower_is_followed_by_the_next_one(clock: Clock) -> None:
    """It had proved nothing, and yet the others had waited a minute for what came of it."""
    control = FlowControl()
    control.run.may_wait_until = 100
    control.start_half_open()
    assert control.admit(claim_with()) is None
    control.observe(claim_with(), SLOWER)
    clock.seconds = 2
    assert control.admit(claim_with()) is None
    control.observe(claim_with(), Accepted(SID))
    assert (control.sending_works, control.stopped_because) == (True, None)


@pytest.mark.parametrize(("seconds", "retry_after"), [(0, None), (30, timedelta(seconds=60))])
def test_a_run_that_has_no_time_for_that_stops(clock: Clock, seconds: float, retry_after: timedelta | None) -> None:
    """Its claims go back untouched, and are the next run's."""
    queue = FakeQueue(claims=[claim for _, claim in texts(*[0] * 40)])
    fates = go(queue, FakeSender(Rejected(SLOWER.refusal, retry_after)), seconds=seconds)
    assert set(fates) == {"RetryScheduled", "GivenBack"}
    assert fates.count("RetryScheduled") <= CONCURRENCY


def test_fewer_are_sent_at_once_after_that_and_more_again_as_they_are_taken(clock: Clock) -> None:
    """Half as many as were under way, however many of a burst were refused; one more for each round taken."""
    control = FlowControl()
    control.run.may_wait_until = 100
    control.observe(claim_with(), Accepted(SID))
    burst = [claim_with(id=uuid4()) for _ in range(8)]
    for claim in burst:
        control.admit(claim)
    for claim in burst:
        control.observe(claim, SLOWER)
    clock.seconds = 2
    assert _let_in_at_once(control) == 4
    for _ in range(4):
        control.observe(claim_with(), Accepted(SID))
    assert _let_in_at_once(control) == 5


def test_a_wait_that_is_over_between_two_looks_at_the_clock_is_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A send that was alone had waited for somebody to wake it."""
    ticks = iter([0.0, 0.0, 0.9, 1.1])
    control = FlowControl()
    control.run.may_wait_until = 100
    monkeypatch.setattr(throttle, "monotonic", lambda: next(ticks, 5.0))
    control.observe(claim_with(), SLOWER)
    with ThreadPoolExecutor(1) as asking:
        answer = asking.submit(control.admit, claim_with())
        try:
            assert answer.result(10) is None
        finally:
            control.stop("Enough")


def _let_in_at_once(control: FlowControl) -> int:
    """How many the flow control lets in before one of them is done."""
    let_in = list[Claim]()
    while not control._throttle.is_full(control.breaker.under_way):
        let_in.append(claim_with(id=uuid4()))
        assert control.admit(let_in[-1]) is None
    for claim in let_in:
        control.withdraw(claim)
    return len(let_in)
