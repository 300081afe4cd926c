"""What a phone number alone says about where its owner may be: country, zones and US states.

A number proves little. People keep their numbers when they move, so the states found here count
beside the ones of the customer's own zone.
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
from smsretry.quiet_hours.rules import EVERY_STATE

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


@dataclass(frozen=True, slots=True)
class Number:
    """The places that a phone number alone tells."""

    country: str | None
    """ISO code. US territories count as US; `*` is a country that nobody knows."""
    calling_code: int
    """1 for the North American plan, 33 for France."""
    zones: tuple[str, ...]
    """Empty when no zone is known."""
    states: tuple[str, ...]
    """`EVERY_STATE` when the area code is in no table."""
    origin: str
    """How it was found, such as `area code 212`. Holds no more of the number."""

    def may_be_from(self, zone: str) -> bool:
        """Whether a zone may lie in a country that has this number's calling code. An offset may lie in any."""
        regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(self.calling_code, ())
        countries = data.zone_countries(zone)
        return not countries or not countries.isdisjoint(regions)


@cache
def of_area_code(npa: str) -> Number:
    """The places that the three digits after +1 tell.

    A code that is in no table is a Caribbean one, or newer than the tables: then it may be anywhere in the US, and the
    rules of every state hold.
    """
    if listed := _area_codes().get(npa):
        return listed
    number = phonenumbers.PhoneNumber(
        country_code=1, national_number=int(f"{npa}5552345")
    )
    zones = time_zones_for_geographical_number(number)
    if len(zones) > _MOST_ZONES or not set(zones) <= data.zone_names():
        return Number(
            "US", 1, US_ZONES, (EVERY_STATE,), f"area code {npa} is in no table"
        )
    region = phonenumbers.region_code_for_number(number)
    us = region in _US_TERRITORIES
    return Number(
        "US" if us else region or "*",
        1,
        zones,
        (region,) if us and region else (),
        f"area code {npa}",
    )


def abroad(phone: str) -> Number:
    """The places that a well-formed number outside the North American plan tells."""
    number = phonenumbers.parse(phone)
    code = number.country_code or 0
    country = phonenumbers.region_code_for_number(
        number
    ) or phonenumbers.region_code_for_country_code(code)
    ours = (_number_zones().get(phone[:length]) for length in range(len(phone), 1, -1))
    # A number that the library does not know, of a new range perhaps, may be anywhere in its country.
    looks = (*ours, time_zones_for_number(number), TIMEZONE_DATA.get(str(code)))
    places = data.zone_names()
    return Number(
        country,
        code,
        next((zones for zones in looks if zones and places.issuperset(zones)), ()),
        (),
        f"a +{code} number",
    )


@cache
def _area_codes() -> dict[str, Number]:
    rows = [
        *((row, row["conservative_union"]) for row in data.table("npa_zones")),
        *((row, row["zones"]) for row in data.table("npa_overrides")),
    ]
    return {row["npa"]: _from_row(row, zones) for row, zones in rows}


def _from_row(row: dict[str, str], zones: str) -> Number:
    country = "US" if row["country"] in _US_TERRITORIES else row["country"]
    states = tuple(row["state_or_province"].split("/")) if country == "US" else ()
    return Number(
        country, 1, tuple(zones.split("+")), states, f"area code {row['npa']}"
    )


@cache
def _number_zones() -> dict[str, tuple[str, ...]]:
    """Beginnings of numbers abroad for which `phonenumbers` gives the wrong zones."""
    return {
        row["prefix"]: tuple(row["zones"].split("+"))
        for row in data.table("number_zones")
    }
