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

# wall clock in New York on 2027-01-12 (UTC−5), may a text go out?
WINDOW = [
    ("00:00:00", False),
    ("07:59:59.999999", False),
    ("08:00:00", True),
    ("12:00:00", True),
    ("20:59:59.999999", True),
    ("21:00:00", False),
    ("23:59:59.999999", False),
]


@pytest.mark.parametrize(("clock", "open_"), WINDOW)
def test_texts_go_out_from_eight_until_just_before_nine_in_the_evening(clock: str, open_: bool) -> None:
    """The window is half-open: 08:00 belongs to it, 21:00 does not."""
    at = datetime.fromisoformat(f"2027-01-12T{clock}-05:00")
    assert check_quiet_hours(NEW_YORK, at=at).can_send is open_


def test_while_open_it_says_until_when_and_nothing_about_a_next_opening() -> None:
    """At noon the window closes at 21:00 that day."""
    check = check_quiet_hours(NEW_YORK, at=utc("2027-01-12T17:00"))
    assert (check.next_send_at, check.closes_at) == (None, utc("2027-01-13T02:00"))


def test_before_the_opening_a_text_waits_until_eight_the_same_day() -> None:
    """At 07:00 the next opening is an hour away."""
    check = check_quiet_hours(NEW_YORK, at=utc("2027-01-12T12:00"))
    assert (check.next_send_at, check.closes_at) == (utc("2027-01-12T13:00"), None)


def test_after_the_closing_a_text_waits_until_eight_the_next_day() -> None:
    """At 21:00 the next opening is eleven hours away."""
    check = check_quiet_hours(NEW_YORK, at=utc("2027-01-13T02:00"))
    assert (check.next_send_at, check.closes_at) == (utc("2027-01-13T13:00"), None)


def test_a_closed_window_says_when_the_next_one_closes() -> None:
    """So a caller can spread texts over the next window, and needs no second check."""
    check = check_quiet_hours(NEW_YORK, at=utc("2027-01-13T02:00"))
    assert check.next_closes_at is not None
    assert check.next_closes_at.isoformat() == "2027-01-14T02:00:00+00:00"
    assert check.next_closes_at.timezone_name == "UTC"


@pytest.mark.parametrize(
    ("phone", "at"),
    [("+12125550123", "2027-01-12T17:00"), ("+18005550123", "2027-01-13T02:00"), ("+870773111632", "2027-01-13T02:00")],
    ids=["open", "refused", "held"],
)
def test_without_a_next_opening_there_is_no_next_closing(phone: str, at: str) -> None:
    """While open, the closing is `closes_at`; a refused or held text has none."""
    check = check_quiet_hours(None, at=utc(at), phone=phone)
    assert (check.next_send_at, check.next_closes_at) == (None, None)


def test_the_next_opening_is_given_in_utc_whatever_zone_was_asked_in() -> None:
    """It is stored as an instant, so it carries no local clock."""
    check = check_quiet_hours("Asia/Tokyo", at=datetime.fromisoformat("2027-01-12T23:00+09:00"))
    assert check.next_send_at is not None
    assert check.next_send_at.isoformat() == "2027-01-12T23:00:00+00:00"
    assert check.next_send_at.timezone_name == "UTC"


def test_the_same_instant_gets_the_same_answer_in_whatever_offset_it_is_written() -> None:
    """Only the instant counts, not how the caller wrote it."""
    at = utc("2027-01-12T12:59")
    assert check_quiet_hours(NEW_YORK, at=at) == check_quiet_hours(
        NEW_YORK, at=at.astimezone(ZoneInfo("Australia/Lord_Howe"))
    )


def test_an_instant_on_a_clock_without_a_name_is_the_same_instant() -> None:
    """Pendulum knows zones by their names; this one has none."""
    with files("tzdata").joinpath("zoneinfo", "Asia", "Kathmandu").open("rb") as source:
        nameless = ZoneInfo.from_file(source)
    at = utc("2027-01-12T12:59")
    assert check_quiet_hours(NEW_YORK, at=at.astimezone(nameless)) == check_quiet_hours(NEW_YORK, at=at)


