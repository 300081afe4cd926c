"""Whether what was seen is as it should be. Pure: instants and counts in, troubles out."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import quantiles
from typing import Any, Final

SLACK_SECONDS: Final = 2.0
"""By how much the median and the 95th percentile may differ before one schedule is said to delay the other."""
SHADOW: Final = timedelta(seconds=75)
"""How long a kill of the run that sends may delay what comes due: the next minute's run takes over."""
UNFINISHED: Final = timedelta(seconds=5)
"""What came due shortly before a kill may have been in the killed run's hands."""
LOST: Final = "undelivered"
"""Twilio's word for a message that did not arrive. Its text may be sent once more."""


@dataclass(frozen=True)
class Spread:
    """How late things were, in seconds."""

    count: int
    median: float
    p95: float
    p99: float
    worst: float


def spread(seconds: Collection[float]) -> Spread:
    """Of at least two values; of fewer all is 0."""
    if len(seconds) < 2:
        return Spread(len(seconds), 0.0, 0.0, 0.0, 0.0)
    cuts = quantiles(seconds, n=100, method="inclusive")
    return Spread(len(seconds), cuts[49], cuts[94], cuts[98], max(seconds))


def soon_after(due: datetime, kills: Iterable[datetime]) -> bool:
    """Whether something came due so near a kill that the kill may have made it late."""
    return any(kill - UNFINISHED <= due <= kill + SHADOW for kill in kills)


def next_run(moment: datetime, second: int) -> datetime:
    """The first time on a schedule from that moment on. Its runs start at that second of each minute."""
    wait = timedelta(seconds=second - moment.second, microseconds=-moment.microsecond) % timedelta(minutes=1)
    return moment + wait


def delayed(what: str, beside: Spread, alone: Spread) -> list[str]:
    """What is later beside the other schedule than it is alone."""
    return [
        f"{what}: {name} {there:.1f} s beside the other schedule, {here:.1f} s alone"
        for name, there, here in (
            ("median", beside.median, alone.median),
            ("95th percentile", beside.p95, alone.p95),
        )
        if there > here + SLACK_SECONDS
    ]


def miscounted(owed: Iterable[str], messages: Mapping[str, Sequence[str]]) -> list[str]:
    """Texts that did not go out exactly once.

    Args:
        owed: the number of each text; each has a number of its own.
        messages: the status of each message in Twilio's list, by number.
    """
    sent = {number: messages.get(number, ()) for number in owed}
    lost = sum(not statuses for statuses in sent.values())
    doubled = sum(len(statuses) - statuses.count(LOST) > 1 for statuses in sent.values())
    unknown = len(messages.keys() - sent.keys())
    counts = (("never went out", lost), ("went out twice", doubled), ("went out and were nobody's", unknown))
    return [f"{count} texts {what}" for what, count in counts if count]


def silent_after(kills: Iterable[datetime], completed: Collection[datetime], within: timedelta) -> list[str]:
    """Kills after which no run completed in that time."""
    return [
        f"no run completed within {within} of a kill at {kill:%X}"
        for kill in kills
        if not any(kill < done <= kill + within for done in completed)
    ]


@dataclass(frozen=True)
class Runs:
    """The runs of one deployment that were to start in the time that is judged."""

    expected: int
    completed: tuple[datetime, ...]
    killed: int
    """Runs that we killed."""
    crashed: int
    failed: int
    other: int
    """Late, cancelled, or said to be running though they should have ended."""
    start: Spread
    """From the time on the schedule to the run's start."""


def runs_of(rows: Sequence[Mapping[str, Any]], *, expected: int, killed: int) -> Runs:
    """Sum up the runs as Prefect's API tells them."""
    states = [row["state_type"] for row in rows]
    ended = [datetime.fromisoformat(row["end_time"]) for row in rows if row["state_type"] == "COMPLETED"]
    starts = [
        (datetime.fromisoformat(row["start_time"]) - datetime.fromisoformat(row["expected_start_time"])).total_seconds()
        for row in rows
        if row["start_time"]
    ]
    known = [states.count(state) for state in ("COMPLETED", "CRASHED", "FAILED")]
    return Runs(expected, tuple(ended), killed, known[1], known[2], len(rows) - sum(known), spread(starts))


def amiss(runs: Runs) -> list[str]:
    """What no kill explains. One run more or less lies on the edges of the time."""
    ended = len(runs.completed) + runs.crashed + runs.failed
    found = []
    if abs(ended - runs.expected) > 1:
        found.append(f"{ended} runs ended, and the schedule asked for {runs.expected}")
    if runs.crashed > runs.killed:
        found.append(f"{runs.crashed} runs crashed, and {runs.killed} were killed")
    if runs.failed:
        found.append(f"{runs.failed} runs failed")
    if runs.other:
        found.append(f"{runs.other} runs were late, cancelled, or never ended")
    return found
