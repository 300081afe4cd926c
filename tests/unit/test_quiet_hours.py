"""When a text may go out: 08:00–21:00 on the recipient's own clock, and never on a guess."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from smsretry import data
from smsretry.quiet_hours.check import check_quiet_hours, due_after_opening

NEW_YORK = "America/New_York"


def utc(text: str) -> datetime:
    """An instant, written in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


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
        assert (
            check_quiet_hours(
                NEW_YORK, at=datetime.fromisoformat(f"2027-01-12T{clock}-05:00")
            ).can_send
            is is_open
        )


MORNING = utc("2027-01-12T13:30")
"""08:30 in New York, 07:30 in Chicago, 05:30 in Los Angeles, 03:30 in Honolulu."""
EARLY = utc("2027-01-12T10:15")
"""05:15 in New York."""
STORED: dict[str, str] = {
    # what stands in the column, and the clock that it adds to the number's
    "America/Los_Angeles ": "America/Los_Angeles",
    "america/los_angeles": "America/Los_Angeles",
    "\tAMERICA/LOS_ANGELES\n": "America/Los_Angeles",
    "Pacific Time (US & Canada)": "America/Los_Angeles",
    "Pacific Standard Time": "America/Los_Angeles",
    "PST8PDT": "America/Los_Angeles",
    "UTC-8": "UTC-08:00",
    "gmt-08:00": "UTC-08:00",
    "-0800": "UTC-08:00",
    "Etc/GMT+8": "Etc/GMT+8",
    "UTC": "UTC",
    "z": "Etc/UTC",
    "+01:00": "UTC+01:00",
    "+05:45": "UTC+05:45",
    "Japan": "Japan",
}
UNREADABLE = (
    *("Z+", "local", "localtime", "Factory", "posixrules", "../x", "/etc/localtime", "America", "America/"),
    *("America/NewYork", "America/New York", "America/New\0York", "right/UTC", "x" * 300, "UTC+25", "+01:75", "GMT+"),
    *("EST/EDT", "New York", "null", "-5.5", "+12125550123", "Etc/Unknown"),
)  # fmt: skip


def test_a_stored_zone_adds_its_clock_to_the_numbers_and_replaces_none() -> None:
    """Without case and outer blanks; an offset is a clock like any other. All were texted at 05:15 in New York."""
    for stored, clock in STORED.items():
        check = check_quiet_hours(stored, at=EARLY, phone="+12125550123")
        assert [zone.name for zone in check.zones] == [NEW_YORK, clock], stored
        assert check.next_send_at is not None
        for zone in (NEW_YORK, clock):
            local = check.next_send_at.in_timezone(data.clock(zone))
            assert 8 <= local.hour < 21, stored


def test_a_stored_zone_that_is_not_understood_holds_the_text_also_the_businesss() -> (
    None
):
    """It says what to correct and quotes nothing: anything may be in a wrong column. An empty one says nothing."""
    for zone in UNREADABLE:
        for stored, business, column in (
            (zone, None, "customers.timezone"),
            (NEW_YORK, zone, "businesses.timezone"),
        ):
            check = check_quiet_hours(
                stored, at=MORNING, phone="+12125550123", fallback=business
            )
            assert (check.can_send, check.why_code) == (False, "hours_unreadable")
            assert column in (check.why_held or "")
            assert "5550123" not in (check.why_held or "")
    for nothing in (None, "", " \t"):
        assert check_quiet_hours(nothing, at=MORNING, phone="+12125550123").can_send


@settings(max_examples=100)
@given(
    stored=st.sampled_from([*sorted(data.zone_names()), *STORED, *UNREADABLE, ""]),
    phone=st.sampled_from(
        [*(f"+1{npa}5550123" for npa in (212, 305, 328, 502, 808, 876, 907)), "+447700900123", "+881612345678"]
    ),
    fallback=st.sampled_from([None, NEW_YORK, "America/Denver", "UTC"]),
    at=st.datetimes(
        min_value=datetime(2027, 1, 1),  # noqa: DTZ001 - in UTC, below
        max_value=datetime(2028, 1, 1),  # noqa: DTZ001
        timezones=st.just(UTC),
    ),
)  # fmt: skip
def test_whatever_zone_is_stored_no_text_goes_out_that_would_wait_without_it(
    stored: str, phone: str, fallback: str | None, at: datetime
) -> None:
    """It narrows the hours and never widens them, for any number, business and instant."""
    with_zone = check_quiet_hours(stored, at=at, phone=phone, fallback=fallback)
    without = check_quiet_hours(None, at=at, phone=phone, fallback=fallback)
    assert without.can_send or not with_zone.can_send


def test_without_a_number_the_stored_zones_count_and_without_them_every_us_zone() -> (
    None
):
    """Honolulu opens last."""
    for zone, fallback, opens in (
        (None, "America/Chicago", "2027-01-12T14:00"),
        ("Pacific/Honolulu", NEW_YORK, "2027-01-12T18:00"),
        (None, None, "2027-01-12T18:00"),
    ):
        check = check_quiet_hours(zone, at=MORNING, fallback=fallback)
        assert check.next_send_at == utc(opens)


def test_texts_that_wait_for_one_opening_are_spread_over_it_and_not_past_its_closing() -> (
    None
):
    """However long the owner spreads them."""
    opens = datetime(2026, 11, 24, 13, tzinfo=UTC)
    closes = opens + timedelta(minutes=5)
    turns = {
        due_after_opening(
            opens, key=UUID(int=key), spread=timedelta(hours=1), closes_at=closes
        )
        for key in range(100)
    }
    assert opens <= min(turns) < max(turns) < closes
