"""Where the recipient may be: a set of clocks, and the US states whose rules apply.

The recipient may be in each place that the number may be from, in the stored zone, and in the business's zone if that
may lie in a country with the number's calling code. Nobody knows who wrote a stored zone (an application's column has a
default). So each source adds its clocks and replaces no other's: it narrows the hours, whatever it says. A stored zone
that is not understood holds the text.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

from pendulum.tz.data.windows import windows_timezones

from smsretry import data
from smsretry.phone import area_code, recipient_problem, spelling_problem
from smsretry.quiet_hours.numbers import (
    US_ZONES,
    NumberPlaces,
    area_code_places,
    places_abroad,
)
from smsretry.quiet_hours.rules import Names
from smsretry.vocabulary import WhyCode

_CUSTOMER: Final = "the customer's zone"
_BUSINESS: Final = "the business's zone"
_OFFSET: Final = r"(?:utc|gmt)? ?([+-])(0?[0-9]|1[0-4])(?::?([0-5][0-9]))?"


@dataclass(frozen=True, slots=True)
class Place:
    """A zone or a state, and why the recipient may be there."""

    name: str
    origin: str


@dataclass(frozen=True, slots=True)
class Location:
    """The places where somebody may be.

    There are no zones when the number is refused, or when the text must be held until somebody corrects a value.
    """

    zones: tuple[Place, ...] = ()
    states: tuple[Place, ...] = ()
    country: str | None = None
    """ISO code of the number's country; None without a number. US territories count as US."""
    where: str = ""
    """The zones and their origin in a few words."""
    refused: str | None = None
    """Why no text can be sent to this number at all. Never quotes it."""
    why_held: str | None = None
    """The correction to make. Quotes nothing that is stored: anything may be in a wrong column."""
    why_code: WhyCode | None = None
    """The code of `refused` or `why_held`."""


def locate(
    timezone: str | None,
    *,
    phone: str | None = None,
    business_timezone: str | None = None,
) -> Location:
    """The zones somebody may be in, and the states whose rules apply to them.

    Args:
        timezone: the customer's zone as stored.
        phone: the customer's number, E.164.
        business_timezone: the business's zone as stored.
    """
    number = None
    if phone is not None:
        if problem := recipient_problem(phone):
            return Location(refused=problem, why_code="number_invalid")
        if problem := spelling_problem(phone):
            return Location(why_held=problem, why_code="number_spelling")
        npa = area_code(phone)
        number = area_code_places(npa) if npa else places_abroad(phone)
    return _combine(
        number, customer_timezone=timezone, business_timezone=business_timezone
    )


def clocks_of(zone: str | None) -> Names | None:
    """The clocks that a stored zone stands for; none if nothing is stored. None: the zone is not understood.

    Case and outer blanks do not count. `MST` stands for two clocks, Denver's and Phoenix's.
    """
    word = (zone or "").strip().casefold()
    if not word:
        return ()
    if offset := re.fullmatch(_OFFSET, word):
        return (f"UTC{offset[1]}{int(offset[2]):02}:{offset[3] or '00'}",)
    return _clocks().get(word)


@lru_cache(maxsize=8192)
def _combine(
    number: NumberPlaces | None,
    *,
    customer_timezone: str | None,
    business_timezone: str | None,
) -> Location:
    customer_clocks = clocks_of(customer_timezone)
    business_clocks = clocks_of(business_timezone)
    if customer_clocks is None:
        return _unreadable("customers.timezone")
    if business_clocks is None:
        return _unreadable("businesses.timezone")
    clocks_by_origin = dict[str, Names]()
    states = dict[str, str]()
    if number:
        if not number.zones:
            why_held = f"No time zone is known for {number.origin}, which may be anywhere: correct customers.phone"
            return Location(why_held=why_held, why_code="no_time_zone")
        # A country abroad may be so far away that no hour is ever permitted in both.
        business_clocks = tuple(filter(number.may_be_from, business_clocks))
        clocks_by_origin[number.origin] = number.zones
        states = dict.fromkeys(number.states, number.origin)
    clocks_by_origin |= {_CUSTOMER: customer_clocks, _BUSINESS: business_clocks}
    if not any(clocks_by_origin.values()):
        clocks_by_origin = {"no zone is stored": US_ZONES}
    zones = dict[str, str]()
    descriptions = list[str]()
    for origin, clocks in clocks_by_origin.items():
        if additional := [clock for clock in clocks if clock not in zones]:
            zones |= dict.fromkeys(additional, origin)
            descriptions.append(f"{_zones_text(additional)}, {origin}")
    zone_states = data.lists("zone_states", "zone", "states")
    for zone in customer_clocks:
        for state in zone_states.get(zone, ()):
            states.setdefault(state, _CUSTOMER)
    return Location(
        zones=_places(zones),
        states=_places(states),
        country=number.country if number else None,
        where=", and ".join(descriptions),
    )


def _unreadable(column: str) -> Location:
    why_held = f"{column} is not understood: correct it to an IANA name such as America/Chicago, or to null"
    return Location(why_held=why_held, why_code="hours_unreadable")


@cache
def _clocks() -> dict[str, Names]:
    """Each name of a zone, in lower case: IANA's, Windows' and what people write, which wins."""
    names = {name: (name,) for name in data.zone_names()}
    windows = {name: (zone,) for name, zone in windows_timezones.items()}
    aliases = data.lists("zone_aliases", "alias", "zones")
    return {
        name.casefold(): zones for name, zones in (windows | names | aliases).items()
    }


def _zones_text(zones: Sequence[str]) -> str:
    return "every US zone" if set(zones) == set(US_ZONES) else " and ".join(zones)


def _places(origins: dict[str, str]) -> tuple[Place, ...]:
    return tuple(Place(name, origin) for name, origin in origins.items())
