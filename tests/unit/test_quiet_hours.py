"""When a text may go out: 08:00–21:00 on the recipient's own clock, and never on a guess."""

from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
from importlib.resources import files
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smsretry import data
from smsretry.quiet_hours.check import check_quiet_hours
from smsretry.quiet_hours.numbers import US_ZONES
from tests.proofs.oracles.clocks import MINUTE, transitions, zone_rules
from tests.support.some_daily import some_daily

NEW_YORK = "America/New_York"


def utc(text: str) -> datetime:
    """An instant, written in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def quarters(start: datetime, end: datetime) -> list[datetime]:
    """Every quarter of an hour from start, up to and without end."""
    count = -(-int((end - start).total_seconds()) // 900)
    return [start + quarter * 15 * MINUTE for quarter in range(count)]


def clock_in(name: str, at: datetime) -> time:
    """What the clocks of a zone show at an instant."""
    return at.astimezone(zone_rules(name)).time()


# The window


def test_texts_go_out_from_eight_until_just_before_nine_in_the_evening() -> None:
    """The window is half-open: 08:00 belongs to it, 21:00 does not. By the clock in New York."""
    for clock, is_open in {
        "00:00:00": False,
        "07:59:59.999999": False,
        "08:00:00": True,
        "12:00:00": True,
        "20:59:59.999999": True,
        "21:00:00": False,
        "23:59:59.999999": False,
    }.items():
        assert check_quiet_hours(NEW_YORK, at=datetime.fromisoformat(f"2027-01-12T{clock}-05:00")).can_send is is_open


def test_it_says_until_when_it_is_open_or_when_it_opens_and_closes_next() -> None:
    """In UTC, whatever zone was asked in: it is stored as an instant, and carries no local clock."""
    for at, opens, closes, closes_next in (
        ("2027-01-12T17:00", None, "2027-01-13T02:00", None),
        ("2027-01-12T12:00", "2027-01-12T13:00", None, "2027-01-13T02:00"),
        ("2027-01-13T02:00", "2027-01-13T13:00", None, "2027-01-14T02:00"),
    ):
        for zone in ("UTC", "Asia/Tokyo", "Australia/Lord_Howe"):
            check = check_quiet_hours(NEW_YORK, at=utc(at).astimezone(ZoneInfo(zone)))
            told = (check.next_send_at, check.closes_at, check.next_closes_at)
            assert told == tuple(each and utc(each) for each in (opens, closes, closes_next))
            assert all(each.timezone_name == "UTC" for each in told if each)


def test_a_refused_or_held_text_has_neither() -> None:
    """There is nothing to wait for."""
    for phone in ("+18005550123", "+870773111632"):
        check = check_quiet_hours(None, at=utc("2027-01-13T02:00"), phone=phone)
        assert (check.can_send, check.next_send_at, check.next_closes_at) == (False, None, None)
        assert bool(check.refused) is not bool(check.held)


def test_an_instant_on_a_clock_without_a_name_is_the_same_instant() -> None:
    """Pendulum knows zones by their names; this one has none. Nobody knows whose a time without any zone is."""
    with files("tzdata").joinpath("zoneinfo", "Asia", "Kathmandu").open("rb") as source:
        nameless = ZoneInfo.from_file(source)
    at = utc("2027-01-12T12:59")
    assert check_quiet_hours(NEW_YORK, at=at.astimezone(nameless)) == check_quiet_hours(NEW_YORK, at=at)
    with pytest.raises(ValueError, match="time zone aware"):
        check_quiet_hours(NEW_YORK, at=at.replace(tzinfo=None))


# The days the clocks change in New York

CLOCK_CHANGES = [
    # asked at, opens, closes (UTC); what the clock shows
    ("2026-03-08T02:00", "2026-03-08T12:00", None),  # spring, 21:00 the evening before
    ("2026-03-08T06:59", "2026-03-08T12:00", None),  # 01:59, a minute before the skipped hour
    ("2026-03-08T07:00", "2026-03-08T12:00", None),  # 03:00, right after it
    ("2026-03-08T11:59", "2026-03-08T12:00", None),  # 07:59
    ("2026-03-08T12:00", None, "2026-03-09T01:00"),  # 08:00
    ("2026-03-09T00:59", None, "2026-03-09T01:00"),  # 20:59
    ("2026-03-09T01:00", "2026-03-09T12:00", None),  # 21:00
    ("2026-11-01T01:00", "2026-11-01T13:00", None),  # autumn, 21:00 the evening before
    ("2026-11-01T05:30", "2026-11-01T13:00", None),  # the first 01:30
    ("2026-11-01T06:30", "2026-11-01T13:00", None),  # the second 01:30
    ("2026-11-01T12:59", "2026-11-01T13:00", None),  # 07:59
    ("2026-11-01T13:00", None, "2026-11-02T02:00"),  # 08:00
    ("2026-11-02T01:59", None, "2026-11-02T02:00"),  # 20:59
    ("2026-11-02T02:00", "2026-11-02T13:00", None),  # 21:00
]


def test_the_window_is_right_to_the_minute_when_the_clocks_change() -> None:
    """Opening and closing follow the wall clock of New York, not a count of hours."""
    for at, opens, closes in CLOCK_CHANGES:
        check = check_quiet_hours(NEW_YORK, at=utc(at))
        assert check.can_send is (closes is not None)
        assert (check.next_send_at, check.closes_at) == (opens and utc(opens), closes and utc(closes)), at


# Unknown zones

NO_PLACES = (None, "", " ", "EST", "EDT", "MST", "EST5EDT", "UTC", "GMT", "Z", "+05:00", "GMT+5", "Etc/GMT+5",
             "Etc/UTC", "Etc/Unknown", "local", "localtime", "Factory", "posixrules", "../x", "/etc/localtime",
             "America", "America/", "America/NewYork", "America/New_York ", "America/New_York\n", "america/new_york",
             "America/New\0York", "Eastern Standard Time", "right/UTC", "x" * 300, "America/" + "x" * 300)  # fmt: skip
MORNING = utc("2027-01-12T13:30")
"""08:30 in New York, 07:30 in Chicago, 03:30 in Honolulu."""


def test_a_zone_that_names_no_place_falls_back_to_the_business() -> None:
    """The business's zone then decides alone. Without that it must be day in every US zone; Honolulu opens last."""
    for zone in NO_PLACES:
        check = check_quiet_hours(zone, at=MORNING, fallback="America/Chicago", rules="federal")
        assert (check.next_send_at, [one.name for one in check.zones]) == (utc("2027-01-12T14:00"), ["America/Chicago"])
        check = check_quiet_hours(zone, at=MORNING, fallback=zone, rules="federal")
        assert (check.next_send_at, len(check.zones)) == (utc("2027-01-12T18:00"), len(US_ZONES))


