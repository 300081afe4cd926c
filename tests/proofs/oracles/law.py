"""Who may be texted when: typed in from the sources, the clocks on the wall read with zoneinfo alone.

Nothing here is the code under test. Of the package's tables only the area codes are read.
"""

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache, reduce
from importlib.resources import files
from typing import Final

import holidays

from tests.proofs.oracles.clocks import (
    DAY,
    MINUTE,
    STATES,
    ZONE_STATES,
    Hours,
    Wall,
    both,
    closed_dates,
)

Week = tuple[Hours, Hours, Hours]
"""Monday to Friday, Saturday, Sunday, in hours; None: never."""

_8_20: Final[Week] = ((8, 20), (8, 20), (8, 20))
_8_21: Final[Week] = ((8, 21), (8, 21), (8, 21))
_9_20: Final[Week] = ((9, 20), (9, 20), (9, 20))
_COUNTRIES: Final[dict[str, Week]] = {
    "CA": ((9, 21), (10, 18), (10, 18)),
    "FR": ((8, 21), (10, 19), None),
    "GB": _8_20,
    "IN": ((10, 21), (10, 21), (10, 21)),
    **dict.fromkeys(("AU", "DE", "IE", "NL", "NZ"), _8_21),
    "abroad": _9_20,
}
CAP_STATES: Final = frozenset({"FL", "MD", "OK", "OR"})
CAP: Final = 3

NEW_YORK, CHICAGO, DENVER, LOS_ANGELES = (
    f"America/{name}" for name in ("New_York", "Chicago", "Denver", "Los_Angeles")
)
_EVERYWHERE: Final = frozenset(
    {
        NEW_YORK,
        CHICAGO,
        DENVER,
        LOS_ANGELES,
        "America/Phoenix",
        "America/Anchorage",
        "America/Adak",
        "Pacific/Honolulu",
    }
)
ALIASES: Final[dict[str, frozenset[str]]] = {
    "est": frozenset({NEW_YORK}),
    "us eastern": frozenset({NEW_YORK}),
    "eastern standard time": frozenset({NEW_YORK}),
    "cst": frozenset({CHICAGO}),
    "cst6cdt": frozenset({CHICAGO}),
    "mst": frozenset({DENVER, "America/Phoenix"}),  # Arizona has no summer time
    "pst": frozenset({LOS_ANGELES}),
    "pacific standard time": frozenset({LOS_ANGELES}),
    "hst": frozenset({"Pacific/Honolulu"}),
    "romance standard time": frozenset({"Europe/Paris"}),
    "india standard time": frozenset({"Asia/Kolkata"}),
    "aus eastern standard time": frozenset({"Australia/Sydney"}),
}
"""What people and Windows write for a zone, in lower case."""
_AUSTRALIA: Final = (
    *(f"Australia/{name}" for name in ("Adelaide", "Brisbane", "Darwin", "Eucla", "Hobart", "Lord_Howe", "Perth")),
    "Australia/Sydney", "Indian/Christmas", "Indian/Cocos",
)  # fmt: skip
ABROAD: Final[dict[str, tuple[str, frozenset[str]]]] = {
    "+3361234": ("FR", frozenset({"Europe/Paris"})),
    "+44740012": ("GB", frozenset({"Europe/London"})),
    "+91981234": ("IN", frozenset({"Asia/Kolkata"})),
    "+6141234": ("AU", frozenset(_AUSTRALIA)),
    "+491511234": ("DE", frozenset({"Europe/Berlin"})),
    "+35386123": ("IE", frozenset({"Europe/Dublin"})),
    "+6421123": ("NZ", frozenset({"Pacific/Auckland", "Pacific/Chatham"})),
    "+628121234": (
        "abroad",
        frozenset({"Asia/Jakarta", "Asia/Makassar", "Asia/Jayapura"}),
    ),
    "+52551234": ("abroad", frozenset({"America/Mexico_City"})),
    "+87077311": ("abroad", frozenset()),  # a satellite phone
}
"""Mobile numbers but for their last four digits: country and zones."""
_REFUSED: Final = re.compile(
    r"\+1(8(00|22|33|44|55|66|77|8.)|900|976|500|555|600|7[01]0|.11|.9.|[01]|...[01])|\+44(800|90)|[^+]"
)
"""Toll-free, premium, personal, malformed, or no area code."""
_MORE: Final = {
    "201": ("US", "NJ", NEW_YORK),
    "357": ("US", "CA", LOS_ANGELES),
    "436": ("US", "OH", NEW_YORK),
    "457": ("US", "LA", CHICAGO),
    "465": ("US", "NY", NEW_YORK),
    "471": ("US", "MS", CHICAGO),
    "483": ("US", "AL", CHICAGO),
    "621": ("US", "TX", CHICAGO),
    "624": ("US", "NY", NEW_YORK),
    "679": ("US", "MI", NEW_YORK),
    "729": ("US", "TN", f"{CHICAGO}+{NEW_YORK}"),
    "837": ("US", "CA", LOS_ANGELES),
    "861": ("US", "IL", CHICAGO),
    "924": ("US", "MN", CHICAGO),
    "709": (
        "CA",
        "",
        "America/Halifax+America/St_Johns",
    ),  # Puerto Rico in the table is the library's error
    "671": ("US", "GU", "Pacific/Guam"),
    "876": ("abroad", "", "America/Jamaica"),
}
"""In service and unknown to the library, wrong there, or none of the table's countries."""


