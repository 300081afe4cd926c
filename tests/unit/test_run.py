"""A whole run: what it claims, how long it goes on, that one row stops no other, and what the next run is told."""

from collections import Counter
from dataclasses import dataclass, field
from math import inf
from typing import Any
from uuid import UUID

import pytest

from smsretry.errors import QueueCancelled, QueueUnreachable
from smsretry.retry.models import AssignedSender, Claim
from smsretry.retry.outcome import Accepted, NotSent, Refusal, Rejected
from smsretry.sending import flow_control, run
from smsretry.sending.flow_control import ALL_SENDING, FlowControl
from smsretry.sending.ports import Batch
from smsretry.sending.run import (
    ATTENTIVE_SECONDS,
    CLAIM_SIZE,
    LINGER_SECONDS,
    MIN_SUSPECTS,
    POLL_SECONDS,
    run_once,
)
from tests.support.builders import (
    CONCURRENCY,
    SID,
    claim_with,
    fates_of,
    refused,
    run_over,
)
from tests.unit.fakes import FakeProvider, FakeQueue


@dataclass
class Clock:
    """`time.monotonic` of the run. It goes on when the run waits."""

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
    monkeypatch.setattr(flow_control, "SLOW_SECONDS", inf)

    def sleep(control: FlowControl, seconds: float) -> None:
        if control._in_flight:
            control._lock.wait(seconds)
        else:
            clock.wait(seconds)

    monkeypatch.setattr(FlowControl, "_sleep", sleep)
    return clock


def texts(count: int) -> list[Claim]:
    """So many texts."""
    return [claim_with(id=UUID(int=number)) for number in range(1, count + 1)]


@dataclass
class Timetable(FakeQueue):
    """A queue whose texts come due by a clock."""

    clock: Clock = field(default_factory=Clock)
    due_at: list[float] = field(default_factory=list)
    """When each of its texts is due."""
    slow: float = 0.0
    """Seconds that a claim takes."""
    comes_back: bool = False
    """Whether what was claimed stays due, as if it were given back at once."""
    claimed_at: list[float] = field(default_factory=list)
    """When each text was claimed."""

    def claim_texts(self, limit: int, *, suspect: bool = False, **_: Any) -> Batch:
        if suspect:
            return super().claim_texts(limit, suspect=True)
        self.limits.append(limit)
        self.clock.seconds += self.slow
        due = [at for at in self.due_at if at <= self.clock.now()][
            : 1 if self.stops else limit
        ]
        start = len(self.claimed_at)
        if not self.comes_back:
            self.claimed_at += [self.clock.now()] * len(due)
            self.due_at = sorted(self.due_at)[len(due) :]
        next_in = min(
            (max(at - self.clock.now(), 0) for at in self.due_at), default=None
        )
        return Batch(
            [claim_with(id=UUID(int=start + n)) for n in range(len(due))],
            [*self.stops],
            next_in,
        )


def go(
    queue: FakeQueue,
    sender: FakeProvider | None = None,
    *,
    limit: int = 10_000,
    seconds: float = 50,
) -> Counter[str]:
    """A whole run; what its texts came to."""
    items, _ = run_once(
        run_over(queue, sender or FakeProvider()), limit=limit, seconds=seconds
    )
    return Counter(item.fate for item in items)


# What it claims, and how long it goes on


@pytest.mark.parametrize(
    ("limit", "limits"),
    [
        (1, [1]),
        (50, [50]),
        (120, [50, 50, 20]),
        (500, [50, 50, 50, 50]),
        (1001, [50] * 4),
    ],
)
def test_without_time_a_run_takes_what_is_due_and_no_more_than_its_limit(
    clock: Clock, limit: int, limits: list[int]
) -> None:
    """Fifty at a time, as the original did. It waits for nothing, and leaves what is due later on."""
    queue = Timetable(clock=clock, due_at=[*[0.0] * 130, LINGER_SECONDS + 1])
    assert go(queue, limit=limit, seconds=0) == {"Sent": min(limit, 130)}
    assert (queue.limits[: len(limits)], clock.waits) == (limits, [])


def test_a_text_that_comes_due_in_the_run_s_time_is_sent_when_it_is_due(
    clock: Clock,
) -> None:
    """Not a minute later. What comes due after that time is the next run's. A run that lingers looks more often."""
    queue = Timetable(clock=clock, due_at=[0, 5.5, 31, 49, 51])
    assert go(queue) == {"Sent": 4}
    assert queue.claimed_at == [0, 5.5, 31, 49]
    assert clock.now() <= 50
    assert clock.waits[0] <= ATTENTIVE_SECONDS < max(clock.waits) <= POLL_SECONDS


