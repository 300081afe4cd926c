"""Instants and lengths of time as people read them."""

from datetime import UTC, datetime, tzinfo
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, AwareDatetime

Instant: TypeAlias = Annotated[
    AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))
]
"""An instant as a database or a provider answered it, on UTC's clock whatever the zone of their session is."""


def as_utc(moment: datetime) -> datetime:
    """The moment as it is, or in UTC if it has no zone."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def on_clock(moment: datetime, zone: tzinfo = UTC) -> str:
    """An instant on a zone's clock, always with the zone: `Tue 24 Nov 08:03 EST`."""
    local = moment.astimezone(zone)
    return f"{local:%a %d %b %H:%M} {local.tzname()}"


def span(seconds: float) -> str:
    """A length of time in the largest unit that fits: `40 s`, `12 min`, `3 h 20 min`, `2 d 5 h`."""
    minutes = seconds / 60
    hours = minutes / 60
    days = hours / 24
    if minutes < 1:
        return f"{seconds:.0f} s"
    if hours < 1:
        return f"{minutes:.0f} min"
    if days < 1:
        return _in_units(int(hours), "h", int(minutes) % 60, "min")
    return _in_units(int(days), "d", int(hours) % 24, "h")


def _in_units(count: int, unit: str, rest: int, smaller_unit: str) -> str:
    return f"{count} {unit} {rest} {smaller_unit}" if rest else f"{count} {unit}"
