"""When a text may go out: 08:00–21:00, half-open, on the recipient's clock (47 CFR 64.1200(c)(1)).

The recipient's zone is the customer's; if that is missing or names no place, the business's; if neither is known,
every US zone at once, so that the text goes out only when it is day in all of them. Unknown is never a licence.

Wall clocks are read with the standard library on `tzdata`'s rules, instants are kept in UTC. Nothing here asks
what time it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import pendulum
from pendulum import DateTime

from smsretry import data

OPENS: Final = time(8)
CLOSES: Final = time(21)
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

_HORIZON: Final = timedelta(days=8)


@dataclass(frozen=True, slots=True)
class QuietHoursCheck:
    """May a text go out at the instant asked about?"""

    can_send: bool
    next_send_at: DateTime | None
    """The next opening, in UTC; None while open, and when no opening comes within eight days (hold the text)."""
    closes_at: DateTime | None
    """While open: the first instant that is no longer permitted, in UTC."""
    rule: str
    """The rule and the zones it was read in, for people and for the record."""


def check_quiet_hours(timezone: str | None, *, at: datetime, fallback: str | None = None) -> QuietHoursCheck:
    """Whether a text may go out at `at` to someone in `timezone`, and if not, when.

    Args:
        timezone: IANA name of the recipient's zone (`America/Chicago`), or None. Offsets and abbreviations (`UTC`,
            `EST`) name no place and count as unknown.
        at: the instant, time zone aware.
        fallback: the zone of the business, used when the recipient's is unknown.

    Raises:
        ValueError: `at` is naive.
    """
    if at.tzinfo is None:
        raise ValueError("at must be time zone aware: a naive time is somebody's, but whose?")
    names, where = _zones(timezone, fallback)
    zones = tuple(data.place(name) for name in names)
    rule = f"{OPENS:%H:%M}–{CLOSES:%H:%M} in {where}"
    if _all_open(at, zones):
        return QuietHoursCheck(True, None, _utc(min(_closing(at, zone) for zone in zones)), rule)
    opening = next((t for t in _openings(at, zones) if _all_open(t, zones)), None)
    return QuietHoursCheck(False, None if opening is None else _utc(opening), None, rule)


def _zones(timezone: str | None, fallback: str | None) -> tuple[tuple[str, ...], str]:
    places = data.place_names()
    if timezone in places:
        return (timezone,), f"{timezone}, the customer's zone"
    if fallback in places:
        return (fallback,), f"{fallback}, the business's zone (the customer's is unknown)"
    return US_ZONES, "every US zone (the customer's and the business's are unknown)"


def _all_open(at: datetime, zones: tuple[ZoneInfo, ...]) -> bool:
    return all(OPENS <= at.astimezone(zone).time() < CLOSES for zone in zones)


def _openings(at: datetime, zones: tuple[ZoneInfo, ...]) -> Iterator[datetime]:
    """Every zone's opening after `at`, in order, up to the horizon. The set opens at one of them or not at all."""
    moments = {
        _local(at.astimezone(zone).date() + timedelta(days=day), OPENS, zone)
        for zone in zones
        for day in range(_HORIZON.days + 1)
    }
    return iter(sorted(moment for moment in moments if moment > at))


def _closing(at: datetime, zone: ZoneInfo) -> datetime:
    return _local(at.astimezone(zone).date(), CLOSES, zone)


def _local(day: date, clock: time, zone: ZoneInfo) -> datetime:
    """The instant at which `zone`'s clocks show `clock` on `day`. Built from the date, never by adding hours.

    08:00 is never skipped or repeated by any change of clocks from 2000 to 2037, one skipped day aside; 21:00 is
    repeated on Pacific/Easter, where the first of the two is taken.
    """
    return datetime.combine(day, clock, tzinfo=zone).astimezone(UTC)


def _utc(moment: datetime) -> DateTime:
    return pendulum.instance(moment).in_timezone("UTC")
