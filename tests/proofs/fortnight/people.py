"""Everybody in a fortnight, invented from a seed: where they live, what is sent to them and when, and who says stop."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Literal, TypeVar, cast
from uuid import UUID

from smsretry.local.twilio.faults import AcceptThenDrop, HtmlError, JsonError, SendFault
from tests.proofs.oracles.clocks import MINUTE, Week
from tests.proofs.oracles.law import (
    ABROAD,
    ALIASES,
    LOS_ANGELES,
    NEW_YORK,
    Almanac,
    Person,
    area_codes,
    person,
)
from tests.proofs.town.luck import dice, new_id, pick
from tests.proofs.town.texts import Text

Route = Literal["table", "function", "function, everywhere", "twilio", "words"]
"""How an opt-out comes: an update by the application, `record_sms_consent` for one business or for all, as Twilio's
21610 to a send, or in words that nobody reads: no marketing text follows them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Business:
    """A sender of texts."""

    id: UUID
    zone: str | None
    sms_hours: str | None = None
    week: Week | None = None
    """`sms_hours`, once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Somebody as the application stores them, and as the law sees them."""

    id: UUID
    business: Business
    phone: str | None
    zone: str | None
    person: Person


@dataclass(slots=True, kw_only=True)
class Owed(Text):
    """One text to one of them."""

    customer: Customer
    transactional: bool

    @property
    def reached_at(self) -> tuple[UUID, str | None]:
        """What a cap is counted by: a business and a number."""
        return self.business_id, self.phone


@dataclass(frozen=True, slots=True, kw_only=True)
class OptOut:
    """Somebody says stop."""

    at: datetime
    customer: Customer
    route: Route


@dataclass(slots=True, kw_only=True)
class Town:
    """Everybody, and what will happen to them."""

    start: datetime
    days: int
    almanac: Almanac
    businesses: tuple[Business, ...]
    customers: list[Customer] = field(default_factory=list)
    texts: list[Owed] = field(default_factory=list)
    opt_outs: list[OptOut] = field(default_factory=list)
    troubles: list[tuple[str, SendFault, int]] = field(default_factory=list)
    """To the next so many sends to a number Twilio answers so."""

    @property
    def end(self) -> datetime:
        """When the time is over."""
        return self.start + timedelta(days=self.days)

    def window(self, customer: Customer, *, transactional: bool) -> bytes:
        """Which minutes are permitted to a text."""
        return self.almanac.permitted(
            customer.person, customer.business.week, transactional=transactional
        )

    def window_of(self, text: Owed) -> bytes:
        """Likewise to one of theirs."""
        return self.window(text.customer, transactional=text.transactional)


_LOOK_AHEAD = 10
"""Days: an opening is looked for up to eight days ahead."""
_T = TypeVar("_T")
Kind = Literal["plain", "eager", "leaving", "troubled", "sharing", "refused"]
_PLAIN: Final[tuple[Kind, ...]] = ("plain",) * 20
_KINDS: Final[tuple[Kind, ...]] = (
    *_PLAIN, "eager", "leaving", "troubled", "troubled", "sharing", "sharing", "refused",
)  # fmt: skip
_ROUTES: Final[tuple[Route, ...]] = (
    "table",
    "function",
    "function, everywhere",
    "twilio",
    "words",
)

_US = (
    NEW_YORK, "America/Chicago", "America/Denver", "America/Phoenix", LOS_ANGELES, "America/Anchorage", "America/Adak",
    "Pacific/Honolulu", "America/Boise", "America/Detroit", "America/Kentucky/Louisville", "America/Menominee",
    "America/Indiana/Indianapolis", "America/North_Dakota/Center", "America/Puerto_Rico", "US/Michigan", "US/Eastern",
)  # fmt: skip
_FAR = (
    "Europe/Paris", "Asia/Kolkata", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Chatham", "Pacific/Kiritimati",
    "America/St_Johns", "America/Winnipeg", "America/Havana", "Africa/Cairo", "America/Sao_Paulo", "Antarctica/Troll",
)  # fmt: skip
_DEFAULT = (NEW_YORK,)
"""What the application's column says where nobody said anything."""
_ODD = (
    None, "", " ", "UTC", "Etc/GMT+5", "GMT+5", "UTC-8", "+01:00", "america/los_angeles", "America/Chicago ",
    "Mars/Olympus", "America/NewYork", "local", "PDT/PST", "+25:00",
)  # fmt: skip
"""Clocks like any other, and what nobody understands."""
_SPLIT = (
    "850",
    "208",
    "605",
    "907",
    "541",
    "775",
    "906",
    "928",
    "448",
    "458",
    "364",
    "250",
    "867",
    "709",
)
_NEW = (
    "436",
    "621",
    "679",
    "729",
    "671",
    "876",
    "787",
    "328",
)  # 328 is in no table
_CAPPED = ("305", "850", "405", "918", "410", "301", "503", "541", "689")
_NOBODYS = (
    "+1800555",
    "+1888555",
    "+1900555",
    "+1500555",
    "+1212155",
    "+44800111",
    "+44701234",
    "(212) 55",
    "212555",
    "+521551234",
    None,
)

