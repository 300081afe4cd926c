"""Which rules apply to a text, and what they leave open together."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from smsretry.quiet_hours.calendars import holidays_in
from smsretry.quiet_hours.check import QuietHoursCheck, check_quiet_hours, spread
from smsretry.quiet_hours.explain import draw_week
from smsretry.quiet_hours.hours import hours_text, parse_week
from smsretry.quiet_hours.rules import STATE_RULES
from tests.proofs.oracles.clocks import STATES

MIAMI = "+13055550123"
TUESDAY_2030 = datetime(2027, 1, 13, 1, 30, tzinfo=UTC)
"""20:30 on Tuesday 12 January 2027 in New York."""


def ids(check: QuietHoursCheck) -> list[str]:
    """The rules that applied."""
    return [rule.rule_id for rule in check.window.rules]


def test_a_floridian_is_not_texted_after_eight_in_the_evening() -> None:
    """Florida closes at 20:00; the record names its statute."""
    check = check_quiet_hours(None, at=TUESDAY_2030, phone=MIAMI)
    assert not check.can_send
    assert ids(check) == ["federal", "us-fl-501.616"]
    assert check.rule == "08:00–20:00 (federal, us-fl-501.616) in America/New_York, area code 305"
    assert "501.616(6)" in check.window.rules[1].source


def test_the_federal_profile_knows_no_state() -> None:
    """The original behavior: 08:00–21:00 everywhere."""
    assert check_quiet_hours(None, at=TUESDAY_2030, phone=MIAMI, rules="federal").can_send


def test_a_transactional_text_keeps_the_recipients_evening_but_no_states_rule() -> None:
    """Engineering guidance, not legal advice."""
    check = check_quiet_hours(None, at=TUESDAY_2030, phone=MIAMI, message_class="transactional")
    assert (check.can_send, ids(check)) == (True, ["federal"])


def test_two_states_make_the_stricter_of_both() -> None:
    """A Floridian number in Kentucky: from Kentucky's ten to Florida's eight."""
    check = check_quiet_hours("America/Kentucky/Louisville", at=TUESDAY_2030, phone=MIAMI)
    assert check.rule.startswith("10:00–20:00 (federal, us-fl-501.616, us-ky-367.46955)")


def test_a_businesss_own_hours_only_narrow() -> None:
    """From nine to nine, of which the states leave what they leave."""
    check = check_quiet_hours(None, at=TUESDAY_2030, phone=MIAMI, own_window=parse_week("09:00-23:00"))
    assert check.rule.startswith("09:00–20:00 (federal, us-fl-501.616, own)")


def test_a_stopped_state_holds_its_texts_until_somebody_lifts_the_stop() -> None:
    """For a declared emergency; a transactional text still goes."""
    stopped = frozenset({"FL"})
    noon = datetime(2027, 1, 12, 17, tzinfo=UTC)
    check = check_quiet_hours(None, at=noon, phone=MIAMI, stopped_states=stopped)
    assert (check.can_send, check.next_send_at) == (False, None)
    assert check.held == "Texts to FL are stopped: lift the stop for that state, and they go on"
    assert check_quiet_hours(None, at=noon, phone=MIAMI, stopped_states=stopped, message_class="transactional").can_send


def test_hours_that_never_meet_are_held_for_a_person() -> None:
    """Honolulu's morning begins after this business's day is over in the east."""
    own = parse_week("10:00-11:00")
    check = check_quiet_hours(None, at=TUESDAY_2030, phone="+13285550123", own_window=own)
    assert (check.can_send, check.next_send_at) == (False, None)
    assert check.held is not None
    hours = "Mon–Sat 10:00–11:00, Sun closed (federal, every US state's rules, own)"
    assert check.held.startswith(f"No permitted hour within 8 days: {hours} in every US zone")
    assert check.held.endswith("Set the customer's timezone, or widen the window")


def test_mardi_gras_closes_louisiana_until_the_day_after() -> None:
    """9 February 2027, a holiday there and nowhere else."""
    check = check_quiet_hours(None, at=datetime(2027, 2, 9, 18, tzinfo=UTC), phone="+12255550123")
    assert check.next_send_at == datetime(2027, 2, 10, 14, tzinfo=UTC)


def test_pennsylvanias_law_has_holidays_that_the_library_lacks() -> None:
    """Good Friday, Flag Day and Election Day."""
    assert {date(2027, 3, 26), date(2027, 6, 14), date(2027, 11, 2)} <= holidays_in("US-PA", 2027)


def test_france_has_no_texts_on_sundays_and_holidays() -> None:
    """14 July 2027 is a Wednesday."""
    check = check_quiet_hours(None, at=datetime(2027, 7, 14, 10, tzinfo=UTC), phone="+33612345678")
    assert check.next_send_at == datetime(2027, 7, 15, 6, tzinfo=UTC)


def test_abroad_where_nothing_is_known_the_window_is_narrow() -> None:
    """Nine to eight."""
    assert ids(check_quiet_hours(None, at=TUESDAY_2030, phone="+81312345678")) == ["federal", "abroad"]


def test_the_states_with_a_rule_of_their_own_are_those_of_the_oracle() -> None:
    """Whose hours are typed in once more from the sources. None is missing from the table, and none is too many."""
    assert set(STATE_RULES) == set(STATES) - {"federal"}


def test_a_refused_number_has_no_next_opening() -> None:
    """There is nothing to wait for."""
    check = check_quiet_hours("America/New_York", at=TUESDAY_2030, phone="+18005550123")
    assert check.refused == "Phone number is toll-free: no person's phone, no text is sent to it"
    assert (check.can_send, check.next_send_at, check.held) == (False, None, None)


@pytest.mark.parametrize("number", range(50))
def test_the_turn_at_an_opening_is_always_the_same_and_never_past_the_closing(number: int) -> None:
    """Ten minutes, or what there is of them."""
    opening, key = datetime(2027, 1, 12, 13, tzinfo=UTC), UUID(int=number)
    for room in (timedelta(hours=13), timedelta(minutes=3), timedelta(0)):
        turn = spread(opening, key=key, over=timedelta(minutes=10), closes_at=opening + room)
        assert turn == spread(opening, key=key, over=timedelta(minutes=10), closes_at=opening + room)
        assert opening <= turn <= opening + min(room, timedelta(minutes=10))
        assert turn < opening + room or not room


def test_a_week_is_drawn_as_a_band_of_hours() -> None:
    """Louisiana: no Sunday, and Mardi Gras is a blank line."""
    monday = datetime(2027, 2, 8, 18, tzinfo=UTC)
    band = draw_week(check_quiet_hours(None, at=monday, phone="+12255550123"), start=monday)
    closed, day = "·" * 24, "·" * 8 + "█" * 12 + "·" * 4
    assert [line[11:] for line in band[1:]] == [day, closed, day, day, day, day, closed]
    assert band[2].startswith("Tue 09 Feb ")


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("09:00-18:00", "09:00–18:00"),
        ("Mon-Fri 09:00-18:00, Sat 10:00-16:00", "Mon–Fri 09:00–18:00, Sat 10:00–16:00, Sun closed"),
        ("Tue 09:00-12:00,Tue 13:00-17:00", "Mon closed, Tue 09:00–12:00 and 13:00–17:00, Wed–Sun closed"),
        ("Mon-Sun 09:00-12:00, Sun 11:00-14:00", "Mon–Sat 09:00–12:00, Sun 09:00–14:00"),
        ("00:00-24:00", "00:00–24:00"),
    ],
)
def test_a_businesss_hours_are_read_as_a_person_writes_them(text: str, hours: str) -> None:
    """Days that are not named are closed; spans that touch are one."""
    assert hours_text(parse_week(text)) == hours


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is no span of hours"),
        ("9-18", "is no span of hours; write hours such as Mon-Fri 09:00-18:00"),
        ("Mo-Fr 09:00-18:00", "is no span of hours"),
        ("09:00-18:00,", "'' is no span of hours"),
        ("20:00-08:00", "'20:00-08:00' closes before it opens"),
        ("Sat-Mon 09:00-18:00", "Sat-Mon runs backwards"),
        ("09:00-25:00", "hour must be in 0..23"),
    ],
)
def test_hours_that_say_nothing_of_the_kind_are_refused_with_what_to_write(text: str, complaint: str) -> None:
    """A guess would be a license."""
    with pytest.raises(ValueError, match=re.escape(complaint)):
        parse_week(text)


def test_the_states_with_a_daily_cap_are_four() -> None:
    """Three texts in 24 hours each; the states' table says so."""
    assert {state: rule.daily_cap for state, rule in STATE_RULES.items() if rule.daily_cap} == dict.fromkeys(
        ("FL", "MD", "OK", "OR"), 3
    )


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ({"rules": "typo"}, "rules is 'typo': use federal or us_states"),
        ({"rules": None}, "rules is None: use federal or us_states"),
        ({"message_class": "Marketing"}, "message_class is 'Marketing': use marketing or transactional"),
    ],
)
@pytest.mark.parametrize("phone", [None, MIAMI, "+18005550123"])
def test_a_word_that_nobody_knows_is_an_error_and_not_the_laxer_reading(
    words: dict[str, Any], complaint: str, phone: str | None
) -> None:
    """Whatever is known of the recipient: a misspelt `us_states` would let texts go at night."""
    with pytest.raises(ValueError, match=re.escape(complaint)):
        check_quiet_hours(None, at=TUESDAY_2030, phone=phone, **words)
