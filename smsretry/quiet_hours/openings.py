"""When a window opens and closes in several zones at once.

No local time is ever built from a date. Instead the clocks are read, from one boundary of the window or change of
clocks to the next. That stays exact where an hour, or a whole day, is skipped or repeated.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from smsretry.quiet_hours.hours import DAY_MINUTES
from smsretry.quiet_hours.windows import Window

HORIZON: Final = timedelta(days=8)
"""How far ahead to look for an opening. When there is none, a person must decide."""
_DAY: Final = timedelta(days=1)
_SECOND: Final = timedelta(seconds=1)


def next_change(at: datetime, zones: Sequence[ZoneInfo], hours: Window) -> tuple[bool, datetime | None]:
    """Whether the window is open at `at` in every zone, and the first instant after it at which that changes.

    While closed, nothing opens before the last closed zone does; jump there and look again. The instant is None when
    nothing changes before the horizon.

    Args:
        at: the instant, a plain datetime in UTC.
        zones: the clocks that count.
        hours: what is permitted on each of them.
    """
    looks = [_look(at, zone, hours) for zone in zones]
    closed = [until for is_open, until in looks if not is_open]
    was_open, end = not closed, at + HORIZON
    while was_open is not bool(closed):
        moment = max(closed) if closed else min([until for _, until in looks])
        if moment > end:
            return was_open, None
        looks = [
            look if moment < look[1] else _look(moment, zone, hours) for look, zone in zip(looks, zones, strict=True)
        ]
        closed = [until for is_open, until in looks if not is_open]
    return was_open, moment


def _look(at: datetime, zone: ZoneInfo, hours: Window) -> tuple[bool, datetime]:
    """Open or closed on one zone's clock, and until when that is certain."""
    local = at.astimezone(zone)
    today = local.date()
    minute = local.hour * 60 + local.minute
    is_open, boundary = _span(hours, today, minute)
    until = at + timedelta(minutes=boundary - minute, seconds=-local.second, microseconds=-local.microsecond)
    then = until.astimezone(zone)
    days, boundary = divmod(boundary, DAY_MINUTES)
    if then.hour * 60 + then.minute == boundary and then.toordinal() == today.toordinal() + days:
        return is_open, until
    return is_open, _change_of_clocks(at, until, zone)


def _span(hours: Window, today: date, minute: int) -> tuple[bool, int]:
    """Whether a minute of the day lies in a span, and the minute at which that changes. Tomorrow begins at 1440."""
    for start, end in hours.spans(today):
        if minute < start:
            return False, start
        if minute < end:
            return True, end
    tomorrow = hours.spans(today + _DAY)
    return False, DAY_MINUTES + (tomorrow[0][0] if tomorrow else 0)


def _change_of_clocks(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The instant between two others at which a zone's offset changes. A whole second, and the only change there."""
    offset, start = before.astimezone(zone).utcoffset(), before.replace(microsecond=0)
    low, high = 0, -((start - after) // _SECOND)
    while high - low > 1:
        middle = (low + high) // 2
        if (start + middle * _SECOND).astimezone(zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return start + high * _SECOND
