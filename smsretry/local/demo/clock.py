"""The stack's own clock: by it a text is due, or its recipient asleep. Prefect keeps this machine's time."""

from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from smsretry.local.demo.people import BUSINESS_ZONE
from smsretry.local.stack import Stack
from smsretry.quiet_hours.calendars import closed_days
from smsretry.quiet_hours.rules import COUNTRY_RULES, STATE_RULES

_OPENS, _CLOSES = 9, 17
_FRIDAY: Final = 4
_RULES: Final = (*STATE_RULES.values(), *COUNTRY_RULES.values())
_CALENDARS: Final = tuple({calendar for rule in _RULES for calendar in rule.calendars})


def move_to_morning(stack: Stack, *, before: timedelta = timedelta(0)) -> None:
    """Move the clock on to 9:30 on a working day in New York, less `before`. It never goes back."""
    local = _in_new_york(stack)
    morning = local.replace(hour=9, minute=30, second=0, microsecond=0) - before
    while morning < local or not _is_working_day(morning.date()):
        morning += timedelta(days=1)
    stack.set_clock(morning)


def is_open(stack: Stack) -> bool:
    """Whether it is a working day between 9 and 17 in New York."""
    local = _in_new_york(stack)
    return _is_working_day(local.date()) and _OPENS <= local.hour < _CLOSES


def describe_clock(stack: Stack) -> str:
    """What it shows, and by how much it is ahead of this machine's."""
    minutes = round(stack.ahead / timedelta(minutes=1))
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    ahead = " ".join(
        f"{count} {unit}"
        for count, unit in ((days, "d"), (hours, "h"), (minutes, "min"))
        if count
    )
    clock_text = (
        f"{stack.now():%a %d %b %Y %H:%M} UTC, {_in_new_york(stack):%H:%M} in New York"
    )
    return (
        f"{clock_text}; {ahead} ahead of this machine's"
        if ahead
        else f"{clock_text}; the same as this machine's"
    )


def _is_working_day(day: date) -> bool:
    """Whether it is a weekday and nowhere a holiday: the demo shows the same on whatever day it is started."""
    return day.weekday() <= _FRIDAY and day not in closed_days(_CALENDARS, day.year)


def _in_new_york(stack: Stack) -> datetime:
    return stack.now().astimezone(ZoneInfo(BUSINESS_ZONE))