def test_an_unknown_zone_is_never_a_license() -> None:
    """At every quarter of an hour it is open exactly when the clocks of all US zones show day."""
    for day in ("2027-01-12", "2027-07-13", "2026-03-08", "2026-11-01"):
        for at in quarters(utc(day), utc(day) + timedelta(days=2)):
            day_everywhere = all(time(8) <= clock_in(zone, at) < time(21) for zone in US_ZONES)
            assert check_quiet_hours(None, at=at).can_send is day_everywhere, at


def test_the_customers_own_zone_wins_over_the_businesss() -> None:
    """A customer in Honolulu of a business in New York sleeps by Honolulu's clock."""
    check = check_quiet_hours("Pacific/Honolulu", at=MORNING, fallback=NEW_YORK)
    assert (check.next_send_at, [zone.name for zone in check.zones]) == (utc("2027-01-12T18:00"), ["Pacific/Honolulu"])


# Properties, over all places and all years

places = st.sampled_from(sorted(data.place_names()))
maybe_places = st.one_of(st.none(), places)
instants = st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    max_value=datetime(2037, 12, 1),  # noqa: DTZ001 - likewise
    timezones=st.just(UTC),
)
nearby = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=2))


def first_permitted(zone: str | None, at: datetime) -> datetime:
    """The instant itself when it is permitted, otherwise the next opening."""
    check = check_quiet_hours(zone, at=at, rules="federal")
    if check.can_send:
        return at
    assert check.next_send_at is not None, "every place opens every day"
    return check.next_send_at


@settings(max_examples=200)
@given(zone=maybe_places, at=instants)
def test_a_text_is_never_told_to_go_out_in_quiet_hours(zone: str | None, at: datetime) -> None:
    """The clock shows day at the first permitted instant, in every zone that counts, and the answer there is yes."""
    permitted = first_permitted(zone, at)
    assert permitted >= at
    assert all(time(8) <= clock_in(name, permitted) < time(21) for name in ([zone] if zone else US_ZONES))
    assert check_quiet_hours(zone, at=permitted, rules="federal").can_send, "it would be put off again"


@settings(max_examples=200)
@given(zone=maybe_places, at=instants, later=nearby)
def test_asking_later_never_gives_an_earlier_time(zone: str | None, at: datetime, later: timedelta) -> None:
    """The first permitted instant rises with the instant asked about."""
    assert first_permitted(zone, at) <= first_permitted(zone, at + later)