_CAMPAIGNS = tuple(range(40))
_LIVES = (*(timedelta(days=5),) * 8, timedelta(days=2), timedelta(hours=12))

_TROUBLES: Final[tuple[tuple[SendFault, int], ...]] = (
    (HtmlError(http_status=503), 1),
    (HtmlError(http_status=503), 2),
    (JsonError(20500, http_status=500), 1),
    (JsonError(20500, http_status=500, accepted=True), 1),
    (AcceptThenDrop(), 1),
    (JsonError(20429, http_status=429, retry_after=timedelta(seconds=90)), 1),
    (JsonError(20429, http_status=429), 3),
    (JsonError(21702, http_status=400), 1),
    (JsonError(21702, http_status=400), 2),
    (JsonError(21702, http_status=400), 3),
)
_STOPPED = JsonError(21610, http_status=400)
"""They had answered STOP to Twilio. Its magic number for that has an area code nobody can be texted at."""
_ALWAYS: Final[tuple[tuple[str, tuple[float, ...], Route | None], ...]] = (
    *(("212", (60, 180), route) for route in _ROUTES),  # stop between two texts
    ("305", (10,) * 6, None),  # more than Florida's cap
    ("305", (-0.5, 30), None),  # just before it closes, and after; federal hours go on
)
"""Who lives in each town, so that no safeguard is missing unseen: an area code, when texts are due, and how they say
stop. Minutes count from an opening, but for the last line from its closing."""


def invent(texts: int, *, days: int, start: datetime, seed: str) -> Town:
    """A town with so many texts, due within so many days of the start."""
    make_id = partial(new_id, seed, "fortnight")
    businesses = (
        Business(id=make_id("business", 1), zone=NEW_YORK),
        Business(
            id=make_id("business", 2),
            zone="America/Chicago",
            sms_hours="Mon-Fri 09:00-18:00, Sat 10:00-16:00",
            week=((9, 18), (10, 16), None),
        ),
        Business(id=make_id("business", 3), zone=None),
        # Never, for whom a state protects on Sundays.
        Business(
            id=make_id("business", 4),
            zone="Pacific Standard Time",
            sms_hours="Sun 12:00-18:00",
            week=(None, None, (12, 18)),
        ),
    )
    town = Town(
        start=start,
        days=days,
        almanac=Almanac(start, days + _LOOK_AHEAD),
        businesses=businesses,
    )
    for area, minutes, route in _ALWAYS:
        _settle_always(town, seed, area, minutes, route)
    while len(town.texts) < texts:
        _settle(town, seed)
    del town.texts[texts:]
    return town


@dataclass(frozen=True, slots=True)
class _Luck:
    """Dice whose fall the seed and a number decide."""

    seed: str
    number: int

    def __call__(self, *parts: object) -> float:
        return dice(self.seed, self.number, *parts)

    def of(self, options: tuple[_T, ...], *parts: object) -> _T:
        """One of the options."""
        return cast(_T, pick(options, self.seed, self.number, *parts))


def _settle(town: Town, seed: str) -> None:
    """One more customer, their texts, what Twilio says of their number, and whether they say stop."""
    luck = _Luck(seed, len(town.customers))
    kind = luck.of(_KINDS, "kind")
    business = luck.of((*town.businesses[:3] * 8, town.businesses[3]), "business")
    phone, zone = _phone(luck, kind), _zone(luck, kind)
    resident = person(zone, phone, business.zone)
    customer = Customer(
        id=new_id(seed, "fortnight", "customer", luck.number),
        business=business,
        phone=phone,
        zone=zone,
        person=resident,
    )
    town.customers.append(customer)
    dues = _dues(luck, kind, town)
    for due_at in dues:
        town.texts.append(_text(luck, kind, town, customer, due_at))
    if kind == "leaving" or (kind == "sharing" and luck("leaves?") < 0.2):
        route = luck.of(_ROUTES, "route")
        if route == "twilio" and phone:
            town.troubles.append((phone, _STOPPED, 1))
        else:
            at = min(dues) + (max(dues) - min(dues)) * luck("stop")
            town.opt_outs.append(OptOut(at=at, customer=customer, route=route))
    if kind == "troubled" and phone:
        town.troubles.append((phone, *luck.of(_TROUBLES, "trouble")))