def test_a_local_time_keeps_its_zone_when_something_is_added_to_it() -> None:
    """A day of 24 hours after noon in New York, across the end of summer time: the clock shows eleven."""
    (local,) = check_quiet_hours(NEW_YORK, at=utc("2026-11-01T12:00")).local_times(utc("2026-10-31T16:00"))
    later = local + timedelta(hours=24)
    assert (later.timezone_name, later.hour, later == utc("2026-11-01T16:00")) == (NEW_YORK, 11, True)


def test_a_time_without_a_zone_is_refused() -> None:
    """A naive time is somebody's, but nobody knows whose."""
    with pytest.raises(ValueError, match="time zone aware"):
        check_quiet_hours(NEW_YORK, at=datetime.fromisoformat("2027-01-12T12:00"))


# The days the clocks change in New York

# asked at (UTC), opens (UTC), closes (UTC)
CLOCK_CHANGES = [
    pytest.param("2026-03-08T02:00", "2026-03-08T12:00", None, id="spring, 21:00 the evening before"),
    pytest.param("2026-03-08T06:59", "2026-03-08T12:00", None, id="spring, 01:59, a minute before the skipped hour"),
    pytest.param("2026-03-08T07:00", "2026-03-08T12:00", None, id="spring, 03:00, right after the skipped hour"),
    pytest.param("2026-03-08T11:59", "2026-03-08T12:00", None, id="spring, 07:59"),
    pytest.param("2026-03-08T12:00", None, "2026-03-09T01:00", id="spring, 08:00"),
    pytest.param("2026-03-09T00:59", None, "2026-03-09T01:00", id="spring, 20:59"),
    pytest.param("2026-03-09T01:00", "2026-03-09T12:00", None, id="spring, 21:00"),
    pytest.param("2026-11-01T01:00", "2026-11-01T13:00", None, id="autumn, 21:00 the evening before"),
    pytest.param("2026-11-01T05:30", "2026-11-01T13:00", None, id="autumn, the first 01:30"),
    pytest.param("2026-11-01T06:30", "2026-11-01T13:00", None, id="autumn, the second 01:30"),
    pytest.param("2026-11-01T12:59", "2026-11-01T13:00", None, id="autumn, 07:59"),
    pytest.param("2026-11-01T13:00", None, "2026-11-02T02:00", id="autumn, 08:00"),
    pytest.param("2026-11-02T01:59", None, "2026-11-02T02:00", id="autumn, 20:59"),
    pytest.param("2026-11-02T02:00", "2026-11-02T13:00", None, id="autumn, 21:00"),
]


@pytest.mark.parametrize(("at", "opens", "closes"), CLOCK_CHANGES)
def test_the_window_is_right_to_the_minute_when_the_clocks_change(
    at: str, opens: str | None, closes: str | None
) -> None:
    """Opening and closing follow the wall clock of New York, not a count of hours."""
    check = check_quiet_hours(NEW_YORK, at=utc(at))
    assert check.can_send is (closes is not None)
    assert check.next_send_at == (utc(opens) if opens else None)
    assert check.closes_at == (utc(closes) if closes else None)


# Unknown zones

NO_PLACES = [
    None,
    "",
    " ",
    "EST",
    "EDT",
    "MST",
    "EST5EDT",
    "UTC",
    "GMT",
    "Z",
    "+05:00",
    "GMT+5",
    "Etc/GMT+5",
    "Etc/UTC",
    "Etc/Unknown",
    "local",
    "localtime",
    "Factory",
    "posixrules",
    "../x",
    "/etc/localtime",
    "America",
    "America/",
    "America/NewYork",
    "America/New_York ",
    "America/New_York\n",
    "america/new_york",
    "America/New\0York",
    "Eastern Standard Time",
    "right/UTC",
    "x" * 300,
    "America/" + "x" * 300,
]
MORNING = utc("2027-01-12T13:30")
"""08:30 in New York, 07:30 in Chicago, 03:30 in Honolulu."""


