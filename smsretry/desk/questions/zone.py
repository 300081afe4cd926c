"""The zone on whose clock the desk shows a text's instants."""

from datetime import UTC, tzinfo

from smsretry.data import place, place_names


def zone_of(*names: str | None) -> tzinfo:
    """The first of these names that is a place's zone; else UTC. For showing only: hours are decided elsewhere."""
    return next((place(name) for name in names if name and name in place_names()), UTC)
