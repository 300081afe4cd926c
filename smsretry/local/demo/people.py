"""A believable business's customers and their texts: every outcome the queue knows, at 9:30 in New York.

The numbers are from the ranges reserved for fiction (555-01xx; Ofcom's, ARCEP's and ACMA's drama numbers).
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from smsretry.local.twilio.faults import AcceptThenDrop, JsonError, SendFault

BUSINESS: Final = "Maple Street Dental"
BUSINESS_ZONE: Final = "America/New_York"

# name, zone, area code (fictional subscriber numbers are added) or a whole number
_PEOPLE: Final = [
    ("Ava", "America/New_York", "212"), ("Ben", "America/New_York", "617"), ("Cleo", "America/New_York", "215"),
    ("Dara", "America/New_York", "404"), ("Eli", "America/New_York", "305"), ("Fay", "America/New_York", "704"),
    ("Gus", "America/Detroit", "313"), ("Hope", "America/New_York", "216"), ("Ian", "America/New_York", "502"),
    ("Joy", "America/Indiana/Knox", "574"), ("Kai", "America/Chicago", "312"), ("Lea", "America/Chicago", "512"),
    ("Max", "America/Chicago", "612"), ("Nia", "America/Chicago", "504"), ("Otis", "America/Chicago", "816"),
    ("Pia", "America/Chicago", "615"), ("Quin", "America/Menominee", "906"), ("Rae", "America/Puerto_Rico", "787"),
    ("Sol", "America/Halifax", "902"), ("Tess", "America/Toronto", "416"), ("Uma", "America/Winnipeg", "204"),
    ("Zoe", "America/Denver", "303"), ("Abe", "America/Denver", "801"), ("Bea", "America/Boise", "208"),
    ("Vic", "Europe/London", "+447700900101"), ("Wim", "Europe/Paris", "+33639980001"),
    ("Xena", "Europe/London", "+447700900102"), ("Yara", "America/Sao_Paulo", "+5511955501234"),
    ("Cal", "America/Phoenix", "602"), ("Dee", "America/Los_Angeles", "213"), ("Edie", "America/Los_Angeles", "415"),
    ("Finn", "America/Los_Angeles", "206"), ("Gia", "America/Los_Angeles", "503"), ("Hal", "America/Vancouver", "604"),
    ("Ivy", "America/Anchorage", "907"), ("Jed", "America/Adak", "907"), ("Kea", "Pacific/Honolulu", "808"),
    ("Liam", "Australia/Sydney", "+61491570156"), ("Mei", "Asia/Tokyo", "+819055501234"),
    ("Noa", None, "201"), ("Opal", "EST", "202"), ("Theo", None, "850"), ("Vera", None, "713"),
]  # fmt: skip

_BODY: Final = "Hi {name}, thanks for visiting Maple Street Dental. Would you leave us a short review?"


@dataclass(frozen=True, slots=True)
class Special:
    """A customer whose text meets something, and what the demo should show for it."""

    name: str
    phone: str | None
    fault: SendFault | None = None
    consent: str = "opted_in"
    attempts: int = 0
    body: str = _BODY
    queued_ago: timedelta = timedelta(minutes=10)
    """Longer than the others, so that the first run, which takes fifty, takes these."""


_UNAVAILABLE: Final = JsonError(21702, http_status=400)

SPECIAL: Final = [
    Special("Paul", "+12125550161", fault=JsonError(14107, http_status=400)),
    Special("Rita", "+12125550162", fault=_UNAVAILABLE),
    Special("Sven", "+12125550163", fault=_UNAVAILABLE, attempts=2),
    Special("Tara", "+12125550164", fault=JsonError(20500, http_status=500)),
    Special("Ugo", "+12125550165", fault=AcceptThenDrop()),
    Special("Walt", "+12125550167", consent="opted_out"),
    Special("Xavi", "+12125550168", consent="unknown"),
    Special("Yuki", "+12125550173", fault=JsonError(21211, http_status=400)),
    Special(
        "Zane", "+12125550174", fault=JsonError(21612, http_status=400)
    ),  # another sender can reach it; once only
    Special("Wren", "+12125550166", fault=JsonError(21614, http_status=400)),
    Special("Amos", "+12125550176", fault=JsonError(21610, http_status=400)),
    Special("Bo", "+12125550177", fault=JsonError(21408, http_status=400)),
    Special("Zora", "+18005550178"),
    Special("Cyd", None),
    Special("Drew", "212 555 0169"),
    Special("Emil", "+12125550170", body=" "),
    Special("Faye", "+12125550171", body="x" * 1601),
    Special("Gwen", "+12125550172", queued_ago=timedelta(hours=50)),
]
DEAD_BEFORE_BEGIN: Final = Special("Hugo", "+12125550180")
DEAD_AFTER_BEGIN: Final = Special("Iris", "+12125550181")
DELETED: Final = Special("Jack", "+12125550175")

SHOWN: Final = (
    "Ava", "Abe", "Mei", "Paul", "Rita", "Sven", "Ugo", "Hugo", "Iris", "Walt", "Zane", "Yuki", "Cyd", "Gwen",
    "Nora", "Lena",
)  # fmt: skip
"""One customer for each kind of story, in the order in which the demo tells them."""


def area_codes() -> list[tuple[str, str, str]]:
    """A name and a zone for each area code in North America, New York City's left out."""
    places = {
        code: (name, zone, code)
        for name, zone, code in _PEOPLE
        if zone and "/" in zone and code.isdigit()
    }
    return list(places.values())[1:]


def people() -> list[tuple[Special, str | None]]:
    """The customers to whom nothing happens but the hour of the day, with their zones.

    Each was queued a second after the one before, so that every demo's first run takes the same fifty.
    """
    return [
        (
            Special(
                name,
                code if code.startswith("+") else f"+1{code}55501{number:02d}",
                queued_ago=timedelta(minutes=5, seconds=-number),
            ),
            zone,
        )
        for number, (name, zone, code) in enumerate(_PEOPLE)
    ]
