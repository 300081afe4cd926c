"""Turns at a sender that makes so many segments a second."""

import math

import pytest

from smsretry import pace as paces
from smsretry.pace import HAND_SECONDS, LEASE_SECONDS, Pace

LONG = "a" * 300
"""Two segments."""


class Sender:
    """Its time, as the database gives it away, and the clock of the worker."""

    def __init__(self) -> None:
        self.now = 0.0
        self.free_at = 0.0
        self.leases: list[int] = []

    def lease(self, segments: int, per_second: float) -> float:
        begins = max(self.free_at, self.now)
        self.free_at = begins + segments / per_second
        self.leases.append(segments)
        return begins - self.now


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch) -> Sender:
    """A sender whose time is free, and a clock that stands."""
    sender = Sender()
    monkeypatch.setattr(paces, "monotonic", lambda: sender.now)
    return sender


def test_without_a_rate_nobody_waits_and_nothing_is_leased(sender: Sender) -> None:
    """The provider queues what comes too fast."""
    pace = Pace(sender.lease, None)
    assert [pace.turn("Hello") for _ in range(100)] == [0] * 100
    assert (sender.leases, pace.in_hand(50)) == ([], 50)


@pytest.mark.parametrize("per_second", [0.25, 1, 3, 80, 333.3])
def test_turns_come_at_the_rate_of_the_sender(sender: Sender, per_second: float) -> None:
    """One after the other, without a gap and without a burst, whoever leases them."""
    lease = math.ceil(per_second * LEASE_SECONDS)
    workers = [Pace(sender.lease, per_second) for _ in range(3)]
    turns = sorted(worker.turn("Hello") for _ in range(3 * lease) for worker in workers)
    assert turns == pytest.approx([n / per_second for n in range(9 * lease)])
    assert set(sender.leases) == {lease}


def test_a_long_text_takes_as_many_turns_as_it_has_segments(sender: Sender) -> None:
    """Also where one turn is more than is leased at once."""
    pace = Pace(sender.lease, 1)
    assert [pace.turn(LONG), pace.turn("Hello"), pace.turn(LONG)] == [0, 2, 3]


def test_turns_that_were_not_taken_in_time_are_over(sender: Sender) -> None:
    """Others have had the sender since; a worker that wakes up does not send what it leased then, all at once."""
    pace = Pace(sender.lease, 80)
    pace.turn("Hello")
    sender.now = 10
    turns = [pace.turn("Hello") for _ in range(80)]
    assert turns == pytest.approx([n / 80 for n in range(80)])


def test_a_run_has_no_more_in_hand_than_the_sender_makes_in_some_seconds(sender: Sender) -> None:
    """The others stay for other workers, and for a run that comes after."""
    assert Pace(sender.lease, 1).in_hand(50) == HAND_SECONDS
    assert Pace(sender.lease, 0.1).in_hand(50) == 1
    assert Pace(sender.lease, 80).in_hand(50) == 50
