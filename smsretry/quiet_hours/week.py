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
_QUARTER: Final = timedelta(minutes=15)
_AXIS: Final = "00    06    12    18    "


def draw_week(check: QuietHoursCheck, *, start: datetime) -> list[str]:
    """Seven lines of 24 hours on the clock of the first of the zones, and the axis above them.

    An hour is drawn open when every quarter of it is, in every zone of the set under every rule.

    Args:
        check: the answer whose zones and rules are drawn.
        start: an instant of the first day drawn, time zone aware.
    """
    zones = [data.place(zone.name) for zone in check.zones]
    if not zones:
        return []
    first = start.astimezone(zones[0]).date()
    days = [first + timedelta(days=day) for day in range(7)]
    cells: dict[tuple[date, int], list[bool]] = {(day, hour): [] for day in days for hour in range(24)}
    moment = start.astimezone(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=2)
    hours = check.window
    for _ in range(11 * 24 * 4):
        local = moment.astimezone(zones[0])
        if (local.date(), local.hour) in cells:
            cells[local.date(), local.hour].append(_is_open(moment, zones, hours))
        moment += _QUARTER
    lines = [f"{day:%a %d %b} " + "".join(_cell(cells[day, hour]) for hour in range(24)) for day in days]
    return [" " * 11 + _AXIS.rstrip(), *lines]


def _is_open(moment: datetime, zones: list[ZoneInfo], hours: Window) -> bool:
    return next_change(moment, zones, hours)[0]


def _cell(quarters: list[bool]) -> str:
    """A skipped hour has no quarters and is drawn closed."""
    if not any(quarters):
        return CLOSED
    return OPEN if all(quarters) else PARTLY
