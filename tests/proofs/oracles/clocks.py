"""An oracle for quiet hours: step through the minutes and read the clock on the wall. No local time is ever built.

Written without the code under test: the hours are typed from the sources, the zones are read with zoneinfo alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from importlib.resources import files
from itertools import groupby, pairwise
from zoneinfo import ZoneInfo

import holidays

MINUTE = timedelta(minutes=1)
DAY = 24 * 60
Hours = tuple[float, float] | None
Week = tuple[Hours, Hours, Hours]
"""Monday to Friday, Saturday, Sunday, in hours; None: never."""

_HOURS = """
federal  415 8-21   8-21   8-21   open
AL       205 8-20   8-20   closed closed
CT       203 9-20   9-20   9-20   open
FL       305 8-20   8-20   8-20   open
KY       502 10-21  10-21  10-21  open
LA       225 8-20   8-20   closed closed
MA       617 8-20   8-20   8-20   open
MD       410 8-20   8-20   8-20   open
MI       313 9-21   9-21   9-21   open
MN       612 9-21   9-21   9-21   open
MS       228 8-20   8-20   closed open
NM       505 9-21   9-21   9-21   open
NV       702 9-20   9-20   9-20   open
OK       405 8-20   8-20   8-20   open
OR       503 8-20   8-20   8-20   open
PA       215 9-19   9-19   closed closed
RI       401 9-18   10-17  closed closed
TX       214 9-21   9-21   12-21  open
UT       801 8-21   8-21   closed closed
WA       206 8-20   8-20   8-20   open
WY       307 8-20   8-20   8-20   open
"""
"""State, an area code, the hours from Monday to Friday, on Saturday and on Sunday, and on the state's holidays."""


def _hours(text: str) -> Hours:
    opens, _, closes = text.partition("-")
    return (_hour(opens), _hour(closes)) if closes else None


def _hour(text: str) -> float:
    hours, _, minutes = text.partition(":")
    return int(hours) + int(minutes or 0) / 60


STATES: dict[str, tuple[Hours, Hours, Hours, bool]] = {}
AREA_CODES: dict[str, str] = {}
for _row in _HOURS.strip().splitlines():
    _state, _code, _weekday, _saturday, _sunday, _holidays = _row.split()
    _week = _hours(_weekday), _hours(_saturday), _hours(_sunday)
    STATES[_state] = (*_week, _holidays == "closed")
    AREA_CODES[_state] = _code
ZONE_STATES = {
    "America/Boise": "OR",
    "America/Detroit": "MI",
    "America/Kentucky/Louisville": "KY",
    "America/Kentucky/Monticello": "KY",
    "America/Louisville": "KY",
    "America/Menominee": "MI",
    "US/Michigan": "MI",
}
"""The zones that say by themselves that a stricter state's rule applies."""


@cache
def zone_rules(name: str) -> ZoneInfo:
    """A zone's rules from the pinned tzdata package."""
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as source:
        return ZoneInfo.from_file(source, key=name)


@cache
def closed_dates(state: str) -> frozenset[date]:
    """The holidays of a state from 1999 to 2039, with the ones of its telemarketing law, if these close."""
    if not STATES[state][3]:
        return frozenset()
    years = range(1999, 2040)
    days = set(holidays.country_holidays("US", subdiv=state, years=years))
    every = [
        date(year, 1, 1) + timedelta(days=day) for year in years for day in range(366)
    ]
    return frozenset(days | {day for day in every if _closed_by_law(state, day)})


def _closed_by_law(state: str, day: date) -> bool:
    """Whether a state's law closes a day on which its offices may be open. The weeks begin on Monday, day 0."""
    dated, weekday, easter_sunday = (
        (day.month, day.day),
        day.weekday(),
        _easter_sunday(day.year),
    )
    friday_after_thanksgiving = day.month == 11 and weekday == 4 and 23 <= day.day <= 29
    election_day = day.month == 11 and weekday == 1 and 2 <= day.day <= 8
    good_friday = easter_sunday - day == timedelta(days=2)
    match state:
        case "AL":
            return friday_after_thanksgiving or easter_sunday - day == timedelta(
                days=47
            )
        case "LA":
            columbus_day = day.month == 10 and weekday == 0 and 8 <= day.day <= 14
            return (
                friday_after_thanksgiving
                or columbus_day
                or dated in {(1, 8), (8, 30), (11, 1), (12, 26)}
            )
        case "PA":
            return good_friday or election_day or dated == (6, 14)
        case "RI":
            fixed = {(1, 1), (5, 4), (6, 19), (7, 4), (11, 11), (12, 25)}
            before = {
                (day_before.month, day_before.day)
                for day_before in (day - timedelta(days=1), day - timedelta(days=2))
            }
            observed = weekday == 0 and bool(before & fixed)
            return observed or dated == (5, 4) or (election_day and day.year % 2 == 0)
        case "UT":
            # The Monday of the week of 19 June, but the next one when the 19th is a Saturday or Sunday.
            return good_friday or (
                day.month == 6 and weekday == 0 and 15 <= day.day <= 21
            )
        case _:
            return False


