"""Where the person may be: a set of zones with their origins, never a guess."""

from datetime import UTC, datetime, timedelta
from itertools import product

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from smsretry import data
from smsretry.phone import recipient_problem
from smsretry.quiet_hours.check import check_quiet_hours
from smsretry.quiet_hours.location import Location, locate
from smsretry.quiet_hours.numbers import US_ZONES
from smsretry.quiet_hours.rules import EVERY_STATE

NY, CHICAGO, DENVER, PHOENIX, LA = (
    f"America/{city}"
    for city in ("New_York", "Chicago", "Denver", "Phoenix", "Los_Angeles")
)
BOISE, CENTER = "America/Boise", "America/North_Dakota/Center"
EDMONTON, VANCOUVER, TORONTO, WINNIPEG = (
    f"America/{city}" for city in ("Edmonton", "Vancouver", "Toronto", "Winnipeg")
)


def zones(location: Location) -> set[str]:
    """The names of the set."""
    return {zone.name for zone in location.zones}


def states(location: Location) -> set[str]:
    """The states whose rules apply."""
    return {state.name for state in location.states}


def at_area_code(npa: int) -> Location:
    """Somebody of whom only the number is known."""
    return locate(None, phone=f"+1{npa}5550123")


ZONES: list[tuple[tuple[int, ...], set[str]]] = [
    # Split area codes, for which the answer of phonenumbers depends on the exchange; three overlays of such.
    ((219, 270, 364, 423, 448, 574, 606, 812, 850, 906, 930), {CHICAGO, NY}),
    ((605, 701), {CHICAGO, DENVER, CENTER}),
    ((208, 775), {BOISE, DENVER, LA}),
    (
        (907,),
        {"America/Adak", "America/Anchorage", "America/Juneau", "Pacific/Honolulu"},
    ),
    (
        (867,),
        {
            EDMONTON,
            "America/Fort_Nelson",
            TORONTO,
            VANCOUVER,
            "America/Whitehorse",
            WINNIPEG,
        },
    ),
    # Where phonenumbers is wrong.
    ((689,), {NY}),
    ((474,), {EDMONTON, "America/Regina"}),
    # Abroad.
    ((876,), {"America/Jamaica"}),
    ((671,), {"Pacific/Guam"}),
]


def test_an_area_code_gives_every_zone_it_reaches_into() -> None:
    """Split area codes, the library's errors, and overlays of split ones. Guam is a US territory, Jamaica is abroad."""
    for npas, expected in ZONES:
        for npa in npas:
            assert zones(at_area_code(npa)) == expected, npa
    assert (at_area_code(876).country, at_area_code(671).country) == ("JM", "US")


def test_an_area_code_in_no_table_gives_every_us_zone_and_every_state() -> None:
    """It may be anywhere in the country, and any state's rules may hold, also where the customer's zone is known."""
    for npa in (328, 535, 761):
        location = at_area_code(npa)
        assert (zones(location), states(location)) == (set(US_ZONES), {EVERY_STATE})
        assert f"area code {npa} is in no table" in location.where
    location = locate("America/Kentucky/Louisville", phone="+13285550123")
    assert (zones(location), states(location)) == (
        {*US_ZONES, "America/Kentucky/Louisville"},
        {EVERY_STATE, "KY"},
    )


REFUSED = {
    "toll-free": ("+18005550123", "+18885550123", "+448001111111"),
    "premium-rate": ("+19005550123", "+449012345678"),
    "personal": ("+15005550123", "+447012345678"),
    "pager": ("+447640123456",),
    "service code": ("+12115550123", "+19115550123"),
    "kept for longer numbers": ("+12905550123",),
    "no area code": ("+15555550123",),
    "emergency": ("+17105550123",),
    "fewer than 7 digits": ("", "n/a", "12345"),
}


def test_a_number_that_is_nobodys_phone_is_refused_by_name() -> None:
    """Whatever zone is known besides; the reason never quotes the number."""
    for reason, phones in REFUSED.items():
        for phone in phones:
            location = locate(NY, phone=phone, business_timezone=CHICAGO)
            assert reason in (location.refused or ""), phone
            assert not location.zones
            assert not phone or phone not in (location.refused or "")
            assert recipient_problem(phone) == location.refused


