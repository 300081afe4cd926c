"""Which rules apply to a text, and what they leave open together."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from smsretry.quiet_hours.calendars import holidays_in
from smsretry.quiet_hours.check import QuietHoursCheck, check_quiet_hours
from smsretry.quiet_hours.hours import hours_text, parse_week
from smsretry.quiet_hours.rules import COUNTRY_RULES, STATE_RULES, US_STATES
from tests.proofs.oracles.clocks import STATES, closed_dates
from tests.proofs.oracles.law import area_codes
from tests.support.records import Record

MIAMI, NOBODY_KNOWS = "+13055550123", "+13285550123"
"""The area code of the second is in no table."""
TUESDAY_2030 = datetime(2027, 1, 13, 1, 30, tzinfo=UTC)
"""20:30 on Tuesday 12 January 2027 in New York."""
NOON = datetime(2027, 1, 12, 18, tzinfo=UTC)
"""In Chicago, the same day."""


def check(
    timezone: str | None = None,
    *,
    at: datetime = TUESDAY_2030,
    phone: str | None = MIAMI,
    **values: Any,
) -> QuietHoursCheck:
    """May a text go there now?"""
    return check_quiet_hours(timezone, at=at, phone=phone, **values)


def ids(of: QuietHoursCheck) -> list[str]:
    """The rules that applied."""
    return [rule.rule_id for rule in of.window.rules]


RULES: list[tuple[Record, str, list[str]]] = [
    # who is texted what, the hours, by which rules
    ({}, "08:00–20:00", ["us-fl-501.616"]),
    ({"rules": "federal"}, "08:00–21:00", []),
    ({"message_class": "transactional"}, "08:00–21:00", []),
    # A Floridian number in Kentucky: the stricter of both.
    (
        {"timezone": "America/Kentucky/Louisville"},
        "10:00–20:00",
        ["us-fl-501.616", "us-ky-367.46955"],
    ),
    # A business's own hours only narrow.
    (
        {"own_window": parse_week("09:00-23:00")},
        "09:00–20:00",
        ["us-fl-501.616", "own"],
    ),
    ({"phone": "+81312345678"}, "09:00–20:00", ["abroad"]),
    # Any state's.
    (
        {"phone": NOBODY_KNOWS},
        "Mon–Fri 10:00–18:00, Sat 10:00–17:00, Sun closed",
        ["every US state's rules"],
    ),
    ({"phone": NOBODY_KNOWS, "rules": "federal"}, "08:00–21:00", []),
    ({"phone": NOBODY_KNOWS, "message_class": "transactional"}, "08:00–21:00", []),
]


def test_the_strictest_rule_that_applies_decides_and_is_named() -> None:
    """Engineering guidance, not legal advice. The record names the statute, and no list of states."""
    for values, hours, rule_ids in RULES:
        answer = check(**values)
        assert ids(answer) == ["federal", *rule_ids]
        rule_text = f"{hours} ({', '.join(ids(answer))})" if rule_ids else hours
        assert answer.rule.startswith(f"{rule_text} in "), answer.rule
    assert [check(**values).can_send for values, *_ in RULES[:3]] == [False, True, True]
    assert "501.616(6)" in check().window.rules[1].source


def test_the_states_with_a_rule_of_their_own_are_those_of_the_oracle_and_four_have_a_daily_cap() -> (
    None
):
    """Whose hours are typed in once more from the sources. None is missing from the table, and none is too many."""
    assert set(STATE_RULES) == set(STATES) - {"federal"}
    capped = {
        state: rule.daily_cap for state, rule in STATE_RULES.items() if rule.daily_cap
    }
    assert capped == dict.fromkeys(("FL", "MD", "OK", "OR"), 3)
    unknown = check(phone=NOBODY_KNOWS).window.cap
    assert unknown is not None
    assert unknown.daily_cap == 3


def test_each_state_and_territory_can_be_stopped_until_somebody_lifts_the_stop() -> (
    None
):
    """For a declared emergency; a transactional text still goes. A number of nobody knows where may be from there."""
    for state in sorted(US_STATES):
        phones = [
            f"+1{npa}5550123"
            for npa, (place, _) in area_codes().items()
            if place == state
        ]
        assert phones
        for phone in (*phones, NOBODY_KNOWS):
            answer = check(at=NOON, phone=phone, stopped_states=frozenset({state}))
            assert (answer.can_send, answer.next_send_at) == (False, None)
            assert f"Texts to {state} are stopped" in (answer.why_held or "")
            assert "lift the stop" in (answer.why_held or "")
    assert check(
        at=NOON, stopped_states=frozenset({"FL"}), message_class="transactional"
    ).can_send


def test_a_word_that_nobody_knows_is_an_error_and_not_the_laxer_reading() -> None:
    """Whatever is known of the recipient: a misspelt `us_states` would let texts go at night."""
    wrong: list[Record] = [
        {"rules": "typo"},
        {"rules": None},
        {"message_class": "Marketing"},
    ]
    wrong += [
        {"stopped_states": frozenset({"FL", word})}
        for word in ("XX", "la", "Louisiana", "QC", "")
    ]
    for words in wrong:
        for phone in (None, MIAMI, NOBODY_KNOWS, "+18005550123"):
            with pytest.raises(ValueError, match=f"{next(iter(words))} .*use"):
                check(phone=phone, **words)


# Holidays


def test_each_calendar_that_binds_was_reviewed_and_agrees_with_the_oracle() -> None:
    """Whatever the library says of a day. A new calendar comes with a review: see `quiet_hours/README.md`."""
    calendars = {
        calendar
        for rule in [*STATE_RULES.values(), *COUNTRY_RULES.values()]
        for calendar in rule.calendars
    }
    assert calendars == {"FR", "US-AL", "US-LA", "US-PA", "US-RI", "US-UT"}
    for calendar in calendars - {"FR"}:
        for year in range(2000, 2038):
            expected = {
                day
                for day in closed_dates(calendar.removeprefix("US-"))
                if day.year == year
            }
            assert holidays_in(calendar, year) == expected, (calendar, year)
    assert date(2027, 11, 2) not in holidays_in("US-RI", 2027), (
        "state officers are elected in even years"
    )


@pytest.mark.long
def test_there_is_always_an_opening_within_the_horizon() -> None:
    """The longest wait until 2037 is over a long weekend with a holiday on either side."""
    at, longest = datetime(2026, 1, 1, tzinfo=UTC), timedelta(0)
    while at.year < 2038:
        answer = check(at=at, phone=NOBODY_KNOWS)
        assert answer.why_held is None
        longest = max(longest, (answer.next_send_at or at) - at)
        at = answer.closes_at or answer.next_send_at or at
    assert timedelta(days=3) < longest < timedelta(days=6)


# A turn at the opening, a business's own hours, and what people are told


def test_a_businesss_hours_are_read_as_a_person_writes_them_or_refused_with_what_to_write() -> (
    None
):
    """Days that are not named are closed; spans that touch are one. A guess would be a license."""
    for text, hours in {
        "09:00-18:00": "09:00–18:00",
        "Mon-Fri 09:00-18:00, Sat 10:00-16:00": "Mon–Fri 09:00–18:00, Sat 10:00–16:00, Sun closed",
        "Tue 09:00-12:00,Tue 13:00-17:00": "Mon closed, Tue 09:00–12:00 and 13:00–17:00, Wed–Sun closed",
        "Mon-Sun 09:00-12:00, Sun 11:00-14:00": "Mon–Sat 09:00–12:00, Sun 09:00–14:00",
        "00:00-24:00": "00:00–24:00",
    }.items():
        assert hours_text(parse_week(text)) == hours
    wrong = (
        "",
        "9-18",
        "Mo-Fr 09:00-18:00",
        "09:00-18:00,",
        "20:00-08:00",
        "Sat-Mon 09:00-18:00",
        "09:00-25:00",
        "09:00-09:00",
    )
    for text in wrong:
        with pytest.raises(ValueError, match="write hours such as Mon-Fri 09:00-18:00"):
            parse_week(text)
