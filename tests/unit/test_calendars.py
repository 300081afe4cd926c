"""The holidays that the laws of states list, where the `holidays` package lacks them or reads them otherwise."""

from datetime import date

import pytest

from smsretry.quiet_hours.calendars import holidays_in
from smsretry.quiet_hours.rules import COUNTRY_RULES, STATE_RULES
from tests.proofs.oracles.clocks import closed_dates

CLOSED = [
    ("US-UT", "2026-06-15", "Juneteenth: 19 June 2026 is a Friday, the Monday before it"),
    ("US-UT", "2027-06-21", "19 June 2027 is a Saturday, the Monday after it"),
    ("US-UT", "2028-06-19", "19 June 2028 is a Monday"),
    ("US-UT", "2033-06-20", "19 June 2033 is a Sunday, the Monday after it"),
    ("US-UT", "2026-04-03", "Good Friday"),
    ("US-RI", "2027-05-04", "Rhode Island Independence Day"),
    ("US-RI", "2031-05-05", "the same, after a Sunday"),
    ("US-RI", "2026-11-03", "election day of an even year"),
    ("US-RI", "2027-12-27", "Christmas Day 2027 is a Saturday"),
    ("US-RI", "2028-01-03", "New Year's Day 2028 is a Saturday"),
    ("US-LA", "2026-11-27", "Acadian Day, the Friday after Thanksgiving"),
    ("US-LA", "2027-01-08", "Battle of New Orleans"),
    ("US-LA", "2027-08-30", "Huey P. Long Day"),
    ("US-LA", "2027-10-11", "Columbus Day"),
    ("US-LA", "2027-11-01", "All Saints' Day"),
    ("US-AL", "2027-02-09", "Mardi Gras, in Mobile and Baldwin counties"),
    ("US-AL", "2026-11-27", "the Friday after Thanksgiving, proclaimed in some years"),
    ("US-PA", "2027-11-02", "election day of every year"),
]


@pytest.mark.parametrize(("calendar", "day", "name"), CLOSED, ids=lambda value: value.replace(" ", "-"))
def test_a_day_that_a_states_law_lists_is_closed(calendar: str, day: str, name: str) -> None:
    """Whatever the library says of it."""
    closed = date.fromisoformat(day)
    assert closed in holidays_in(calendar, closed.year), name


def test_rhode_island_has_no_election_day_in_odd_years() -> None:
    """State officers are elected in even ones."""
    assert date(2027, 11, 2) not in holidays_in("US-RI", 2027)


def test_each_calendar_that_binds_was_reviewed_and_agrees_with_the_oracle() -> None:
    """A new calendar comes with a review: see `quiet_hours/README.md`."""
    calendars = {calendar for rule in [*STATE_RULES.values(), *COUNTRY_RULES.values()] for calendar in rule.calendars}
    assert calendars == {"FR", "US-AL", "US-LA", "US-PA", "US-RI", "US-UT"}
    for calendar in calendars - {"FR"}:
        for year in range(2000, 2038):
            expected = {day for day in closed_dates(calendar.removeprefix("US-")) if day.year == year}
            assert holidays_in(calendar, year) == expected, (calendar, year)