def test_a_customer_is_where_the_number_may_be_from_in_the_stored_zone_and_at_the_business_of_its_calling_code() -> (
    None
):
    """A Floridian number in Louisville: both clocks, both states' rules. Each member says where it came from.

    Nobody with a Japanese number is thought to be in New York. An offset may be anybody's.
    """
    louisville = "America/Kentucky/Louisville"
    in_louisville = locate(louisville, phone="+13055550123", business_timezone=LA)
    assert (zones(in_louisville), states(in_louisville)) == (
        {NY, louisville, LA},
        {"FL", "KY"},
    )
    assert in_louisville.where == (
        f"{NY}, area code 305, and {louisville}, the customer's zone, and {LA}, the business's zone"
    )
    location = locate(None, phone="+18505550123", business_timezone=DENVER)
    of_number = dict.fromkeys((CHICAGO, NY), "area code 850")
    assert {zone.name: zone.origin for zone in location.zones} == of_number | {
        DENVER: "the business's zone"
    }
    assert zones(locate(None, phone="+18765550123", business_timezone=NY)) == {
        "America/Jamaica",
        NY,
    }
    assert zones(
        locate(None, phone="+441481960194", business_timezone="Europe/London")
    ) >= {"Europe/London"}
    for business in (NY, "US/Eastern", "Eastern Standard Time"):
        location = locate(None, phone="+819012345678", business_timezone=business)
        assert zones(location) == {"Asia/Tokyo"}
    location = locate(None, phone="+819012345678", business_timezone="UTC+9")
    assert zones(location) == {"Asia/Tokyo", "UTC+09:00"}


ALIASES = {
    "EST": {NY},
    "edt": {NY},
    " CST ": {CHICAGO},
    "US Eastern": {NY},
    "Eastern Standard Time": {NY},
    "US Mountain Standard Time": {PHOENIX},
    "MST": {DENVER, PHOENIX},
    "PST8PDT": {LA},
    "Tokyo Standard Time": {"Asia/Tokyo"},
}


def test_what_people_and_windows_write_is_read_as_the_place_it_stands_for() -> None:
    """`EST` has summer time here, unlike IANA's."""
    for name, expected in ALIASES.items():
        location = locate(name)
        assert zones(location) == expected


# Abroad

CORRECTED = {
    "+6281234567890": {"Asia/Jakarta", "Asia/Jayapura", "Asia/Makassar"},
    "+5581912345678": {"America/Recife", "America/Noronha"},
    "+212650123456": {"Africa/Casablanca", "Africa/El_Aaiun"},
    "+526361234567": {"America/Chihuahua", "America/Ciudad_Juarez"},
    "+74012123456": {"Europe/Kaliningrad"},
}


def test_numbers_abroad_that_the_library_gets_wrong_have_our_own_zones() -> None:
    """It knows Jakarta alone for Indonesia. A Russian mobile may be in Kaliningrad or, ten hours away, in Kamchatka.

    A satellite phone may be anywhere: its text is held, whatever zones are stored.
    """
    nowhere = locate(NY, phone="+870773111632", business_timezone=NY)
    assert (nowhere.zones, nowhere.why_code) == ((), "no_time_zone")
    assert "correct customers.phone" in (nowhere.why_held or "")
    for phone, expected in CORRECTED.items():
        assert zones(locate(None, phone=phone)) == expected
    assert {"Europe/Kaliningrad", "Asia/Kamchatka"} <= zones(
        locate(None, phone="+79123456789")
    )


SEASONS = [datetime(2027, month, 2, tzinfo=UTC) for month in (1, 4, 7, 10, 12)]
MOBILES = {
    region: phonenumbers.format_number(number, PhoneNumberFormat.E164)
    for region in sorted(phonenumbers.SUPPORTED_REGIONS)
    if (number := phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE))
}


def test_a_mobile_of_any_country_has_an_hour_within_eight_days_whatever_us_zone_the_business_has() -> (
    None
):
    """In some season: another one for each pair of a country and a zone."""
    assert len(MOBILES) > 219
    for n, (region, business) in enumerate(
        product(MOBILES, (None, *US_ZONES, "America/Puerto_Rico"))
    ):
        at = SEASONS[n % len(SEASONS)]
        check = check_quiet_hours(None, at=at, phone=MOBILES[region], fallback=business)
        assert check.can_send or check.next_send_at is not None, (
            region,
            business,
            at,
            check.why_held,
        )
        assert (check.next_send_at or at) - at < timedelta(days=8)


# The tables


def test_every_zone_of_every_table_is_a_place_and_every_row_of_our_own_has_a_source() -> (
    None
):
    """A misspelt row would hold texts for ever; a rule without a source is an opinion."""
    named = {
        zone
        for row in data.table("npa_zones")
        for zone in row["conservative_union"].split("+")
    }
    for name in ("npa_overrides", "zone_aliases", "number_zones"):
        named |= {
            zone for row in data.table(name) for zone in row["zones"].split("+") if zone
        }
    named |= {row["zone"] for row in data.table("zone_states")} | set(US_ZONES)
    assert named <= data.zone_names()
    for name in (
        *(
            "country_windows",
            "holiday_overrides",
            "us_quiet_hours",
            "npa_overrides",
            "npa_refused",
            "number_zones",
        ),
        *("zone_aliases", "zone_states"),
    ):
        assert all(row["source"] for row in data.table(name)), name
