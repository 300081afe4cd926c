"""Legal holidays on which some states and countries permit no text: the `holidays` package and a reviewed table."""

from datetime import date, timedelta
from functools import cache
from typing import Final

from dateutil.easter import easter

from smsretry import data

_TUESDAY: Final = 1


@cache
def holidays_in(calendar: str, year: int) -> frozenset[date]:
    """The days of one year in a calendar (`US-LA`, `FR`), observed days included.

    The library is imported here: that takes as long as the rest of the package, and few recipients need it.
    """
    from holidays import country_holidays

    country, _, subdivision = calendar.partition("-")
    # An observed day may lie in the year before or after its holiday: New Year's Day on a Saturday.
    known = country_holidays(country, subdiv=subdivision or None, years=(year - 1, year, year + 1))
    return frozenset(day for day in known if day.year == year) | {
        _day(row["day"], year) for row in data.table("holiday_overrides") if row["calendar"] == calendar
    }


def _day(rule: str, year: int) -> date:
    """A day of the table: `MM-DD` of every year, `easter-2` (two days before Easter Sunday) or `election-day`."""
    match rule:
        case "easter-2":
            return easter(year) - timedelta(days=2)
        case "election-day":
            return _first_tuesday_after_a_monday(year)
        case _:
            return date.fromisoformat(f"{year}-{rule}")


def _first_tuesday_after_a_monday(year: int) -> date:
    second = date(year, 11, 2)
    return second + timedelta(days=(_TUESDAY - second.weekday()) % 7)