@settings(max_examples=200)
@given(zone=maybe_places, at=instants)
def test_no_opening_is_passed_over(zone: str | None, at: datetime) -> None:
    """It is closed at every quarter of an hour before the opening it names, and just before it."""
    permitted = first_permitted(zone, at)
    just_before = [permitted - timedelta(microseconds=1)] if permitted > at else []
    for moment in [*quarters(at, permitted), *just_before]:
        assert not check_quiet_hours(zone, at=moment, rules="federal").can_send, moment


@settings(max_examples=200)
@given(zone=maybe_places, at=instants)
def test_the_closing_is_the_first_closed_instant(zone: str | None, at: datetime) -> None:
    """Open up to the last microsecond before it, closed at it."""
    opening = first_permitted(zone, at)
    closes = check_quiet_hours(zone, at=opening, rules="federal").closes_at
    assert closes is not None
    assert check_quiet_hours(zone, at=at, rules="federal").next_closes_at == (closes if opening > at else None)
    assert closes > opening
    assert not check_quiet_hours(zone, at=closes, rules="federal").can_send
    for moment in [*quarters(opening, closes), closes - timedelta(microseconds=1)]:
        assert check_quiet_hours(zone, at=moment, rules="federal").can_send, moment


# An oracle: step through the minutes and read the clock on the wall. No local time is ever built.

HARD_ZONES = [
    "Africa/Cairo", "Africa/Casablanca", "America/Adak", "America/Anchorage", "America/Asuncion", "America/Chicago",
    "America/Denver", "America/Edmonton", "America/Halifax", "America/Havana", "America/Los_Angeles",
    "America/New_York", "America/Nuuk", "America/Phoenix", "America/Santiago", "America/Scoresbysund",
    "America/St_Johns", "America/Toronto", "America/Vancouver", "America/Winnipeg", "Antarctica/Casey",
    "Antarctica/Troll", "Asia/Beirut", "Asia/Gaza", "Atlantic/Azores", "Australia/Lord_Howe", "Europe/Dublin",
    "Pacific/Apia", "Pacific/Chatham", "Pacific/Easter", "Pacific/Honolulu",
]  # fmt: skip
HISTORIC = {
    "Pacific/Apia": [utc("2011-12-30T10:00")],  # 30 December 2011 did not take place
    "Antarctica/Casey": [utc("2021-03-13T13:00"), utc("2022-03-12T13:00"), utc("2023-03-08T19:00")],
}
"""Changes before 2024 that are the hardest known."""
YEARS = range(2024, 2028)


def disagreements(name: str | None, around: datetime) -> list[str]:
    """Ask every 7 minutes from a day before to a day and a half after, and compare with the minutes themselves."""
    zones = [zone_rules(zone) for zone in ([name] if name else US_ZONES)]
    start, minutes = around - timedelta(days=1), 4 * 24 * 60
    is_day = [
        all(8 <= (start + minute * MINUTE).astimezone(zone).hour < 21 for zone in zones) for minute in range(minutes)
    ]
    found = []
    for minute in range(0, 60 * 60, 7):
        at = start + minute * MINUTE
        change = start + is_day.index(not is_day[minute], minute) * MINUTE
        expected = (True, None, change) if is_day[minute] else (False, change, None)
        check = check_quiet_hours(name, at=at)
        got = (check.can_send, check.next_send_at, check.closes_at)
        if got != expected:
            found.append(f"{name} at {at:%Y-%m-%d %H:%MZ}: {got}, but the clocks say {expected}")
    return found


def all_disagreements(name: str | None, moments: Iterable[datetime]) -> list[str]:
    """The disagreements around several instants."""
    return [line for moment in moments for line in disagreements(name, moment)]


@pytest.mark.parametrize("name", some_daily(HARD_ZONES, each=3))
def test_the_answers_agree_with_the_clocks_on_the_wall(name: str) -> None:
    """Around every change of clocks in 2024–2027, and on a plain day, minute stepping finds the same times."""
    moments = [*transitions(name, YEARS), *HISTORIC.get(name, []), utc("2026-06-15T00:00")]
    assert all_disagreements(name, moments) == []


def test_the_answers_for_an_unknown_zone_agree_with_all_the_us_clocks_on_the_wall() -> None:
    """Around each change of any US zone in 2026, minute stepping over all of them finds the same times."""
    changes = {moment for zone in US_ZONES for moment in transitions(zone, range(2026, 2027))}
    assert len(changes) == 12
    assert all_disagreements(None, sorted(changes)) == []


def test_the_oracle_sees_the_changes_it_is_meant_to_see() -> None:
    """New York changes its clocks twice a year, Phoenix never."""
    assert len(transitions(NEW_YORK, YEARS)) == 8
    assert transitions(NEW_YORK, YEARS)[4:6] == [utc("2026-03-08T07:00"), utc("2026-11-01T06:00")]
    assert transitions("America/Phoenix", YEARS) == []