@pytest.mark.parametrize("zone", NO_PLACES, ids=lambda zone: repr(zone)[:40])
def test_a_zone_that_names_no_place_falls_back_to_the_business(zone: str | None) -> None:
    """The business's zone then decides alone, and the rule says so."""
    check = check_quiet_hours(zone, at=MORNING, fallback="America/Chicago", rules="federal")
    assert check.rule == "08:00–21:00 in America/Chicago, the business's zone (the customer's is unknown)"
    assert check.next_send_at == utc("2027-01-12T14:00")


@pytest.mark.parametrize("zone", NO_PLACES, ids=lambda zone: repr(zone)[:40])
def test_with_no_known_zone_a_text_waits_until_it_is_day_in_every_us_zone(zone: str | None) -> None:
    """Honolulu opens last, at 18:00 UTC in winter."""
    check = check_quiet_hours(zone, at=MORNING, fallback=zone, rules="federal")
    assert check.rule == "08:00–21:00 in every US zone (the customer's and the business's are unknown)"
    assert check.next_send_at == utc("2027-01-12T18:00")


@pytest.mark.parametrize("day", ["2027-01-12", "2027-07-13", "2026-03-08", "2026-11-01"])
def test_an_unknown_zone_is_never_a_license(day: str) -> None:
    """At every quarter of an hour it is open exactly when the clocks of all US zones show day."""
    for at in quarters(utc(day), utc(day) + timedelta(days=2)):
        day_everywhere = all(time(8) <= clock_in(zone, at) < time(21) for zone in US_ZONES)
        assert check_quiet_hours(None, at=at).can_send is day_everywhere, at


def test_the_customers_own_zone_wins_over_the_businesss() -> None:
    """A customer in Honolulu of a business in New York sleeps by Honolulu's clock."""
    check = check_quiet_hours("Pacific/Honolulu", at=MORNING, fallback=NEW_YORK)
    assert check.rule == "08:00–21:00 in Pacific/Honolulu, the customer's zone"
    assert check.next_send_at == utc("2027-01-12T18:00")


def test_every_us_zone_is_a_place_of_the_pinned_tables() -> None:
    """The fallback of last resort must itself be known."""
    assert set(US_ZONES) <= data.place_names()


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
    assert check_quiet_hours(zone, at=permitted, rules="federal").can_send


@settings(max_examples=200)
@given(zone=maybe_places, at=instants)
def test_a_text_put_off_to_the_opening_is_not_put_off_again(zone: str | None, at: datetime) -> None:
    """Asking at the answer gives the answer."""
    permitted = first_permitted(zone, at)
    assert first_permitted(zone, permitted) == permitted


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
    assert closes > opening
    assert not check_quiet_hours(zone, at=closes, rules="federal").can_send
    for moment in [*quarters(opening, closes), closes - timedelta(microseconds=1)]:
        assert check_quiet_hours(zone, at=moment, rules="federal").can_send, moment


@settings(max_examples=200)
@given(zone=maybe_places, at=instants)
def test_the_next_closing_is_the_one_that_a_check_at_the_opening_gives(zone: str | None, at: datetime) -> None:
    """In every zone and on every day, those on which the clocks change included."""
    check = check_quiet_hours(zone, at=at, rules="federal")
    if check.next_send_at is not None:
        assert check.next_closes_at == check_quiet_hours(zone, at=check.next_send_at, rules="federal").closes_at


# An oracle: step through the minutes and read the clock on the wall. No local time is ever built.

HARD_ZONES = [
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/Adak",
    "America/Anchorage",
    "America/Asuncion",
    "America/Chicago",
    "America/Denver",
    "America/Edmonton",
    "America/Halifax",
    "America/Havana",
    "America/Los_Angeles",
    "America/New_York",
    "America/Nuuk",
    "America/Phoenix",
    "America/Santiago",
    "America/Scoresbysund",
    "America/St_Johns",
    "America/Toronto",
    "America/Vancouver",
    "America/Winnipeg",
    "Antarctica/Casey",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Gaza",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Europe/Dublin",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Pacific/Easter",
    "Pacific/Honolulu",
]
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
