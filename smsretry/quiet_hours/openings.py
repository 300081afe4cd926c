"""When a window opens and closes in several zones at once.

No local time is ever built from a date. Instead the clocks are read, from one boundary of the window or change of
clocks to the next. That stays exact where an hour, or a whole day, is skipped or repeated.

Instants are compared in UTC. Two times on the same clock are compared by what it shows, and it shows a repeated hour
twice.
"""

from bisect import bisect_left
from functools import lru_cache
from typing import Final, NamedTuple

import pendulum
from pendulum import UTC, Date, DateTime, FixedTimezone, Timezone

from smsretry import data
from smsretry.quiet_hours.hours import DAY_MINUTES
from smsretry.quiet_hours.rules import Names
from smsretry.quiet_hours.windows import Window

HORIZON_DAYS: Final = 8
"""How far ahead to look for an opening. When there is none, a person must decide."""


def next_change(
    at: DateTime, zones: Names, window: Window
) -> tuple[bool, DateTime | None]:
    """Whether the window is open at `at` in every zone, and the first instant after it at which that changes.

    The instant is None when nothing changes before the horizon.

    Args:
        at: the instant, in UTC.
        zones: the places whose clocks count.
        window: what is permitted on each of them.
    """
    today = at.date()
    was_open = False
    for days in range(HORIZON_DAYS + 1):
        for moment, is_open in _changes(today.add(days=days), zones, window):
            if moment <= at:
                was_open = is_open
            elif is_open is not was_open:
                if moment > at.add(days=HORIZON_DAYS):
                    return was_open, None
                return was_open, moment
    return was_open, None


@lru_cache(maxsize=4096)
def _changes(
    day: Date, zones: Names, window: Window
) -> tuple[tuple[DateTime, bool], ...]:
    """Whether the window is open as a day of UTC begins, and from each instant on that day at which it may change."""
    clocks = [data.clock(zone) for zone in zones]
    moment = pendulum.datetime(day.year, day.month, day.day)
    end = moment.add(days=1)
    readings = [_read(clock, moment, window) for clock in clocks]
    changes = []
    while moment < end:
        changes.append((moment, all(reading.is_open for reading in readings)))
        moment = min(reading.until for reading in readings)
        readings = [
            reading if moment < reading.until else _read(clock, moment, window)
            for reading, clock in zip(readings, clocks, strict=True)
        ]
    return tuple(changes)


class _Reading(NamedTuple):
    """Whether the window is open on one clock, and until when that is certain: until its day ends, at the longest."""

    is_open: bool
    until: DateTime


def _read(clock: Timezone | FixedTimezone, at: DateTime, window: Window) -> _Reading:
    local = at.in_timezone(clock)
    minute = local.hour * 60 + local.minute
    spans = window.spans(local.date())
    is_open = any(opens <= minute < closes for opens, closes in spans)
    later_edges = [edge for span in spans for edge in span if edge > minute]
    boundary = min(later_edges, default=DAY_MINUTES)
    until = local.start_of("minute").add(minutes=boundary - minute)
    if until.offset != local.offset:
        until = _change_of_clocks(at, until, clock)
    return _Reading(is_open, until.in_timezone(UTC))


def _change_of_clocks(
    before: DateTime, after: DateTime, clock: Timezone | FixedTimezone
) -> DateTime:
    """The instant between two others at which a clock's offset changes. A whole second, and the only change there."""
    start = before.start_of("second")
    offset = start.in_timezone(clock).offset

    def has_changed(second: int) -> bool:
        return start.add(seconds=second).in_timezone(clock).offset != offset

    seconds = range(after.int_timestamp - start.int_timestamp)
    return start.add(seconds=bisect_left(seconds, True, key=has_changed))
