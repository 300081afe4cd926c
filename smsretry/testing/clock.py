"""The time that the database, the worker and the stand-in for Twilio share in a test."""

from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from smsretry.errors import InputError
from smsretry.local.stack import Stack

NOON: Final = datetime.fromisoformat("2027-01-12T17:00:00+00:00")
"""Noon in New York, a Tuesday in winter: open everywhere in the contiguous states."""


class Clock:
    """A clock that runs on from wherever it is set. The application's own clock is the machine's, and stays so."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    @property
    def now(self) -> datetime:
        """In UTC."""
        return self._stack.now()

    def move(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Move it on; or back, with what is negative."""
        self._stack.move_clock(timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds))

    def set(self, moment: datetime | str, *, zone: str | None = None) -> None:
        """Set it.

        Args:
            moment: an instant with its offset ("2027-01-12T14:30:00Z"), or with `zone` what a clock there shows.
            zone: an IANA name, such as "America/New_York".

        Raises:
            InputError: it is no instant: the offset and the zone are both missing, or both given.
            ZoneInfoNotFoundError: there is no such zone.
        """
        try:
            instant = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
        except ValueError as error:
            raise InputError(f"{moment!r} is no date and time in ISO 8601, such as 2027-01-12T14:30:00Z") from error
        if (instant.tzinfo is None) is (zone is None):
            raise InputError(f"Give {moment} either its offset (Z is UTC) or a zone, such as zone='America/New_York'")
        self._stack.set_clock(instant.replace(tzinfo=ZoneInfo(zone)) if zone else instant)
