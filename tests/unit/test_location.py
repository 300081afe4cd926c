"""Where the person may be: a set of zones with their origins, never a guess."""

import pytest

from smsretry import data
from smsretry.phone import recipient_problem
from smsretry.quiet_hours.location import Location, locate
from smsretry.quiet_hours.numbers import US_ZONES
from smsretry.quiet_hours.rules import EVERY_STATE

NY, CHICAGO, DENVER, PHOENIX, LA = (
    "America/New_York",
    "America/Chicago",
    "America/Denver",
    "America/Phoenix",
    "America/Los_Angeles",
)
BOISE, CENTER = "America/Boise", "America/North_Dakota/Center"
EDMONTON, HALIFAX, ST_JOHNS = "America/Edmonton", "America/Halifax", "America/St_Johns"
VANCOUVER, TORONTO, WINNIPEG = "America/Vancouver", "America/Toronto", "America/Winnipeg"


def zones(found: Location) -> set[str]:
    """The names of the set."""
    return {zone.name for zone in found.zones}


def states(found: Location) -> set[str]:
    """The states whose rules apply."""
    return {state.name for state in found.states}


def at_area_code(npa: int) -> Location:
    """Somebody of whom only the number is known."""
    return locate(None, phone=f"+1{npa}5550123")


SPLIT = {
    208: {BOISE, DENVER, LA},
    219: {CHICAGO, NY},
    270: {CHICAGO, NY},
    308: {CHICAGO, DENVER},
    423: {CHICAGO, NY},
    541: {DENVER, LA},
    574: {CHICAGO, NY},
    605: {CHICAGO, DENVER, CENTER},
    606: {CHICAGO, NY},
    620: {CHICAGO, DENVER},
    701: {CHICAGO, DENVER, CENTER},
    775: {BOISE, DENVER, LA},
    785: {CHICAGO, DENVER},
    812: {CHICAGO, NY},
    850: {CHICAGO, NY},
    906: {CHICAGO, NY},
    907: {"America/Adak", "America/Anchorage", "America/Juneau", "Pacific/Honolulu"},
    928: {DENVER, PHOENIX},
    250: {EDMONTON, VANCOUVER},
    418: {HALIFAX, TORONTO},
    807: {TORONTO, WINNIPEG},
    867: {EDMONTON, "America/Fort_Nelson", TORONTO, VANCOUVER, "America/Whitehorse", WINNIPEG},
}
"""The 22 area codes whose answer in phonenumbers depends on the exchange."""
LIBRARY_WRONG = {
    219: {CHICAGO, NY},
    270: {CHICAGO, NY},
    423: {CHICAGO, NY},
    689: {NY},
    474: {EDMONTON, "America/Regina"},
    879: {HALIFAX, ST_JOHNS},
}
"""The six that phonenumbers gets wrong."""
OVERLAYS = {364: {CHICAGO, NY}, 448: {CHICAGO, NY}, 930: {CHICAGO, NY}, 458: {DENVER, LA}, 236: {EDMONTON, VANCOUVER}}
NEW = {
    201: ({NY}, {"NJ"}),
    357: ({LA}, {"CA"}),
    436: ({NY}, {"OH"}),
    457: ({CHICAGO}, {"LA"}),
    465: ({NY}, {"NY"}),
    471: ({CHICAGO}, {"MS"}),
    483: ({CHICAGO}, {"AL"}),
    621: ({CHICAGO}, {"TX"}),
    624: ({NY}, {"NY"}),
    679: ({NY}, {"MI"}),
    729: ({CHICAGO, NY}, {"TN"}),
    837: ({LA}, {"CA"}),
    861: ({CHICAGO}, {"IL"}),
    924: ({CHICAGO}, {"MN"}),
}
"""Rows of our own: in service and unknown to phonenumbers, or wrong in the table made from it."""
HOURS_TABLES = ("country_windows", "holiday_overrides", "us_quiet_hours")
OVERLAYS_OF = {
    357: 559, 457: 318, 465: 718, 471: 662, 483: 334, 624: 716, 729: 423, 837: 530, 861: 309, 924: 507,
}  # fmt: skip


