"""What each stack came to, in two tables, and what is wrong with it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from smsretry.sending.scheduled import AHEAD
from tests.benchmarks.table import show
from tests.proofs.side_by_side import judge, texts
from tests.proofs.side_by_side.judge import Runs, Spread, spread
from tests.proofs.side_by_side.stands import EVERY, RETRIES, SENDS, Stand, patience

QUEUED, SCHEDULED, NEAR_KILLS, HANDED_ON, HANDED_ON_LATER = (
    "queued texts",
    "scheduled sends",
    "due soon after a kill or the beginning",
    "scheduled sends queued, after their run's time",
    "where that run was killed",
)
_RUN: Final = timedelta(seconds=30)
"""A killed run that queues scheduled sends was killed in this time."""


@dataclass(frozen=True)
class Seen:
    """One stack's numbers."""

    late: dict[str, Spread]
    runs: dict[str, Runs]
    troubles: list[str]


def seen(stand: Stand, began: datetime, ended: datetime) -> Seen:
    """Ask the database, Twilio's stand-in and Prefect.

    Args:
        began: when the time that is judged began, by this machine's clock.
        ended: when it ended.
    """
    minutes = (ended - began).total_seconds() / 60
    runs = {name: _runs(stand, name, began, ended, minutes) for name in stand.schedules}
    troubles = sorted(stand.troubles)
    for name, found in runs.items():
        troubles += [f"{name}: {trouble}" for trouble in judge.amiss(found)]
        troubles += [
            f"{name}: {trouble}" for trouble in judge.silent_after(stand.kills[name], found.completed, patience(name))
        ]
    late: dict[str, Spread] = {}
    if RETRIES in stand.schedules:
        listed = texts.messages(stand.up)
        owed = [number for due in stand.due.values() for number in due]
        troubles += judge.miscounted(owed, {number: [m.status for m in found] for number, found in listed.items()})
        late |= _lateness(stand, texts.accepted(stand.up, listed), began)
    if SENDS in stand.schedules:
        became = texts.queued(stand.up)
        if missing := len(stand.due["scheduled"].keys() - became.keys()):
            troubles.append(f"{missing} scheduled sends became no text")
        late |= _handing_on(stand, became)
    return Seen(late, runs, [f"{stand.name}: {trouble}" for trouble in troubles])


def _lateness(stand: Stand, accepted: dict[str, datetime], began: datetime) -> dict[str, Spread]:
    # At the beginning, too, a text waits for the next run: the one before found nothing to wait for, and ended.
    kills = [kill + stand.ahead for kill in (began, *stand.kills[RETRIES])]
    calm: dict[str, list[float]] = {QUEUED: [], SCHEDULED: []}
    shaken: list[float] = []
    for name, due in zip(calm, stand.due.values(), strict=True):
        for number in due.keys() & accepted.keys():
            into = shaken if judge.soon_after(due[number], kills) else calm[name]
            into.append((accepted[number] - due[number]).total_seconds())
    return {name: spread(seconds) for name, seconds in {**calm, NEAR_KILLS: shaken}.items() if seconds}


def _handing_on(stand: Stand, became: dict[str, datetime]) -> dict[str, Spread]:
    """From the first time on the schedule at which a scheduled send was near enough, until it was a text."""
    found: dict[str, list[float]] = {HANDED_ON: [], HANDED_ON_LATER: []}
    for number, due in stand.due["scheduled"].items():
        if number in became:
            run = judge.next_run(due - AHEAD - stand.ahead, stand.second)
            killed = any(run - judge.UNFINISHED < kill < run + _RUN for kill in stand.kills[SENDS])
            late = (became[number] - stand.ahead - run).total_seconds()
            found[HANDED_ON_LATER if killed else HANDED_ON].append(late)
    return {name: spread(seconds) for name, seconds in found.items() if seconds}


def _runs(stand: Stand, name: str, began: datetime, ended: datetime, minutes: float) -> Runs:
    rows = [
        row for row in stand.watch.runs_of(name, began) if datetime.fromisoformat(row["expected_start_time"]) < ended
    ]
    expected = round(minutes / (EVERY[name].total_seconds() / 60))
    return judge.runs_of(rows, expected=expected, killed=len(stand.kills[name]))


def delays(beside: Seen, alone: Iterable[Seen]) -> list[str]:
    """Whatever is later in the stack with all schedules than where its own is alone."""
    found = []
    for other in alone:
        for name, like in ((QUEUED, QUEUED), (SCHEDULED, QUEUED), (HANDED_ON, HANDED_ON)):
            if like in other.late and name in beside.late:
                found += judge.delayed(name, beside.late[name], other.late[like])
        for name, runs in other.runs.items():
            found += judge.delayed(f"start of {name}", beside.runs[name].start, runs.start)
    return found


def tell(stands: list[tuple[str, Seen]]) -> None:
    """Print the tables."""
    rows = [
        [f"{name}, {stand}", s.count, s.median, s.p95, s.p99, s.worst]
        for name in (QUEUED, SCHEDULED, NEAR_KILLS, HANDED_ON, HANDED_ON_LATER)
        for stand, found in stands
        if (s := found.late.get(name))
    ]
    show("Seconds late", ["", "texts", "median", "p95", "p99", "worst"], rows)
    show(
        "Runs, and the seconds from the time on the schedule to their start",
        ["", "asked for", "completed", "killed", "crashed", "failed", "other", "median", "p95", "worst"],
        [
            [f"{name}, {stand}", *_counts(runs), runs.start.median, runs.start.p95, runs.start.worst]
            for name in EVERY
            for stand, found in stands
            if (runs := found.runs.get(name))
        ],
    )


def _counts(runs: Runs) -> tuple[int, ...]:
    return runs.expected, len(runs.completed), runs.killed, runs.crashed, runs.failed, runs.other
