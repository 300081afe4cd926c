"""Where the recipient may be: a set of clocks, and the US states whose rules apply.

A customer is in every place that the number may be from, in the stored zone, and where the business is, if that may be
in a country with the number's calling code. Nobody knows who wrote a stored zone (an application's column has a
default), so each of these adds its clocks and replaces no other's: it narrows the hours, whatever it says. One that is
stored and not understood holds the text.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

from pendulum.tz.data.windows import windows_timezones

from smsretry import data
from smsretry.phone import area_code, recipient_problem, spelling_problem
from smsretry.quiet_hours.numbers import US_ZONES, Number, abroad, of_area_code
from smsretry.vocabulary import WhyCode

_CUSTOMER: Final = "the customer's zone"
_BUSINESS: Final = "the business's zone"
_OFFSET: Final = r"(?:utc|gmt)? ?([+-])(0?[0-9]|1[0-4])(?::?([0-5][0-9]))?"
_UNREADABLE: Final = "{} is not understood: correct it to an IANA name such as America/Chicago, or to null"


@dataclass(frozen=True, slots=True)
class Place:
    """A zone or a state, and why the recipient may be there."""

    name: str
    origin: str


@dataclass(frozen=True, slots=True)
class Location:
    """The places where somebody may be.

    The set of zones is empty when the number is refused, or when the text must be held until somebody corrects a value.
    """

    zones: tuple[Place, ...] = ()
    states: tuple[Place, ...] = ()
    country: str | None = None
    """ISO code of the number's country; None without a number. US territories count as US."""
    where: str = ""
    """The zones and their origin in a few words."""
    refused: str | None = None
    """Why no text can be sent to this number at all. Never quotes it."""
    hold_reason: str | None = None
    """The correction to make. Quotes nothing that is stored: anything may be in a wrong column."""
    why_code: WhyCode | None = None
    """The reason of `refused` or `held`."""


def locate(
    timezone: str | None, *, phone: str | None = None, fallback: str | None = None
) -> Location:
    """The zones somebody may be in, and the states whose rules apply to them.

    Args:
        timezone: the customer's zone as stored.
        phone: the customer's number, E.164.
        fallback: the business's zone.
    """
    if phone is None:
        return _combine(timezone, None, fallback)
    if problem := recipient_problem(phone):
        return Location(refused=problem, why_code="number_invalid")
    if problem := spelling_problem(phone):
        return Location(hold_reason=problem, why_code="number_spelling")
    npa = area_code(phone)
    return _combine(timezone, of_area_code(npa) if npa else abroad(phone), fallback)


def clocks_of(zone: str | None) -> tuple[str, ...] | None:
    """The clocks that a stored zone stands for. None: it is not understood. An empty one stands for none.

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
    timezone: str | None, number: Number | None, fallback: str | None
) -> Location:
    customer, business = clocks_of(timezone), clocks_of(fallback)
    if customer is None or business is None:
        column = "customers.timezone" if customer is None else "businesses.timezone"
        return Location(
            hold_reason=_UNREADABLE.format(column), why_code="hours_unreadable"
        )
    if number and not number.zones:
        hold_reason = f"No time zone is known for {number.origin}, which may be anywhere: correct customers.phone"
        return Location(hold_reason=hold_reason, why_code="no_time_zone")
    if number:
        # A country abroad may be so far away that no hour is ever permitted in both.
        business = tuple(zone for zone in business if number.may_be_from(zone))
    origins = [(_CUSTOMER, customer), (_BUSINESS, business)]
    if number:
        origins.insert(0, (number.origin, number.zones))
    elif not customer and not business:
        origins = [("no zone is stored", US_ZONES)]
    zones, where = dict[str, str](), list[str]()
    for origin, clocks in origins:
        if additional := [clock for clock in clocks if clock not in zones]:
            zones |= dict.fromkeys(additional, origin)
            where.append(f"{_listed(additional)}, {origin}")
    states = dict.fromkeys(number.states, number.origin) if number else {}
    for zone in customer:
        named = _zone_states().get(zone, ())
        states = states | dict.fromkeys(named, _CUSTOMER) | states
    return Location(
        _places(zones),
        _places(states),
        number.country if number else None,
        ", and ".join(where),
    )


@cache
def _clocks() -> dict[str, tuple[str, ...]]:
    """Each name of a zone, in lower case: IANA's, Windows' and what people write, which wins."""
    names = {name: (name,) for name in data.zone_names()}
    windows = {name: (zone,) for name, zone in windows_timezones.items()}
    aliases = {
        row["alias"]: tuple(row["zones"].split("+"))
        for row in data.table("zone_aliases")
    }
    return {
        name.casefold(): zones for name, zones in (windows | names | aliases).items()
    }


@cache
def _zone_states() -> dict[str, tuple[str, ...]]:
    return {
        row["zone"]: tuple(row["states"].split("+"))
        for row in data.table("zone_states")
    }


def _listed(zones: Sequence[str]) -> str:
    return "every US zone" if set(zones) == set(US_ZONES) else " and ".join(zones)


def _places(origins: dict[str, str]) -> tuple[Place, ...]:
    return tuple([Place(name, origin) for name, origin in origins.items()])