@pytest.mark.parametrize(("npa", "expected"), [*SPLIT.items(), *LIBRARY_WRONG.items(), *OVERLAYS.items()])
def test_an_area_code_gives_every_zone_it_reaches_into(npa: int, expected: set[str]) -> None:
    """Split area codes, the library's errors, and overlays of split ones."""
    assert zones(at_area_code(npa)) == expected


def test_there_are_22_split_area_codes() -> None:
    """The list of the measurements is complete."""
    assert len(SPLIT) == 22


@pytest.mark.parametrize("npa", NEW)
def test_a_new_area_code_that_the_library_does_not_know_is_not_refused(npa: int) -> None:
    """It lies in one state, and has the zones that people there have."""
    found = at_area_code(npa)
    assert (zones(found), states(found)) == NEW[npa]
    assert found.refused is None


@pytest.mark.parametrize(("npa", "partner"), OVERLAYS_OF.items())
def test_an_overlay_lies_where_its_older_partner_does(npa: int, partner: int) -> None:
    """An overlay gives the same places a second area code."""
    assert zones(at_area_code(npa)) == zones(at_area_code(partner))
    assert states(at_area_code(npa)) == states(at_area_code(partner))


@pytest.mark.parametrize("npa", [328, 535, 761])
def test_an_area_code_in_no_table_gives_every_us_zone_and_every_state(npa: int) -> None:
    """It may be anywhere in the country, and any state's rules may hold."""
    found = at_area_code(npa)
    assert (zones(found), states(found)) == (set(US_ZONES), {EVERY_STATE})
    assert found.where == f"every US zone (area code {npa} is in no table)"


def test_a_caribbean_area_code_is_abroad() -> None:
    """+1 876 is Jamaica; +1 671 is Guam, a US territory."""
    assert (zones(at_area_code(876)), at_area_code(876).country) == ({"America/Jamaica"}, "JM")
    assert (zones(at_area_code(671)), at_area_code(671).country) == ({"Pacific/Guam"}, "US")


REFUSED = {
    "+18005550123": "toll-free",
    "+18335550123": "toll-free",
    "+19005550123": "premium-rate",
    "+15005550123": "personal",
    "+16005550123": "non-geographic",
    "+448001111111": "toll-free",
    "+449012345678": "premium-rate",
    "+12115550123": "service code",
    "+19115550123": "service code",
    "+12905550123": "kept for longer numbers",
    "+19995550123": "kept for longer numbers",
    "+15555550123": "no area code",
    "+17005550123": "carriers' own",
    "+17105550123": "emergency",
    "+18225550123": "kept for toll-free",
    "+18805550123": "kept for toll-free",
    "+18885550123": "is toll-free",
    "+19765550123": "no area code",
    "+10125550123": "malformed",
    "+12121550123": "malformed",
    "+1212555012": "wrong length",
    "2125550123": "not E.164",
    "": "not E.164",
    "+9992125550123": "no known country code",
}


@pytest.mark.parametrize(("phone", "why"), REFUSED.items())
def test_a_number_that_is_nobodys_phone_is_refused_by_name(phone: str, why: str) -> None:
    """Whatever zone is known besides; the reason never quotes the number."""
    found = locate(NY, phone=phone, fallback=CHICAGO)
    assert found.refused is not None
    assert why in found.refused
    assert not found.zones
    assert not phone or phone not in found.refused
    assert recipient_problem(phone) == found.refused


def test_the_customers_own_zone_is_the_only_one_but_the_area_codes_state_still_counts() -> None:
    """A Floridian number in Louisville: Kentucky's clock, both states' rules."""
    found = locate("America/Kentucky/Louisville", phone="+13055550123", fallback=LA)
    assert zones(found) == {"America/Kentucky/Louisville"}
    assert states(found) == {"FL", "KY"}


def test_the_businesss_zone_joins_the_area_codes_and_says_so() -> None:
    """Each member says where it came from."""
    found = locate(None, phone="+18505550123", fallback=DENVER)
    assert {zone.name: zone.origin for zone in found.zones} == {
        CHICAGO: "area code 850",
        NY: "area code 850",
        DENVER: "the business's zone",
    }


