"""Who may be texted when: typed in from the sources, the clocks on the wall read with zoneinfo alone.

Nothing here is the code under test, and none of the package's tables is read. Area codes come from
`phonenumbers` itself (its prefixes of time zones and its names of states), corrected by hand.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache, reduce
from importlib.resources import files
from typing import Final

import holidays
from phonenumbers import PhoneNumber, geocoder, region_code_for_number
from phonenumbers.tzdata import TIMEZONE_DATA

from tests.proofs.oracles.clocks import (
    DAY,
    MINUTE,
    STATES,
    ZONE_STATES,
    Wall,
    Week,
    both,
    closed_dates,
)

_8_20: Final[Week] = ((8, 20), (8, 20), (8, 20))
_8_21: Final[Week] = ((8, 21), (8, 21), (8, 21))
_9_20: Final[Week] = ((9, 20), (9, 20), (9, 20))
_COUNTRIES: Final[dict[str, Week]] = {
    "CA-": ((9, 21), (10, 18), (10, 18)),  # CA is California
    "FR": ((8, 21), (10, 19), None),
    "GB": _8_20,
    "IN": ((10, 21), (10, 21), (10, 21)),
    **dict.fromkeys(("AU", "DE", "IE", "NL", "NZ"), _8_21),
    "abroad": _9_20,
}
CAP_STATES = frozenset({"FL", "MD", "OK", "OR"})
CAP = 3

NEW_YORK, CHICAGO, DENVER, LOS_ANGELES = (
    f"America/{name}" for name in ("New_York", "Chicago", "Denver", "Los_Angeles")
)
_EVERYWHERE = frozenset(
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
    "pacific time (us & canada)": frozenset({LOS_ANGELES}),
    "romance standard time": frozenset({"Europe/Paris"}),
    "india standard time": frozenset({"Asia/Kolkata"}),
    "aus eastern standard time": frozenset({"Australia/Sydney"}),
}
"""What people and Windows write for a zone, in lower case."""
_AUSTRALIA = (
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
_REFUSED = re.compile(
    r"\+1(8(00|22|33|44|55|66|77|8.)|900|976|500|555|600|7[01]0|.11|.9.)|\+44(800|90|70)"
)
"""Toll-free, premium, personal, or no area code."""
_SPELLED = re.compile(r"\+1[2-9]..[2-9]\d{6}|\+(?!1|521\d{10}$)\d{8,13}")
_STATE_NAMES = """
Alabama AL, Alaska AK, Arizona AZ, Arkansas AR, California CA, Colorado CO, Connecticut CT, Delaware DE, Florida FL,
Georgia GA, Hawaii HI, Idaho ID, Illinois IL, Indiana IN, Iowa IA, Kansas KS, Kentucky KY, Louisiana LA, Maine ME,
Maryland MD, Massachusetts MA, Michigan MI, Minnesota MN, Mississippi MS, Missouri MO, Montana MT, Nebraska NE,
Nevada NV, New Hampshire NH, New Jersey NJ, New Mexico NM, New York NY, North Carolina NC, North Dakota ND, Ohio OH,
Oklahoma OK, Oregon OR, Pennsylvania PA, Rhode Island RI, South Carolina SC, South Dakota SD, Tennessee TN, Texas TX,
Utah UT, Vermont VT, Virginia VA, Washington State WA, Washington D.C. DC, West Virginia WV, Wisconsin WI, Wyoming WY
"""
_CODES_OF_STATES = {
    name.strip()[:-3]: name[-2:] for name in _STATE_NAMES.strip().split(",")
}
"""By the names that `phonenumbers` gives them."""
_OVERLAYS = {
    "364": "270",
    "367": "418",
    "448": "850",
    "458": "541",
    "581": "418",
    "930": "812",
    "986": "208",
    **dict.fromkeys(("236", "257", "672", "778"), "250"),
}
"""A code that shares the area of an older one, of which the library knows more."""
_EDMONTON = "America/Edmonton"
_MORE: Final[dict[str, tuple[str, frozenset[str]]]] = {
    **dict.fromkeys(("357", "837"), ("CA", frozenset({LOS_ANGELES}))),
    "436": ("OH", frozenset({NEW_YORK})),
    "457": ("LA", frozenset({CHICAGO})),
    **dict.fromkeys(("465", "624"), ("NY", frozenset({NEW_YORK}))),
    "471": ("MS", frozenset({CHICAGO})),
    "483": ("AL", frozenset({CHICAGO})),
    "621": ("TX", frozenset({CHICAGO})),
    "679": ("MI", frozenset({NEW_YORK})),
    "729": ("TN", frozenset({CHICAGO, NEW_YORK})),
    "861": ("IL", frozenset({CHICAGO})),
    "924": ("MN", frozenset({CHICAGO})),
    "689": ("FL", frozenset({NEW_YORK})),
    "208": ("ID", frozenset({"America/Boise", DENVER, LOS_ANGELES})),
}
"""In service and unknown to the library, or wrong there: state and zones."""
_CANADIAN: Final[dict[str, frozenset[str]]] = {
    **dict.fromkeys(
        ("306", "474", "639"), frozenset({"America/Regina", _EDMONTON})
    ),  # Lloydminster
    **dict.fromkeys(
        ("709", "879"), frozenset({"America/St_Johns", "America/Halifax"})
    ),  # Labrador
    "867": frozenset(
        {
            _EDMONTON,
            *(
                f"America/{city}"
                for city in (
                    "Fort_Nelson",
                    "Toronto",
                    "Vancouver",
                    "Whitehorse",
                    "Winnipeg",
                )
            ),
        }
    ),
}


@cache
def area_codes() -> dict[str, tuple[str, frozenset[str]]]:
    """Area code → the state or country whose hours bind, and zones."""
    zones = defaultdict[str, set[str]](set)
    for prefix, names in TIMEZONE_DATA.items():
        if prefix.startswith("1") and len(prefix) > 3:
            zones[prefix[1:4]].update(names)
    for code, older in _OVERLAYS.items():
        zones[code] |= zones[older]
    library = {code: (_place(code), frozenset(names)) for code, names in zones.items()}
    canadian = {code: ("CA-", names) for code, names in _CANADIAN.items()}
    return library | canadian | _MORE


def _place(code: str) -> str:
    """A state or territory of the US, `CA-` for Canada, or `abroad`."""
    number = PhoneNumber(country_code=1, national_number=int(f"{code}5552345"))
    match region_code_for_number(number):
        case "US":
            words = geocoder.description_for_number(number, "en")
            return _CODES_OF_STATES.get(words, words[-2:])
        case "AS" | "GU" | "MP" | "PR" | "VI" as territory:
            return territory
        case "CA":
            return "CA-"
        case _:
            return "abroad"


@dataclass(frozen=True, slots=True)
class Person:
    """Where somebody may be, and whose hours bind a marketing text to them. No zones: no text at all."""

    zones: frozenset[str]
    rules: frozenset[str]

    @property
    def capped(self) -> bool:
        """Whether a state permits them three texts in 24 hours, and no more."""
        return bool(self.rules & CAP_STATES)


_NOBODY = Person(frozenset(), frozenset())


def person(zone: str | None, phone: str | None, business_zone: str | None) -> Person:
    """Everybody is in each place that number, stored zone and business may mean. All states bind that they name.

    Every business in town is in North America: too far from a number abroad to share its day.
    """
    customer_zones, nearby = _places(zone), _places(business_zone)
    if not phone or _REFUSED.match(phone) or not _SPELLED.fullmatch(phone):
        return _NOBODY
    zones, rules = _number(phone)
    if customer_zones is None or nearby is None or not zones:
        return _NOBODY
    states = {ZONE_STATES[name] for name in customer_zones if name in ZONE_STATES}
    if phone.startswith("+1"):
        zones |= nearby
    return Person(zones | customer_zones, rules | states)


def _number(phone: str) -> tuple[frozenset[str], frozenset[str]]:
    if not phone.startswith("+1"):
        country, places = next(
            zones for prefix, zones in ABROAD.items() if phone.startswith(prefix)
        )
        return places, frozenset({"federal", country})
    if (code := phone[2:5]) not in area_codes():
        return _EVERYWHERE, frozenset(STATES)  # it may be any state's
    place, zones = area_codes()[code]
    return zones, frozenset(
        {"federal", place} & {*STATES, "CA-", "abroad"}
    )  # IN is Indiana


@cache
def _places(name: str | None) -> frozenset[str] | None:
    """The zones that a stored name means: none of an empty one. None: nobody knows."""
    word = (name or "").strip().lower()
    if not word:
        return frozenset()
    if word in ALIASES:
        return ALIASES[word]
    if hours := re.fullmatch(r"(?:utc|gmt)?([+-])0?(\d|1[0-4])(?::?00)?", word):
        sign = {"+": "-", "-": "+"}[hours[1]]  # as IANA counts
        return frozenset({f"Etc/GMT{sign}{hours[2]}"})
    names = files("tzdata").joinpath("zones").read_text(encoding="utf-8").split()
    return next((frozenset({zone}) for zone in names if zone.lower() == word), None)


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

    def permitted(
        self, recipient: Person, business_hours: Week | None, *, transactional: bool
    ) -> bytes:
        """One byte a minute: 1 where a text may go out.

        Args:
            business_hours: the business's own hours.
            transactional: the states' and countries' hours do not bind it.
        """
        key = (recipient, business_hours, transactional)
        if key not in self._minutes:
            rules: Iterable[str | Week] = (
                ["federal"] if transactional else recipient.rules
            )
            rules = [*rules, business_hours] if business_hours else rules
            parts = [
                self._open(zone, rule) for zone in recipient.zones for rule in rules
            ]
            self._minutes[key] = reduce(both, parts) if parts else bytes(self._length)
        return self._minutes[key]

    def _open(self, zone: str, rule: str | Week) -> bytes:
        if (zone, rule) not in self._minutes:
            if zone not in self._walls:
                self._walls[zone] = Wall.of_zone(zone, self.start, self._length)
            week, closed = _hours(rule)
            self._minutes[zone, rule] = self._walls[zone].open_minutes(week, closed)
        return self._minutes[zone, rule]


@cache
def _hours(rule: str | Week) -> tuple[Week, frozenset[date]]:
    """The hours of a state, a country or a business, and the days on which these are closed."""
    match rule:
        case "FR":
            days = holidays.country_holidays("FR", years=range(2026, 2029))
            return _COUNTRIES["FR"], frozenset(days)
        case str():
            if rule in _COUNTRIES:
                return _COUNTRIES[rule], frozenset()
            return STATES[rule][:3], closed_dates(rule)
    return rule, frozenset()
