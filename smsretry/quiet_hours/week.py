"""A recipient's week as a band of open and closed hours, for the terminal."""

from collections import defaultdict
from datetime import datetime
from typing import Final

from pendulum import UTC, Date

from smsretry import data
from smsretry.quiet_hours.check import QuietHoursCheck, instant
from smsretry.quiet_hours.openings import next_change

OPEN: Final = "█"
PARTLY: Final = "▒"
CLOSED: Final = "·"
_DAYS: Final = 7
_LABEL: Final = "%a %d %b "
_AXIS: Final = " " * len("Mon 01 Jan ") + "00    06    12    18"


def draw_week(check: QuietHoursCheck, *, start: datetime) -> list[str]:
    """Seven lines of 24 hours on the clock of the first of the zones, and the axis above them.

    An hour is drawn open when the window is open in each of its quarters. No lines when no zone is known.

    Args:
        check: the answer whose zones and rules are drawn.
        start: an instant on the first day to draw, time zone aware.
    """
    if not check.zones:
        return []
    zones = tuple(zone.name for zone in check.zones)
    moment = instant(start).in_timezone(data.place(zones[0])).start_of("day")
    days = [moment.date().add(days=day) for day in range(_DAYS)]
    cells: dict[tuple[Date, int], list[bool]] = defaultdict(list)
    while moment.date() <= days[-1]:
        is_open, _ = next_change(moment.in_timezone(UTC), zones, check.window)
        cells[moment.date(), moment.hour].append(is_open)
        moment = moment.add(minutes=15)
    return [_AXIS, *(f"{day:{_LABEL}}" + "".join(_cell(cells[day, hour]) for hour in range(24)) for day in days)]


def _cell(quarters: list[bool]) -> str:
    """A skipped hour has no quarters and is drawn closed."""
    if not any(quarters):
        return CLOSED
    return OPEN if all(quarters) else PARTLY
