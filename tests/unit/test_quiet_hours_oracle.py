"""Hours, zones, states and holidays against the clocks on the wall, minute by minute. No local time is ever built."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import cycle

import pendulum
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smsretry import data
from smsretry.quiet_hours.check import check_quiet_hours
from smsretry.quiet_hours.hours import parse_week
from smsretry.quiet_hours.numbers import US_ZONES
from smsretry.quiet_hours.openings import HORIZON_DAYS, next_change
from smsretry.quiet_hours.windows import Window, window_of
from tests.proofs.oracles.clocks import (
    AREA_CODES,
    DAY,
    MINUTE,
    STATES,
    ZONE_STATES,
    open_in_all,
    questions,
    transitions,
)
from tests.proofs.oracles.law import area_codes

HARDEST = [
    "Africa/Cairo", "America/Adak", "America/Havana", "America/Los_Angeles", "America/New_York", "America/Scoresbysund",
    "Antarctica/Casey", "Antarctica/Troll", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Easter",
]  # fmt: skip
"""The zones whose clocks change in the oddest ways."""
HISTORIC = {
    "Pacific/Apia": ["2011-12-30T10:00"],  # 30 December 2011 did not take place
    "Antarctica/Casey": ["2021-03-13T13:00", "2022-03-12T13:00", "2023-03-08T19:00"],
}
"""Changes before 2026 that are the hardest known."""


def utc(text: str) -> datetime:
    """An instant, written in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def compared(
    zone: str | None, state: str, moments: Iterable[datetime], *, step: int = 60
) -> Iterator[str]:
    """Ask about two days before to two days after, every so many minutes and around every change. What differs, if
    anything does, of each answer.
    """
    for moment in moments:
        start = moment - timedelta(days=2)
        states = {state, ZONE_STATES.get(zone or "", state)}
        zones, phone = [zone] if zone else US_ZONES, None
        if zone and state != "federal":  # somebody who keeps a number of that state
            npa = AREA_CODES[state]
            zones, phone = [zone, *area_codes()[npa][1]], f"+1{npa}5550123"
        minutes = open_in_all(zones, states, start, (4 + HORIZON_DAYS) * DAY + 1)
        for minute, is_open, change in questions(minutes, 4 * DAY, step):
            at, expected = start + minute * MINUTE, "no_opening"
            if change is not None and change <= minute + HORIZON_DAYS * DAY:
                expected = str(pendulum.instance(start + change * MINUTE))
            check = check_quiet_hours(zone, at=at, phone=phone)
            until = check.closes_at if is_open else check.next_send_at
            agrees = (check.can_send, str(until or check.why_code)) == (
                is_open,
                expected,
            )
            yield "" if agrees else f"{zone} {state} at {at}: {check}, not {expected}"


@pytest.mark.parametrize("zone", [None, *HARDEST])
def test_the_hours_agree_with_the_clocks_on_the_wall(zone: str | None) -> None:
    """Around every change of clocks in two years, and on a plain day. Where nothing is known, on all the US clocks."""
    if zone:
        changes = transitions(zone, range(2026, 2028))
        moments = [*changes, *map(utc, HISTORIC.get(zone, [])), utc("2026-06-15T00:00")]
    else:
        moments = sorted(
            {
                moment
                for zone in US_ZONES
                for moment in transitions(zone, range(2026, 2027))
            }
        )
        assert len(moments) == 12
    assert {*compared(zone, "federal", moments, step=13)} == {""}


def test_every_states_hours_agree_with_the_clocks_on_the_wall() -> None:
    """Around the changes of clocks of one year in a zone where they are hard, and around New Year in New York."""
    for state, zone in zip(STATES, cycle(HARDEST)):
        assert {*compared(zone, state, transitions(zone, [2027]))} <= {""}
        new_year = compared("America/New_York", state, [utc("2027-01-01T00:00")])
        assert {*new_year} == {""}


@settings(max_examples=25)
@given(
    zones=st.lists(
        st.sampled_from(sorted(data.zone_names())), min_size=1, max_size=4, unique=True
    ),
    states=st.lists(
        st.sampled_from(sorted(set(STATES) - {"federal"})), max_size=3, unique=True
    ),
    day=st.dates(datetime(2000, 1, 1).date(), datetime(2037, 12, 1).date()),  # noqa: DTZ001 - only the date is used
)
def test_several_zones_and_states_at_once_agree_with_all_their_clocks(
    zones: list[str], states: list[str], day: object
) -> None:
    """Open when every state permits it on every clock; nothing within the horizon when they never all do."""
    start = utc(f"{day}T00:00")
    minutes = open_in_all(zones, ["federal", *states], start, 10 * DAY)
    hours = window_of("US", tuple(states))
    for minute in range(0, DAY, 20):
        is_open = minutes[minute] == 1
        change = minutes.find(b"\0" if is_open else b"\1", minute)
        expected = (
            start + change * MINUTE
            if 0 <= change <= minute + HORIZON_DAYS * DAY
            else None
        )
        assert next_change(
            pendulum.instance(start).add(minutes=minute), tuple(zones), hours
        ) == (is_open, expected)


def test_hours_of_two_places_that_never_meet_are_told_as_such() -> None:
    """A number of Pennsylvania's, and somebody who lives where it is night then."""
    moments = [utc("2027-06-15T00:00")]
    assert {*compared("Asia/Shanghai", "PA", moments)} == {""}
    check = check_quiet_hours("Asia/Shanghai", at=moments[0], phone="+12155550123")
    assert check.why_code == "no_opening"


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
