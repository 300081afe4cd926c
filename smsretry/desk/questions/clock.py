"""An instant on the clock of the person a text is for, as the desk shows it."""

from datetime import UTC, datetime, tzinfo

from smsretry.data import place, place_names


def zone_of(*names: str | None) -> tzinfo:
    """The first of these names that is a place's zone; else UTC. For showing only: hours are decided elsewhere."""
    return next((place(name) for name in names if name and name in place_names()), UTC)


def on_clock(moment: datetime, zone: tzinfo) -> str:
    """Such as `Tue 24 Nov 08:03 EST`."""
    local = moment.astimezone(zone)
    return f"{local:%a %d %b %H:%M} {local.tzname()}"


def span(seconds: float) -> str:
    """A length of time in the largest unit that fits: `40 s`, `12 min`, `3 h 20 min`, `2 d 5 h`."""
    minutes, hours, days = seconds / 60, seconds / 3600, seconds / 86400
    if minutes < 1:
        return f"{seconds:.0f} s"
    if hours < 1:
        return f"{minutes:.0f} min"
    if days < 1:
        return f"{int(hours)} h {int(minutes) % 60} min" if int(minutes) % 60 else f"{int(hours)} h"
    return f"{int(days)} d {int(hours) % 24} h" if int(hours) % 24 else f"{int(days)} d"
