"""The states' hours, several zones at once and holidays, against the clocks on the wall, minute by minute."""

from datetime import UTC, datetime, timedelta

import pendulum
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smsretry import data
from smsretry.quiet_hours.check import check_quiet_hours
from smsretry.quiet_hours.hours import parse_week
from smsretry.quiet_hours.openings import HORIZON_DAYS, next_change
from smsretry.quiet_hours.windows import Window, window_of
from tests.proofs.oracles.clocks import AREA_CODES, DAY, MINUTE, STATES, open_in_all, questions, transitions
from tests.support.some_daily import some_daily

ZONES = [
    "Africa/Cairo",
    "America/Adak",
    "America/Havana",
    "America/Los_Angeles",
    "America/New_York",
    "America/Scoresbysund",
    "Antarctica/Troll",
    "Australia/Lord_Howe",
    "Pacific/Easter",
]
APIA = datetime(2011, 12, 30, 10, tzinfo=UTC)
"""30 December 2011 did not take place in Apia."""


def disagreements(zone: str, state: str, moment: datetime) -> list[str]:
    """Ask about two days before to two days after, every hour and around every change, and compare."""
    start = moment - timedelta(days=2)
    minutes = open_in_all([zone], [state], start, 10 * DAY)
    found = []
    for minute, is_open, change in questions(minutes, 4 * DAY, 60):
        at, expected = start + minute * MINUTE, start + change * MINUTE
        check = check_quiet_hours(zone, at=at, phone=f"+1{AREA_CODES[state]}5550123")
        if (check.can_send, check.closes_at if is_open else check.next_send_at) != (is_open, expected):
            found.append(f"{zone} {state} at {at}: {check}, but {is_open} until {expected}")
    return found


@pytest.mark.parametrize("state", some_daily(STATES, each=3))
def test_every_states_hours_agree_with_the_clocks_on_the_wall(state: str) -> None:
    """Around the changes of clocks of one year in the zones where they are hardest, and around New Year."""
    places = [(zone, moment) for zone in ZONES for moment in transitions(zone, [2027])]
    places += [("Pacific/Apia", APIA), ("America/New_York", datetime(2027, 1, 1, tzinfo=UTC))]
    assert [line for zone, moment in places for line in disagreements(zone, state, moment)] == []


@settings(max_examples=60)
@given(
    zones=st.lists(st.sampled_from(sorted(data.place_names())), min_size=1, max_size=4, unique=True),
    states=st.lists(st.sampled_from(sorted(set(STATES) - {"federal"})), max_size=3, unique=True),
    day=st.dates(datetime(2000, 1, 1).date(), datetime(2037, 12, 1).date()),  # noqa: DTZ001 - only the date is used
)
def test_several_zones_and_states_at_once_agree_with_all_their_clocks(
    zones: list[str], states: list[str], day: object
) -> None:
    """Open when every state permits it on every clock; nothing within the horizon when they never all do."""
    start = datetime.fromisoformat(f"{day}T00:00+00:00")
    minutes = open_in_all(zones, ["federal", *states], start, 10 * DAY)
    hours = window_of("US", tuple(states))
    for minute in range(0, DAY, 20):
        is_open = minutes[minute] == 1
        change = minutes.find(b"\0" if is_open else b"\1", minute)
        expected = start + change * MINUTE if 0 <= change <= minute + HORIZON_DAYS * DAY else None
        assert next_change(pendulum.instance(start).add(minutes=minute), tuple(zones), hours) == (is_open, expected)


def test_a_window_inside_a_repeated_hour_opens_twice() -> None:
    """01:30 comes twice in New York on 1 November 2026, at 05:30 and 06:30 UTC."""
    hours = Window((), parse_week("01:30-01:45"), "01:30–01:45")
    moment, changes = pendulum.datetime(2026, 11, 1, 5), []
    for _ in range(4):
        _, change = next_change(moment, ("America/New_York",), hours)
        assert change is not None
        changes.append(f"{change:%H:%M}")
        moment = change
    assert changes == ["05:30", "05:45", "06:30", "06:45"]