@cache
def area_codes() -> dict[str, tuple[str, str, str]]:
    """Area code → country, states and zones."""
    text = files("smsretry.data").joinpath("npa_zones.tsv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    known = {
        row["npa"]: (
            row["country"],
            row["state_or_province"],
            row["conservative_union"],
        )
        for row in rows
    }
    return known | _MORE


@dataclass(frozen=True, slots=True)
class Person:
    """Where somebody may be, and whose hours bind a marketing text to them. No zones: no text at all."""

    zones: frozenset[str]
    rules: frozenset[str]

    @property
    def capped(self) -> bool:
        """Whether a state permits them three texts in 24 hours, and no more."""
        return bool(self.rules & CAP_STATES)


_NOBODY: Final = Person(frozenset(), frozenset())


def person(zone: str | None, phone: str | None, business_zone: str | None) -> Person:
    """Their own zone alone; or else the number's zones and the business's. The number's state binds in any case.

    Every business in town is in North America: too far from a number abroad to share its day.
    """
    if phone is None or _REFUSED.match(phone):
        return _NOBODY
    zones, rules = _number(phone)
    if own := _places(zone):
        return Person(
            own, rules | {ZONE_STATES[name] for name in own if name in ZONE_STATES}
        )
    nearby = _places(business_zone) if phone.startswith("+1") else frozenset()
    return Person(zones | nearby, rules) if zones else _NOBODY


def _number(phone: str) -> tuple[frozenset[str], frozenset[str]]:
    if not phone.startswith("+1"):
        country, places = next(
            found for prefix, found in ABROAD.items() if phone.startswith(prefix)
        )
        return places, frozenset({"federal", country})
    # An area code that nobody knows may be any state's.
    country, states, zones = area_codes().get(
        phone[2:5], ("US", "/".join(STATES), "+".join(_EVERYWHERE))
    )
    # California is no Canada.
    binding = (
        {country} & set(_COUNTRIES)
        if country != "US"
        else set(states.split("/")) & set(STATES)
    )
    return frozenset(zones.split("+")), frozenset({"federal", *binding})


@cache
def _places(name: str | None) -> frozenset[str]:
    if name is None:
        return frozenset()
    if (
        "/" in name
        and not name.startswith("Etc/")
        and files("tzdata").joinpath("zoneinfo", *name.split("/")).is_file()
    ):
        return frozenset({name})
    return ALIASES.get(name.strip().lower(), frozenset())


class Almanac:
    """Which minutes are permitted, from a start on."""

    def __init__(self, start: datetime, days: int) -> None:
        self.start = start
        self._length = days * DAY
        self._walls: dict[str, Wall] = {}
        self._minutes: dict[object, bytes] = {}

    def minute(self, at: datetime) -> int:
        """The minute in which an instant lies."""
        return (at - self.start) // MINUTE

    def permitted(self, who: Person, own: Week | None, *, transactional: bool) -> bytes:
        """One byte a minute: 1 where a text may go out.

        Args:
            own: the business's own hours.
            transactional: the states' and countries' hours do not bind it.
        """
        key = (who, own, transactional)
        if key not in self._minutes:
            rules: Iterable[str | Week] = ["federal"] if transactional else who.rules
            rules = [*rules, own] if own else rules
            parts = [self._open(zone, rule) for zone in who.zones for rule in rules]
            self._minutes[key] = reduce(both, parts) if parts else bytes(self._length)
        return self._minutes[key]

    def _open(self, zone: str, rule: str | Week) -> bytes:
        if (zone, rule) not in self._minutes:
            if zone not in self._walls:
                self._walls[zone] = Wall.read(zone, self.start, self._length)
            wall = self._walls[zone]
            minutes = bytearray(map(_week(rule).__getitem__, wall.minutes_of_week))
            for day, first, last in wall.dates:
                if day in _closed(rule):
                    minutes[first:last] = bytes(last - first)
            self._minutes[zone, rule] = bytes(minutes)
        return self._minutes[zone, rule]


@cache
def _week(rule: str | Week) -> bytes:
    hours = _COUNTRIES.get(rule) or STATES[rule][:3] if isinstance(rule, str) else rule
    days = [hours[0]] * 5 + [hours[1], hours[2]]
    return b"".join(
        bytes(day is not None and day[0] * 60 <= m < day[1] * 60 for m in range(DAY))
        for day in days
    )


@cache
def _closed(rule: str | Week) -> frozenset[date]:
    if rule == "FR":
        return frozenset(holidays.country_holidays("FR", years=range(2026, 2029)))
    return (
        closed_dates(rule)
        if isinstance(rule, str) and rule in STATES and STATES[rule][3]
        else frozenset()
    )