def test_without_a_country_the_text_is_held_whatever_the_businesss_zone_is() -> None:
    """A satellite phone may be anywhere."""
    found = locate(None, phone="+870773111632", fallback=NY)
    assert not found.zones
    assert found.held == "No time zone is known for a +870 number: set the customer's timezone to where they are"


CORRECTED = {
    "+6281234567890": {"Asia/Jakarta", "Asia/Jayapura", "Asia/Makassar"},
    "+56961234567": {"America/Coyhaique", "America/Punta_Arenas", "America/Santiago", "Pacific/Easter"},
    "+5581912345678": {"America/Recife", "America/Noronha"},
    "+5511961234567": {"America/Sao_Paulo"},
    "+212650123456": {"Africa/Casablanca", "Africa/El_Aaiun"},
    "+526141234567": {"America/Chihuahua"},
    "+526361234567": {"America/Chihuahua", "America/Ciudad_Juarez"},
    "+526671234567": {"America/Mazatlan"},
    "+74012123456": {"Europe/Kaliningrad"},
    "+213551234567": {"Africa/Algiers"},
    "+218912345678": {"Africa/Tripoli"},
    "+211977123456": {"Africa/Juba"},
    "+50581234567": {"America/Managua"},
}


@pytest.mark.parametrize(("phone", "expected"), CORRECTED.items())
def test_numbers_abroad_for_which_the_library_is_wrong_have_zones_of_our_own(phone: str, expected: set[str]) -> None:
    """It knows Jakarta alone for Indonesia, Santiago alone for Chile, and takes Recife for Noronha."""
    assert zones(locate(None, phone=phone)) == expected


def test_a_russian_mobile_may_be_in_kaliningrad_or_kamchatka() -> None:
    """Ten hours lie between them."""
    assert {"Europe/Kaliningrad", "Asia/Kamchatka"} <= zones(locate(None, phone="+79123456789"))


def test_the_businesss_zone_joins_a_number_with_its_calling_code_and_no_other() -> None:
    """Toronto and New York share +1; nobody with a Japanese number is thought to be in New York."""
    assert zones(locate(None, phone="+14165550123", fallback=LA)) == {TORONTO, LA}
    assert zones(locate(None, phone="+18765550123", fallback=NY)) == {"America/Jamaica", NY}
    assert zones(locate(None, phone="+441481960194", fallback="Europe/London")) >= {"Europe/London"}
    for business in (NY, "US/Eastern", "Eastern Standard Time"):
        found = locate(None, phone="+819012345678", fallback=business)
        assert zones(found) == {"Asia/Tokyo"}
        assert found.notes[-1].endswith("is not where a +81 number is from")


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


@pytest.mark.parametrize(("name", "expected"), ALIASES.items())
def test_names_that_stand_for_a_place_are_read_as_it(name: str, expected: set[str]) -> None:
    """Windows names and abbreviations; a note says what was made of them."""
    found = locate(name, phone="+12125550123")
    assert zones(found) == expected
    assert "is read as" in found.notes[0]


@pytest.mark.parametrize("name", ["UTC", "GMT+5", "Etc/GMT+5", "local", "America/NewYork", "x" * 300, "UTC-11"])
def test_a_name_that_stands_for_no_place_is_unknown_and_the_reason_kept(name: str) -> None:
    """The area code then decides."""
    found = locate(name, phone="+12125550123")
    assert zones(found) == {NY}
    assert "names no place" in found.notes[0]


def test_every_zone_of_every_table_is_a_place() -> None:
    """A misspelt row would hold texts for ever."""
    named = {zone for row in data.table("npa_zones") for zone in row["conservative_union"].split("+")}
    for table in ("npa_overrides", "zone_aliases", "number_zones"):
        named |= {zone for row in data.table(table) for zone in row["zones"].split("+") if zone}
    named |= {row["zone"] for row in data.table("zone_states")}
    assert named <= data.place_names()


def test_every_row_of_our_own_tables_has_a_source() -> None:
    """A rule without a source is an opinion."""
    names = [*HOURS_TABLES, "npa_overrides", "npa_refused", "number_zones", "zone_aliases", "zone_states"]
    assert all(row["source"] for name in names for row in data.table(name))