@cache
def _easter_sunday(year: int) -> date:
    """Two days after the Good Friday of Louisiana's calendar."""
    (good_friday,) = holidays.country_holidays(
        "US", subdiv="LA", years=[year]
    ).get_named("Good Friday")
    return good_friday + timedelta(days=2)


@cache
def _minutes_of(week: Week) -> bytes:
    """One byte for every minute of the week, Monday first: 1 where a text is permitted."""
    return b"".join(
        bytes(
            hours is not None and hours[0] * 60 <= m < hours[1] * 60 for m in range(DAY)
        )
        for hours in (*week[:1] * 5, *week[1:])
    )


@dataclass(frozen=True)
class Wall:
    """What one zone's clocks show at every minute of a stretch of time."""

    minutes_of_week: list[int]
    dates: list[tuple[date, int, int]]
    """Runs of the same date: the date, its first minute, the minute after its last."""

    @classmethod
    @lru_cache(maxsize=16)
    def of_zone(cls, zone: str, start: datetime, minutes: int) -> "Wall":
        """Read the clock `minutes` times."""
        rules = zone_rules(zone)
        moments = [
            (start + minute * MINUTE).astimezone(rules) for minute in range(minutes)
        ]
        ordinals = [local.toordinal() for local in moments]
        of_week = [
            (ordinal + 6) % 7 * DAY + local.hour * 60 + local.minute
            for local, ordinal in zip(moments, ordinals, strict=True)
        ]
        runs, position = [], 0
        for ordinal, run in groupby(ordinals):
            length = sum(1 for _ in run)
            runs.append((date.fromordinal(ordinal), position, position + length))
            position += length
        return cls(of_week, runs)

    def open_minutes(self, week: Week, closed: frozenset[date]) -> bytes:
        """One byte a minute: 1 where these hours permit a text, on no closed day."""
        minutes = bytearray(map(_minutes_of(week).__getitem__, self.minutes_of_week))
        for day, start, end in self.dates:
            if day in closed:
                minutes[start:end] = bytes(end - start)
        return bytes(minutes)


def both(minutes: bytes, other_minutes: bytes) -> bytes:
    """Open where both are."""
    return (
        int.from_bytes(minutes, "big") & int.from_bytes(other_minutes, "big")
    ).to_bytes(len(minutes), "big")


def questions(
    minutes: bytes, upto: int, step: int
) -> Iterator[tuple[int, bool, int | None]]:
    """Minutes to ask at, before `upto`: every `step`, and each change and the minute before; what holds, until when.

    None: nothing changes as far as these minutes reach, because some hours never meet.
    """
    position = 0
    while position < upto:
        is_open = minutes[position] == 1
        change = minutes.find(b"\0" if is_open else b"\1", position)
        end = min(change, upto) if change > position else upto
        for minute in sorted(
            {
                position,
                end - 1,
                *range(-(-position // step) * step, end, step),
            }
        ):
            yield minute, is_open, change if change > position else None
        position = end


def transitions(zone: str, years: Sequence[int]) -> list[datetime]:
    """The minutes at which a zone's clocks jump, found by reading its offset."""
    rules, start = zone_rules(zone), datetime(years[0], 1, 1, tzinfo=UTC)
    steps = [start + timedelta(hours=12 * half) for half in range(2 * 366 * len(years))]
    offsets = [step.astimezone(rules).utcoffset() for step in steps]
    moments = []
    for (low, before), (high, after) in pairwise(zip(steps, offsets, strict=True)):
        if before != after:
            while high - low > MINUTE:
                middle = low + (high - low) // MINUTE // 2 * MINUTE
                low, high = (
                    (middle, high)
                    if middle.astimezone(rules).utcoffset() == before
                    else (low, middle)
                )
            moments.append(high)
    return [moment for moment in moments if moment.year in years]


def open_in_all(
    zones: Iterable[str], states: Iterable[str], start: datetime, minutes: int
) -> bytes:
    """One byte a minute: 1 where every state permits a text on every zone's clock."""
    result = b"\1" * minutes
    states = list(states)
    for zone in zones:
        wall = Wall.of_zone(zone, start, minutes)
        for state in states:
            result = both(
                result, wall.open_minutes(STATES[state][:3], closed_dates(state))
            )
    return result
