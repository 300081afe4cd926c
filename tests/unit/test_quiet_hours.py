"""When a text may go out: 08:00–21:00 on the recipient's own clock, and never on a guess."""

from datetime import UTC, datetime

from smsretry.quiet_hours.check import check_quiet_hours
from smsretry.quiet_hours.numbers import US_ZONES

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


NO_PLACES = (None, "", " ", "EST", "EDT", "MST", "EST5EDT", "UTC", "GMT", "Z", "+05:00", "GMT+5", "Etc/GMT+5",
             "Etc/UTC", "Etc/Unknown", "local", "localtime", "Factory", "posixrules", "../x", "/etc/localtime",
             "America", "America/", "America/NewYork", "America/New_York ", "America/New_York\n", "america/new_york",
             "America/New\0York", "Eastern Standard Time", "right/UTC", "x" * 300, "America/" + "x" * 300)  # fmt: skip
MORNING = utc("2027-01-12T13:30")
"""08:30 in New York, 07:30 in Chicago, 03:30 in Honolulu."""


def test_a_zone_that_names_no_place_falls_back_to_the_business_and_is_never_a_license() -> (
    None
):
    """The business's zone then decides alone. Without that it must be day in every US zone; Honolulu opens last."""
    for zone in NO_PLACES:
        check = check_quiet_hours(
            zone, at=MORNING, fallback="America/Chicago", rules="federal"
        )
        assert (check.next_send_at, [one.name for one in check.zones]) == (
            utc("2027-01-12T14:00"),
            ["America/Chicago"],
        )
        check = check_quiet_hours(zone, at=MORNING, fallback=zone, rules="federal")
        assert (check.next_send_at, len(check.zones)) == (
            utc("2027-01-12T18:00"),
            len(US_ZONES),
        )
    own = check_quiet_hours("Pacific/Honolulu", at=MORNING, fallback=NEW_YORK)
    assert (own.next_send_at, [zone.name for zone in own.zones]) == (
        utc("2027-01-12T18:00"),
        ["Pacific/Honolulu"],
    )