def test_an_idle_run_ends_at_once_and_a_run_whose_time_is_over_claims_no_more(
    clock: Clock,
) -> None:
    """An idle minute costs next to nothing, and the next run has begun by then."""
    queue = Timetable(clock=clock, due_at=[70])
    assert go(queue) == {}
    assert (clock.waits, queue.limits) == ([], [CLAIM_SIZE])
    assert go(Timetable(clock=clock, due_at=[0.0] * 500, slow=20)) == {
        "Sent": 3 * CLAIM_SIZE
    }


def test_a_row_that_only_comes_back_does_not_keep_a_run_busy(clock: Clock) -> None:
    """Somebody has it locked, or flow control gave it back: it is looked for once a second. The run ends in time."""
    queue = Timetable(clock=clock, due_at=[0], comes_back=True)
    go(queue)
    assert (
        len(queue.limits) <= 50 / POLL_SECONDS + LINGER_SECONDS / ATTENTIVE_SECONDS + 2
    )
    assert 49 <= clock.now() <= 51


def test_a_run_ends_when_its_sending_has_stopped_and_begins_again_with_one_text(
    clock: Clock,
) -> None:
    """What it has in flight goes back, and it claims no more. If the one text does not go out, nor do others."""
    queue = Timetable(clock=clock, due_at=[0.0] * 400)
    fates = go(
        queue,
        FakeProvider(Rejected(Refusal("account_refused", "Some provider: refused"))),
    )
    assert {*fates} == {"Held", "GivenBack"}
    assert fates.total() <= CLAIM_SIZE + CONCURRENCY + CLAIM_SIZE, (
        "a run that dies costs a lease of this many"
    )
    for outcome, came_to in (
        (Accepted(SID), {"Sent": 200}),
        (NotSent("Not reached"), {"RetryScheduled": 1}),
    ):
        queue = Timetable(clock=clock, due_at=[0.0] * 200, stops={ALL_SENDING})
        assert go(queue, FakeProvider(outcome)) == came_to
        assert bool(queue.stops) is (came_to != {"Sent": 200})


def test_a_claim_that_cannot_be_made_ends_the_run_and_costs_nothing_that_is_in_hand() -> (
    None
):
    """The next run asks again. One that takes too long is made again row by row."""

    class Breaking(FakeQueue):
        def claim_texts(self, limit: int, **options: Any) -> Batch:
            if self.limits and "later" in self.trouble:
                raise self.trouble["later"]
            if limit > 1 and "many" in self.trouble:
                raise self.trouble["many"]
            return super().claim_texts(limit, **options)

    broken = run_over(
        Breaking(claims=texts(130), trouble={"later": QueueUnreachable("No answer")}),
        FakeProvider(),
    )
    items, summary = run_once(broken, limit=500, seconds=50)
    assert (len(items), summary.counts, summary.needs_attention) == (
        50,
        {"sent": 50},
        False,
    )
    assert summary.why_stopped == "No answer"
    assert go(
        Breaking(claims=texts(3), trouble={"many": QueueCancelled("Too slow")}),
        seconds=0,
    ) == {"Sent": 3}


# One row stops no other


# Rows under suspicion


def test_a_row_under_suspicion_is_claimed_when_everything_else_is_done_and_alone() -> (
    None
):
    """It may be what kills its worker: nothing else is in flight then. None is claimed by a run that was stopped."""
    queue, sender = (
        FakeQueue(
            claims=texts(3), suspects=[claim_with(id=UUID(int=n)) for n in (11, 12)]
        ),
        FakeProvider(),
    )
    items, _ = run_once(run_over(queue, sender))
    assert [item.retry_id.int for item in items] == [1, 2, 3, 11, 12]
    stopped = run_over(FakeQueue(suspects=texts(1)), sender)
    stopped.flow_control.stop("Enough")
    assert fates_of(stopped) == []
    unknown = run_over(
        FakeQueue(claims=texts(1), trouble={"suspects": QueueUnreachable("No answer")}),
        sender,
    )
    items, summary = run_once(unknown)
    assert (len(items), summary.counts, summary.why_stopped) == (
        1,
        {"sent": 1},
        "No answer",
    )


def test_a_suspect_whose_sender_has_stopped_waits_and_lets_the_others_go() -> None:
    """Given back, it would be claimed again and again."""
    sender = AssignedSender(id=UUID(int=100), account="AC", sent_by="MG")
    queue = FakeQueue(
        suspects=[claim_with(id=UUID(int=n), sender=sender) for n in range(3)]
    )
    assert fates_of(run_over(queue, FakeProvider(refused(20003, 401)))) == [
        "Held",
        "Deferred",
        "Deferred",
    ]


@pytest.mark.parametrize(
    ("seconds", "fewest"), [(0, MIN_SUSPECTS), (50, MIN_SUSPECTS + 20)]
)
def test_a_run_takes_suspects_as_long_as_its_time_lasts(
    seconds: float, fewest: int
) -> None:
    """And a few in any case, so that they come to their turns."""
    queue = FakeQueue(suspects=texts(MIN_SUSPECTS + 20))
    assert go(queue, seconds=seconds).total() >= fewest
