"""Where the person who is texted may be: a set of zones, and the US states whose rules apply.

The customer's zone is asked first, then the area code, then the business's zone, which joins the set and stands
alone only when there is no number to say otherwise. A set is never empty without a reason a person can act on.
"""

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

import phonenumbers
from pendulum.tz.data.windows import windows_timezones
from phonenumbers.timezone import time_zones_for_geographical_number, time_zones_for_number

from smsretry import data
from smsretry.phone import area_code, recipient_problem

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
"""The clocks of the fifty states. Open in all of them: seven or eight hours a day."""
_NANP_WIDE: Final = 10
"""`phonenumbers` answers 42 zones for an area code of +1 that it does not know; no place has more than this many."""
_US_TERRITORIES: Final = frozenset({"AS", "GU", "MP", "PR", "VI"})
_CUSTOMER: Final = "the customer's zone"
_BUSINESS: Final = "the business's zone"


@dataclass(frozen=True, slots=True)
class Found:
    """A zone or a state, and what it was found by."""

    name: str
    origin: str


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """What is known of where somebody is.

    The set of zones is empty when the number is refused, or when the text must be held until somebody sets a zone.
    """

    zones: tuple[Found, ...]
    states: tuple[Found, ...] = ()
    country: str | None = None
    """ISO code of the number's country; None without a number. US territories count as US."""
    where: str = ""
    """The zones and their origin in a few words."""
    notes: tuple[str, ...] = ()
    """What was given and not understood."""
    refused: str | None = None
    """Why no text can be sent to this number at all. Never quotes it."""
    held: str | None = None
    """Why no zone is known, and what to do."""


@dataclass(frozen=True, slots=True)
class _Number:
    """What a phone number alone says."""

    country: str | None
    zones: tuple[str, ...]
    states: tuple[str, ...]
    origin: str


@cache
def _area_codes() -> dict[str, _Number]:
    rows = [
        *((row, row["conservative_union"]) for row in data.table("npa_zones")),
        *((row, row["zones"]) for row in data.table("npa_overrides")),
    ]
    return {row["npa"]: _from_row(row, zones) for row, zones in rows}


def _from_row(row: dict[str, str], zones: str) -> _Number:
    country = "US" if row["country"] in _US_TERRITORIES else row["country"]
    states = tuple(row["state_or_province"].split("/")) if country == "US" else ()
    return _Number(country, tuple(zones.split("+")), states, f"area code {row['npa']}")


@cache
def _aliases() -> dict[str, tuple[str, ...]]:
    windows = {name.casefold(): (zone,) for name, zone in windows_timezones.items() if zone in data.place_names()}
    return windows | {row["alias"].casefold(): tuple(row["zones"].split("+")) for row in data.table("zone_aliases")}


@cache
def _zone_states() -> dict[str, tuple[str, ...]]:
    return {row["zone"]: tuple(row["states"].split("+")) for row in data.table("zone_states")}


@cache
def _country_zones() -> dict[str, tuple[str, ...]]:
    return {row["country"]: tuple(row["zones"].split("+")) for row in data.table("country_windows") if row["zones"]}


def whereabouts(
    timezone: str | None, *, phone: str | None = None, fallback: str | None = None, names: bool = True
) -> Whereabouts:
    """The zones somebody may be in, and the states whose rules apply to them.

    Args:
        timezone: the customer's zone as stored.
        phone: the customer's number, E.164.
        fallback: the business's zone.
        names: whether Windows names and abbreviations (`EST`, `US Eastern`) are read as the place they stand for;
            otherwise only IANA names of places count.
    """
    if phone is None:
        return _combine(timezone, None, fallback, names)
    if problem := recipient_problem(phone):
        return Whereabouts((), refused=problem)
    if npa := area_code(phone):
        return _combine_area_code(timezone, npa, fallback, names)
    return _combine(timezone, _abroad(phone), fallback, names)


@lru_cache(maxsize=8192)
def _combine_area_code(timezone: str | None, npa: str, fallback: str | None, names: bool) -> Whereabouts:
    return _combine(timezone, _area_codes().get(npa) or _nanp(npa), fallback, names)


def _nanp(npa: str) -> _Number:
    """An area code of +1 that is in no table: a Caribbean one, or one that is newer than the tables."""
    number = phonenumbers.PhoneNumber(country_code=1, national_number=int(f"{npa}5552345"))
    zones = time_zones_for_geographical_number(number)
    if len(zones) > _NANP_WIDE or not set(zones) <= data.place_names():
        return _Number("US", US_ZONES, (), f"every US zone (area code {npa} is in no table)")
    region = phonenumbers.region_code_for_number(number)
    us = region in _US_TERRITORIES
    return _Number("US" if us else region or "*", zones, (region,) if us and region else (), f"area code {npa}")


def _abroad(phone: str) -> _Number:
    number = phonenumbers.parse(phone)
    code = f"+{number.country_code}"
    country = phonenumbers.region_code_for_number(number) or phonenumbers.region_code_for_country_code(
        number.country_code or 0
    )
    zones = _country_zones().get(country) or time_zones_for_number(number)
    return _Number(country, tuple(zone for zone in zones if zone in data.place_names()), (), f"a {code} number")


@lru_cache(maxsize=8192)
def _combine(timezone: str | None, number: _Number | None, fallback: str | None, names: bool) -> Whereabouts:
    own, notes = _places(timezone, _CUSTOMER, names)
    business, more_notes = _places(fallback, _BUSINESS, names)
    country = number.country if number else None
    states = [Found(state, number.origin) for state in number.states] if number else []
    if own:
        states += [Found(state, _CUSTOMER) for zone in own for state in _zone_states().get(zone, ())]
        found, where = [Found(zone, _CUSTOMER) for zone in own], f"{_listed(own)}, {_CUSTOMER}"
    elif number:
        if not number.zones:
            held = f"No time zone is known for {number.origin}: set the customer's timezone to where they are"
            return Whereabouts((), tuple(states), country, notes=notes + more_notes, held=held)
        found = [Found(zone, number.origin) for zone in number.zones]
        found += [Found(zone, _BUSINESS) for zone in business if zone not in number.zones]
        where = number.origin if number.zones == US_ZONES else f"{_listed(number.zones)}, {number.origin}"
        if len(found) > len(number.zones):
            where += f", and {_listed(business)}, {_BUSINESS}"
    elif business:
        found = [Found(zone, _BUSINESS) for zone in business]
        where = f"{_listed(business)}, {_BUSINESS} (the customer's is unknown)"
    else:
        found = [Found(zone, "every US zone") for zone in US_ZONES]
        where = "every US zone (the customer's and the business's are unknown)"
    return Whereabouts(tuple(found), tuple(_once(states)), country, where, notes + more_notes)


def _places(name: str | None, whose: str, names: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The places a stored zone name stands for, or none and the reason."""
    if name is None or not name.strip():
        return (), ()
    if name in data.place_names():
        return (name,), ()
    if names and (zones := _aliases().get(name.strip().casefold())):
        return zones, (f"{whose} {name[:40]!r} is read as {_listed(zones)}",)
    return (), (f"{whose} {name[:40]!r} names no place: use an IANA name such as America/Chicago",)


def _listed(zones: tuple[str, ...]) -> str:
    return " and ".join(zones)


def _once(states: list[Found]) -> list[Found]:
    """Each state once, with the origin it was first found by."""
    return list({state.name: state for state in reversed(states)}.values())[::-1]
