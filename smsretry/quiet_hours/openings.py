"""When a window opens and closes in several zones at once.

No local time is ever built from a date. Instead the clocks are read, from one boundary of the window or change of
clocks to the next. That stays exact where an hour, or a whole day, is skipped or repeated.

Instants are compared in UTC. Two times on the same clock are compared by what it shows, and it shows a repeated hour
twice.
"""

from bisect import bisect_left
from functools import lru_cache
from typing import Final

import pendulum
from pendulum import UTC, Date, DateTime, FixedTimezone, Timezone

from smsretry import data
from smsretry.quiet_hours.hours import DAY_MINUTES
from smsretry.quiet_hours.windows import Window

HORIZON_DAYS: Final = 8
"""How far ahead to look for an opening. When there is none, a person must decide."""


def next_change(
    at: DateTime, zones: tuple[str, ...], hours: Window
) -> tuple[bool, DateTime | None]:
    """Whether the window is open at `at` in every zone, and the first instant after it at which that changes.

    The instant is None when nothing changes before the horizon.

    Args:
        at: the instant, in UTC.
        zones: the places whose clocks count.
        hours: what is permitted on each of them.
    """
    today, was_open = at.date(), False
    for days in range(HORIZON_DAYS + 1):
        for moment, is_open in _changes(today.add(days=days), zones, hours):
            if moment <= at:
                was_open = is_open
            elif is_open is not was_open:
                return was_open, moment if moment <= at.add(days=HORIZON_DAYS) else None
    return was_open, None


@lru_cache(maxsize=4096)
def _changes(
    day: Date, zones: tuple[str, ...], hours: Window
) -> tuple[tuple[DateTime, bool], ...]:
    """Whether the window is open as a day of UTC begins, and from each instant on that day at which it may change."""
    clocks = [data.clock(zone) for zone in zones]
    moment = pendulum.datetime(day.year, day.month, day.day)
    end = moment.add(days=1)
    looks = [_look(moment, clock, hours) for clock in clocks]
    changes = []
    while moment < end:
        changes.append((moment, all(is_open for is_open, _ in looks)))
        moment = min(until for _, until in looks)
        looks = [
            look if moment < look[1] else _look(moment, clock, hours)
            for look, clock in zip(looks, clocks, strict=True)
        ]
    return tuple(changes)


def _look(
    at: DateTime, clock: Timezone | FixedTimezone, hours: Window
) -> tuple[bool, DateTime]:
    """Open or closed on one clock, and until when that is certain: until its day ends, at the longest."""
    local = at.in_timezone(clock)
    minute = local.hour * 60 + local.minute
    spans = hours.spans(local.date())
    is_open = any(opens <= minute < closes for opens, closes in spans)
    edges = [edge for span in spans for edge in span]
    boundary = min(filter(minute.__lt__, edges), default=DAY_MINUTES)
    until = local.start_of("minute").add(minutes=boundary - minute)
    if until.offset != local.offset:
        return is_open, _change_of_clocks(at, until, clock)
    return is_open, until.in_timezone(UTC)


def _change_of_clocks(
    before: DateTime, after: DateTime, clock: Timezone | FixedTimezone
) -> DateTime:
    """The instant between two others at which a clock's offset changes. A whole second, and the only change there."""
    start = before.start_of("second")
    offset = start.in_timezone(clock).offset

    def has_changed(second: int) -> bool:
        return start.add(seconds=second).in_timezone(clock).offset != offset

    return start.add(
        seconds=bisect_left(
            range(after.int_timestamp - start.int_timestamp), True, key=has_changed
        )
    )
