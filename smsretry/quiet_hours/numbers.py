"""What a phone number alone says about where its owner may be: country, zones and US states.

A number proves little. People keep their numbers when they move, so these places count beside the customer's own zone.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final

import phonenumbers
from phonenumbers.timezone import (
    time_zones_for_geographical_number,
    time_zones_for_number,
)
from phonenumbers.tzdata import TIMEZONE_DATA

from smsretry import data
from smsretry.quiet_hours.rules import EVERY_STATE, Names

US_ZONES: Final = (
    "America/New_York",
    "America/Chicago",
    "America/Denver",
    "America/Phoenix",
    "America/Los_Angeles",
    "America/Anchorage",
    "America/Adak",
    "Pacific/Honolulu",
)
"""The clocks of the fifty states. A window is open in all of them for seven or eight hours a day."""
_MOST_ZONES: Final = 10
"""No place has more zones than this. `phonenumbers` returns 42 for an area code of +1 that it does not know."""
_US_TERRITORIES: Final = frozenset({"AS", "GU", "MP", "PR", "VI"})


@dataclass(
    frozen=True,
    slots=True,
    kw_only=True,
)
class NumberPlaces:
    """The places that a phone number alone tells."""

    country: str
    """ISO code. US territories count as US. A satellite phone has `001`, and `*` is an unknown country."""
    calling_code: int = 1
    """1 for the North American plan, 33 for France."""
    zones: Names
    """Empty when no zone is known."""
    states: Names
    """`EVERY_STATE` when the area code is in no table."""
    origin: str
    """The part of the number that tells the places, such as `area code 212`. Holds no more of the number."""

    def may_be_from(self, zone: str) -> bool:
        """Whether a zone may lie in a country that has this number's calling code. An offset may lie in any."""
        regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(self.calling_code, ())
        countries = data.zone_countries(zone)
        return not countries or not countries.isdisjoint(regions)


@cache
def area_code_places(npa: str) -> NumberPlaces:
    """The places that the three digits after +1 tell.

    A code that is in no table is a Caribbean one, or newer than the tables: then it may be anywhere in the US, and the
    rules of every state hold.
    """
    if places := _table_places().get(npa):
        return places
    number = phonenumbers.PhoneNumber(
        country_code=1, national_number=int(f"{npa}5552345")
    )
    zones = time_zones_for_geographical_number(number)
    if len(zones) > _MOST_ZONES or not set(zones) <= data.zone_names():
        return NumberPlaces(
            country="US",
            zones=US_ZONES,
            states=(EVERY_STATE,),
            origin=f"area code {npa} is in no table",
        )
    country = phonenumbers.region_code_for_number(number) or "*"
    is_territory = country in _US_TERRITORIES
    return NumberPlaces(
        country="US" if is_territory else country,
        zones=zones,
        states=(country,) if is_territory else (),
        origin=f"area code {npa}",
    )


def places_abroad(phone: str) -> NumberPlaces:
    """The places that a well-formed number outside the North American plan tells."""
    number = phonenumbers.parse(phone)
    code = number.country_code or 0
    country = phonenumbers.region_code_for_number(number)
    return NumberPlaces(
        country=country or phonenumbers.region_code_for_country_code(code),
        calling_code=code,
        zones=_zones_abroad(phone, number),
        states=(),
        origin=f"a +{code} number",
    )


def _zones_abroad(phone: str, number: phonenumbers.PhoneNumber) -> Names:
    """The zones of our table's longest prefix, else those that the library knows; none if all are unknown."""
    prefixes = [phone[:length] for length in range(len(phone), 1, -1)]
    # Those for which the library has the wrong zones.
    ours = data.lists("number_zones", "prefix", "zones")
    candidates = [ours.get(prefix) for prefix in prefixes]
    candidates.append(time_zones_for_number(number))
    # A number that the library does not know, of a new range perhaps, may be anywhere in its country.
    candidates.append(TIMEZONE_DATA.get(str(number.country_code)))
    for zones in candidates:
        if zones and data.zone_names().issuperset(zones):
            return zones
    return ()


@cache
def _table_places() -> dict[str, NumberPlaces]:
    places = {
        row["npa"]: _row_places(row, row["conservative_union"])
        for row in data.table("npa_zones")
    }
    overrides = {
        row["npa"]: _row_places(row, row["zones"])
        for row in data.table("npa_overrides")
    }
    return places | overrides


def _row_places(row: dict[str, str], zones: str) -> NumberPlaces:
    country = row["country"]
    if country in _US_TERRITORIES:
        country = "US"
    states = row["state_or_province"].split("/") if country == "US" else ()
    return NumberPlaces(
        country=country,
        zones=tuple(zones.split("+")),
        states=tuple(states),
        origin=f"area code {row['npa']}",
    )
