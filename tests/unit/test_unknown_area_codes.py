"""An area code that is in no table: it may be any state's, so the strictest reading of all holds."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from smsretry.quiet_hours.check import QuietHoursCheck, check_quiet_hours
from smsretry.quiet_hours.location import Found
from smsretry.quiet_hours.rules import US_STATES
from tests.proofs.oracles.clocks import DAY, MINUTE, STATES, open_in_all
from tests.proofs.oracles.law import area_codes, person

NOBODY_KNOWS = "+13285550123"
NOON_IN_CHICAGO = datetime(2027, 1, 12, 18, tzinfo=UTC)
"""A Tuesday."""


def check(at: datetime = NOON_IN_CHICAGO, timezone: str | None = None, **values: Any) -> QuietHoursCheck:
    """Somebody of whom little is known."""
    return check_quiet_hours(timezone, at=at, phone=NOBODY_KNOWS, **values)


@pytest.mark.long
def test_every_states_hours_and_holidays_hold_in_every_us_zone() -> None:
    """For a year, minute by minute, against the clocks on the wall and the hours typed in from the sources."""
    start, days = datetime(2026, 11, 1, tzinfo=UTC), 380
    minutes = open_in_all(person(None, NOBODY_KNOWS, None).zones, STATES, start, days * DAY)
    for minute in range(0, 366 * DAY, 97):
        is_open = minutes[minute] == 1
        change = start + minutes.find(b"\0" if is_open else b"\1", minute) * MINUTE
        answer = check(start + minute * MINUTE)
        assert (answer.can_send, answer.closes_at if is_open else answer.next_send_at) == (is_open, change)


@pytest.mark.long
def test_there_is_always_an_opening_within_the_horizon() -> None:
    """The longest wait until 2037 is over a long weekend with a holiday on either side."""
    at, longest = datetime(2026, 1, 1, tzinfo=UTC), timedelta(0)
    while at.year < 2038:
        answer = check(at)
        assert answer.held is None
        longest = max(longest, (answer.next_send_at or at) - at)
        at = answer.closes_at or answer.next_send_at or at
    assert timedelta(days=3) < longest < timedelta(days=6)


def test_the_lowest_daily_cap_of_any_state_holds() -> None:
    """Three texts in 24 hours."""
    cap = check().window.cap
    assert cap is not None
    assert cap.cap_text == "Daily cap: 3 texts in 24 hours to one person (every US state's rules)"


@pytest.mark.parametrize("state", ["LA", "PR", "WY"])
def test_a_stop_of_any_state_holds_it(state: str) -> None:
    """The number may be from there. A text that is not marketing still goes when it is day everywhere."""
    stopped = frozenset({state})
    assert check(stopped_states=stopped).held == (
        f"Texts to {state} are stopped, and the number may be from there (area code 328 is in no table): lift the stop "
        "for that state, and they go on"
    )
    assert check(stopped_states=stopped, message_class="transactional").held is None


def test_a_customers_own_zone_stands_alone_and_every_states_rules_still_hold() -> None:
    """Where they are is known. Which state's number it is, is not: numbers move with people."""
    answer = check(timezone="America/Kentucky/Louisville")
    assert [zone.name for zone in answer.zones] == ["America/Kentucky/Louisville"]
    assert answer.states == (
        Found("every US state", "area code 328 is in no table"),
        Found("KY", "the customer's zone"),
    )
    assert answer.rule == (
        "Mon–Fri 10:00–18:00, Sat 10:00–17:00, Sun closed (federal, every US state's rules) in "
        "America/Kentucky/Louisville, the customer's zone (area code 328 is in no table)"
    )
    assert check(datetime(2027, 1, 11, 23, 30, tzinfo=UTC), "America/New_York").can_send is False, "18:30 there"


def test_the_rule_names_no_list_of_states() -> None:
    """A person reads it."""
    assert check().rule == (
        "Mon–Fri 10:00–18:00, Sat 10:00–17:00, Sun closed (federal, every US state's rules) in "
        "every US zone (area code 328 is in no table)"
    )


def test_federal_rules_and_transactional_texts_know_no_state_here_either() -> None:
    """08:00–21:00 on every clock."""
    for answer in (check(rules="federal"), check(message_class="transactional")):
        assert answer.rule == "08:00–21:00 in every US zone (area code 328 is in no table)"


@pytest.mark.parametrize("state", sorted(US_STATES))
def test_each_state_and_territory_can_be_stopped(state: str) -> None:
    """Each of them has an area code, and its texts are held."""
    phones = [f"+1{npa}5550123" for npa, (_, states, _) in area_codes().items() if state in states.split("/")]
    phones += [f"+1{npa}5550123" for npa in ({"AS": 684, "GU": 671, "MP": 670, "VI": 340}.get(state),) if npa]
    assert phones
    for phone in phones:
        answer = check_quiet_hours(None, at=NOON_IN_CHICAGO, phone=phone, stopped_states=frozenset({state}))
        assert answer.held == f"Texts to {state} are stopped: lift the stop for that state, and they go on"


@pytest.mark.parametrize("word", ["XX", "la", "Louisiana", "QC", ""])
def test_a_stopped_state_that_nobody_knows_is_an_error(word: str) -> None:
    """A misspelt stop would stop nothing."""
    complaint = f"stopped_states has {word!r}: use two letters of a US state or territory, such as LA"
    with pytest.raises(ValueError, match=re.escape(complaint)):
        check(stopped_states=frozenset({"FL", word}))
