"""Where the recipient may be: a set of zones, and the US states whose rules apply.

The customer's own zone comes first and stands alone. Without it the number's zones count. The business's zone joins
them when it lies in a country with the number's calling code, and stands alone only when there is no number. A set is
never empty without a reason that a person can act on.
"""

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

from pendulum.tz.data.windows import windows_timezones

from smsretry import data
from smsretry.phone import area_code, recipient_problem, spelling_problem
from smsretry.quiet_hours.numbers import US_ZONES, Number, abroad, of_area_code

_CUSTOMER: Final = "the customer's zone"
_BUSINESS: Final = "the business's zone"


@dataclass(frozen=True, slots=True)
class Found:
    """A zone or a state, and how it was found."""

    name: str
    origin: str


@dataclass(frozen=True, slots=True)
class Location:
    """What is known about where somebody is.

    The set of zones is empty when the number is refused, or when the text must be held until somebody sets a zone.
    """

    zones: tuple[Found, ...]
    states: tuple[Found, ...] = ()
    country: str | None = None
    """ISO code of the number's country; None without a number. US territories count as US."""
    where: str = ""
    """The zones and their origin in a few words."""
    notes: tuple[str, ...] = ()
    """Zone names that were not used as stored, and how they were read."""
    refused: str | None = None
    """Why no text can be sent to this number at all. Never quotes it."""
    held: str | None = None
    """Why no zone is known, or that the number is spelled otherwise; and what to do."""


def locate(
    timezone: str | None,
    *,
    phone: str | None = None,
    fallback: str | None = None,
    names: bool = True,
) -> Location:
    """The zones somebody may be in, and the states whose rules apply to them.

    Args:
        timezone: the customer's zone as stored.
        phone: the customer's number, E.164.
        fallback: the business's zone.
        names: whether Windows names and abbreviations (`EST`, `US Eastern`) are read as the place they stand for.
            Otherwise only IANA names of places count.
    """
    if phone is None:
        return _combine(timezone, None, fallback, names)
    if problem := recipient_problem(phone):
        return Location((), refused=problem)
    if problem := spelling_problem(phone):
        return Location((), held=problem)
    npa = area_code(phone)
    return _combine(
        timezone, of_area_code(npa) if npa else abroad(phone), fallback, names
    )


@lru_cache(maxsize=8192)
def _combine(
    timezone: str | None, number: Number | None, fallback: str | None, names: bool
) -> Location:
    own, notes = _places(timezone, _CUSTOMER, names)
    business, more_notes = _places(fallback, _BUSINESS, names)
    if number:
        business, elsewhere = _near(number, business)
        more_notes += elsewhere
    notes += more_notes
    country = number.country if number else None
    states = [Found(state, number.origin) for state in number.states] if number else []
    if own:
        states += [
            Found(state, _CUSTOMER)
            for zone in own
            for state in _zone_states().get(zone, ())
        ]
        found, where = (
            [Found(zone, _CUSTOMER) for zone in own],
            f"{_listed(own)}, {_CUSTOMER}",
        )
        if number and number.is_unknown:
            where += f" ({number.origin})"
    elif number and not number.zones:
        held = f"No time zone is known for {number.origin}: set the customer's timezone to where they are"
        return Location((), tuple(states), country, notes=notes, held=held)
    elif number:
        found, where = _of_number(number, business)
    elif business:
        found = [Found(zone, _BUSINESS) for zone in business]
        where = f"{_listed(business)}, {_BUSINESS} (the customer's is unknown)"
    else:
        found = [Found(zone, "every US zone") for zone in US_ZONES]
        where = "every US zone (the customer's and the business's are unknown)"
    return Location(tuple(found), tuple(_once(states)), country, where, notes)


def _near(
    number: Number, business: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The business's zones where the number's owner may be, and a note on the others.

    A country abroad and the business may be so far apart that no hour is ever permitted in both.
    """
    near = tuple(zone for zone in business if number.may_be_from(zone))
    far = tuple(zone for zone in business if zone not in near)
    return near, (
        f"{_BUSINESS} {_listed(far)} is not where a +{number.calling_code} number is from",
    ) if far else ()


def _of_number(number: Number, business: tuple[str, ...]) -> tuple[list[Found], str]:
    """The number's zones and the business's, and both in a few words."""
    found = [Found(zone, number.origin) for zone in number.zones]
    joining = [Found(zone, _BUSINESS) for zone in business if zone not in number.zones]
    where = (
        f"every US zone ({number.origin})"
        if number.is_unknown
        else f"{_listed(number.zones)}, {number.origin}"
    )
    return (
        found + joining,
        f"{where}, and {_listed(business)}, {_BUSINESS}" if joining else where,
    )


def _places(
    name: str | None, whose: str, names: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The places that a stored zone name stands for, and a note when it is not the name of a place."""
    if name is None or not name.strip():
        return (), ()
    if name in data.place_names():
        return (name,), ()
    if names and (zones := _aliases().get(name.strip().casefold())):
        return zones, (f"{whose} {name[:40]!r} is read as {_listed(zones)}",)
    return (), (
        f"{whose} {name[:40]!r} names no place: use an IANA name such as America/Chicago",
    )


@cache
def _aliases() -> dict[str, tuple[str, ...]]:
    windows = {
        name.casefold(): (zone,)
        for name, zone in windows_timezones.items()
        if zone in data.place_names()
    }
    return windows | {
        row["alias"].casefold(): tuple(row["zones"].split("+"))
        for row in data.table("zone_aliases")
    }


@cache
def _zone_states() -> dict[str, tuple[str, ...]]:
    return {
        row["zone"]: tuple(row["states"].split("+"))
        for row in data.table("zone_states")
    }


def _listed(zones: tuple[str, ...]) -> str:
    return " and ".join(zones)


def _once(states: list[Found]) -> list[Found]:
    """Each state once, with the origin by which it was found first."""
    return list({state.name: state for state in reversed(states)}.values())[::-1]
