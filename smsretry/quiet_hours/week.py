"""A recipient's week as a band of open and closed hours, for the terminal."""

from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from smsretry import data
from smsretry.quiet_hours.check import QuietHoursCheck
from smsretry.quiet_hours.openings import next_change
from smsretry.quiet_hours.windows import Window

OPEN: Final = "█"
PARTLY: Final = "▒"
CLOSED: Final = "·"
_DAYS: Final = 7
_QUARTER: Final = timedelta(minutes=15)
_MARGIN: Final = timedelta(days=2)
"""Looked at before and after as well, so that no hour of the seven local days is missed: the first begins before the
start, and where a zone skips a whole day, the last ends a day later."""
_QUARTERS: Final = (timedelta(days=_DAYS) + 2 * _MARGIN) // _QUARTER
_LABEL: Final = "%a %d %b "
_AXIS: Final = " " * len("Mon 01 Jan ") + "00    06    12    18"


def draw_week(check: QuietHoursCheck, *, start: datetime) -> list[str]:
    """Seven lines of 24 hours on the clock of the first of the zones, and the axis above them.

    An hour is drawn open when the window is open in each of its quarters. No lines when no zone is known.

    Args:
        check: the answer whose zones and rules are drawn.
        start: an instant on the first day to draw, time zone aware.
    """
    zones = [data.place(zone.name) for zone in check.zones]
    if not zones:
        return []
    first = start.astimezone(zones[0]).date()
    days = [first + timedelta(days=day) for day in range(_DAYS)]
    cells: dict[tuple[date, int], list[bool]] = {(day, hour): [] for day in days for hour in range(24)}
    moment = start.astimezone(UTC).replace(minute=0, second=0, microsecond=0) - _MARGIN
    for _ in range(_QUARTERS):
        local = moment.astimezone(zones[0])
        if (local.date(), local.hour) in cells:
            cells[local.date(), local.hour].append(_is_open(moment, zones, check.window))
        moment += _QUARTER
    return [_AXIS, *(f"{day:{_LABEL}}" + "".join(_cell(cells[day, hour]) for hour in range(24)) for day in days)]


def _is_open(moment: datetime, zones: list[ZoneInfo], hours: Window) -> bool:
    return next_change(moment, zones, hours)[0]


def _cell(quarters: list[bool]) -> str:
    """A skipped hour has no quarters and is drawn closed."""
    if not any(quarters):
        return CLOSED
    return OPEN if all(quarters) else PARTLY
