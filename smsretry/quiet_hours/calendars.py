"""Legal holidays on which some states and countries permit no text: the `holidays` package and a reviewed table."""

from datetime import date, timedelta
from functools import cache
from typing import Final

from smsretry import data

_TUESDAY: Final = 1


@cache
def holidays_in(calendar: str, year: int) -> frozenset[date]:
    """The days of one year in a calendar (`US-LA`, `FR`), observed days included.

    The library is imported here: it costs as much as the rest of the package, and few recipients need it.
    """
    from holidays import country_holidays

    country, _, subdivision = calendar.partition("-")
    known = country_holidays(country, subdiv=subdivision or None, years=(year - 1, year, year + 1))
    return frozenset(day for day in known if day.year == year) | {
        _day(row["day"], year) for row in data.table("holiday_overrides") if row["calendar"] == calendar
    }


def _day(rule: str, year: int) -> date:
    """A day of the table: `MM-DD` of every year, `easter-2` or `election-day`."""
    match rule:
        case "easter-2":
            return _easter(year) - timedelta(days=2)
        case "election-day":
            return _first_tuesday_after_a_monday(year)
        case _:
            return date.fromisoformat(f"{year}-{rule}")


def _first_tuesday_after_a_monday(year: int) -> date:
    second = date(year, 11, 2)
    return second + timedelta(days=(_TUESDAY - second.weekday()) % 7)


def _easter(year: int) -> date:
    """Western Easter Sunday, by the anonymous Gregorian computus (Nature, 20 April 1876)."""
    a, b, c = year % 19, year // 100, year % 100
    h = (19 * a + b - b // 4 - (b - (b + 8) // 25 + 1) // 3 + 15) % 30
    weekday = (32 + 2 * (b % 4) + 2 * (c // 4) - h - c % 4) % 7
    m = (a + 11 * h + 22 * weekday) // 451
    month, day = divmod(h + weekday - 7 * m + 114, 31)
    return date(year, month, day + 1)
