"""Legal holidays on which some states and countries permit no text: the `holidays` package and a reviewed table.

The package knows the days on which a state's offices close. The table adds the days that the law of a state also lists,
or lists otherwise. A day that sources disagree on is closed.
"""

from datetime import date, timedelta
from functools import cache
from typing import Final

from dateutil.easter import easter

from smsretry import data

_MONDAY: Final = 0
_TUESDAY: Final = 1
_THURSDAY: Final = 3
_SATURDAY: Final = 5


@cache
def holidays_in(calendar: str, year: int) -> frozenset[date]:
    """The days of one year in a calendar (`US-LA`, `FR`), observed days included.

    The library is imported here: that takes as long as the rest of the package, and few recipients need it.
    """
    from holidays import country_holidays

    country, _, subdivision = calendar.partition("-")
    # An observed day may lie in the year before or after its holiday: New Year's Day on a Saturday.
    public_holidays = country_holidays(
        country, subdiv=subdivision or None, years=(year - 1, year, year + 1)
    )
    ours = {
        _day(row["day"], year)
        for row in data.table("holiday_overrides")
        if row["calendar"] == calendar
    }
    return frozenset(
        day for day in {*public_holidays, *ours} if day is not None and day.year == year
    )


@cache
def closed_days(calendars: tuple[str, ...], year: int) -> frozenset[date]:
    """The days of one year in any of these calendars."""
    return frozenset().union(*(holidays_in(calendar, year) for calendar in calendars))


def _day(rule: str, year: int) -> date | None:
    """The day of a year that a cell of the table stands for, or None when that year has none.

    `quiet_hours/README.md` lists what may be written.
    """
    match rule.split(" "):
        case ["election-day"]:
            return _weekday(_TUESDAY, date(year, 11, 2))
        case ["election-day-even"]:
            return None if year % 2 else _weekday(_TUESDAY, date(year, 11, 2))
        case ["columbus-day"]:
            return _weekday(_MONDAY, date(year, 10, 8))
        case ["thanksgiving+1"]:
            return _weekday(_THURSDAY, date(year, 11, 22)) + timedelta(days=1)
        case ["juneteenth-monday"]:
            return _juneteenth_in_utah(year)
        case ["monday-after", day]:
            holiday = date.fromisoformat(f"{year}-{day}")
            return (
                _weekday(_MONDAY, holiday) if holiday.weekday() >= _SATURDAY else None
            )
        case [word] if word.startswith("easter-"):
            return easter(year) - timedelta(days=int(word.removeprefix("easter-")))
        case _:
            return date.fromisoformat(f"{year}-{rule}")


def _juneteenth_in_utah(year: int) -> date:
    """The Monday before a 19 June that falls on Tuesday to Friday, or the Monday after a weekend."""
    day = date(year, 6, 19)
    return _weekday(
        _MONDAY,
        day if day.weekday() >= _SATURDAY else day - timedelta(days=day.weekday()),
    )


def _weekday(weekday: int, earliest: date) -> date:
    """The first such day of the week on or after a date."""
    return earliest + timedelta(days=(weekday - earliest.weekday()) % 7)