def _settle_always(
    town: Town,
    seed: str,
    area: str,
    minutes: tuple[float, ...],
    route: Route | None,
) -> None:
    """One of those who live in each town, in the first hours that are long enough."""
    number, zone = len(town.customers), NEW_YORK
    phone = f"+1{area}5559{number:03}"
    customer = Customer(
        id=new_id(seed, "fortnight", "customer", number),
        business=town.businesses[0],
        phone=phone,
        zone=zone,
        person=person(zone, phone, zone),
    )
    town.customers.append(customer)
    window = town.window(customer, transactional=False)
    opening = window.find(b"\1" * 240)
    start = window.find(b"\0", opening) if min(minutes) < 0 else opening
    for minute in minutes:
        due_at = town.start + (start + minute) * MINUTE
        town.texts.append(_owed(seed, town, customer, due_at, _LIVES[0]))
    if route == "twilio":
        town.troubles.append((phone, _STOPPED, 1))
    elif route:
        at = town.start + (start + sum(minutes) / 2) * MINUTE
        town.opt_outs.append(OptOut(at=at, customer=customer, route=route))


def _phone(luck: _Luck, kind: Kind) -> str | None:
    if kind == "sharing":  # the same luck for several customers
        luck = _Luck(luck.seed, 9_000 + int(luck("shares") * (1 + luck.number // 40)))
    line = f"{luck.number % 10_000:04}"
    if kind == "refused":
        stem = luck.of(_NOBODYS, "nobody's")
        return None if stem is None else stem + line
    if luck("abroad?") < 0.12 and kind not in ("eager", "sharing"):
        return luck.of(tuple(ABROAD), "country") + line
    areas = luck.of((tuple(area_codes()),) * 6 + (_SPLIT, _SPLIT, _NEW), "areas")
    if kind == "eager" or (kind == "sharing" and luck("capped?") < 0.6):
        areas = _CAPPED
    return f"+1{luck.of(areas, 'area')}555{line}"


def _zone(luck: _Luck, kind: Kind) -> str | None:
    if kind == "eager":
        return luck.of((None, None, NEW_YORK, "America/Boise", "EST"), "zone")
    names = luck.of(
        ((None,),) * 3 + (_DEFAULT,) * 3 + (_US,) * 3 + (_FAR, tuple(ALIASES), _ODD),
        "zones",
    )
    name = luck.of(names, "zone")
    return name.upper() if name in ALIASES and len(name) < 4 else name


def _dues(luck: _Luck, kind: Kind, town: Town) -> list[datetime]:
    """When the texts of one customer are due: each at an instant of its own, or at that of a campaign."""
    span = town.end - town.start
    earliest = town.start + span * (
        luck("due")
        if luck("own?") < 0.5
        else dice(luck.seed, luck.of(_CAMPAIGNS, "campaign"))
    )
    match kind:
        case "eager":
            times = [
                earliest
                + timedelta(days=1) * luck("more", k) * (luck("at once?", k) < 0.6)
                for k in range(8)
            ]
            return [
                at for at in times[: 5 + int(4 * luck("how many"))] if at < town.end
            ]
        case "leaving" | "sharing":
            return [
                earliest,
                *(
                    earliest + (town.end - earliest) * luck("again", k) * 0.3
                    for k in range(2)
                ),
            ]
        case _:
            return [earliest]


def _text(
    luck: _Luck, kind: Kind, town: Town, customer: Customer, due_at: datetime
) -> Owed:
    number, transactional = len(town.texts), luck("class", len(town.texts)) < 0.15
    minutes = town.window(customer, transactional=transactional)
    if kind == "troubled":  # so that its retries come to lie in quiet hours
        due_at = _near(
            minutes,
            due_at,
            town,
            b"\0",
            timedelta(minutes=-12) * luck("minutes before", number),
        )
    elif luck("edge?", number) < 0.15:
        edge = luck.of((b"\0", b"\1"), "edge", number)
        due_at = _near(
            minutes,
            due_at,
            town,
            edge,
            timedelta(minutes=3) * (luck("around", number) * 2 - 1),
        )
    life = luck.of(_LIVES, "life", number)
    return _owed(luck.seed, town, customer, due_at, life, transactional=transactional)


def _owed(
    seed: str,
    town: Town,
    customer: Customer,
    due_at: datetime,
    life: timedelta,
    *,
    transactional: bool = False,
) -> Owed:
    number = len(town.texts)
    minutes = town.window(customer, transactional=transactional)
    return Owed(
        owner="fortnight",
        number=number,
        business_id=customer.business.id,
        customer_id=customer.id,
        send_log_id=new_id(seed, "fortnight", "log", number),
        retry_id=new_id(seed, "fortnight", "retry", number),
        phone=customer.phone,
        body=f"Text {number:05} of fortnight {seed}",
        due_at=due_at,
        zone=customer.zone,
        expires_at=due_at + life,
        queued={"message_class": "transactional" if transactional else "marketing"},
        is_open=lambda at: minutes[town.almanac.minute(at)] == 1,
        customer=customer,
        transactional=transactional,
    )


def _near(
    minutes: bytes, due_at: datetime, town: Town, edge: bytes, by: timedelta
) -> datetime:
    """About when its window next closes, or opens."""
    start = minutes.find(b"\1" if edge == b"\0" else b"\0", town.almanac.minute(due_at))
    change = minutes.find(edge, start)
    near = town.start + change * MINUTE + by
    return (
        due_at if min(start, change) < 0 or not town.start <= near < town.end else near
    )
