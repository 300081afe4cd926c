"""Legal holidays on which some states and countries permit no text: the `holidays` package and a reviewed table.

The package knows the days on which a state's offices close. The table adds the days that the law of a state also lists,
or lists otherwise. A day that sources disagree on is closed.
"""

from datetime import date, timedelta
from functools import cache
from typing import Final

from dateutil.easter import easter
from dateutil.relativedelta import MO, TH, TU, relativedelta, weekday

from smsretry import data

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
    listed_days = {
        _day(row["day"], year)
        for row in data.table("holiday_overrides")
        if row["calendar"] == calendar
    }
    return frozenset(
        day
        for day in {*public_holidays, *listed_days}
        if day is not None and day.year == year
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
            return _first(TU, date(year, 11, 2))
        case ["election-day-even"] if year % 2:
            return None
        case ["election-day-even"]:
            return _first(TU, date(year, 11, 2))
        case ["columbus-day"]:
            return _first(MO, date(year, 10, 8))
        case ["thanksgiving+1"]:
            return _first(TH, date(year, 11, 22)) + timedelta(days=1)
        case ["juneteenth-monday"]:
            return _juneteenth_in_utah(year)
        case ["monday-after", day]:
            holiday = date.fromisoformat(f"{year}-{day}")
            return _first(MO, holiday) if holiday.weekday() >= _SATURDAY else None
        case [word] if word.startswith("easter-"):
            return easter(year) - timedelta(days=int(word.removeprefix("easter-")))
        case _:
            return date.fromisoformat(f"{year}-{rule}")


def _juneteenth_in_utah(year: int) -> date:
    """The Monday before a 19 June that falls on Tuesday to Friday, or the Monday after a weekend."""
    day = date(year, 6, 19)
    if day.weekday() >= _SATURDAY:
        return _first(MO, day)
    return day - timedelta(days=day.weekday())


def _first(day: weekday, earliest: date) -> date:
    """The first such day of the week on or after a date."""
    return earliest + relativedelta(weekday=day)
