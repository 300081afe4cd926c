"""What counts as evidence that a text in doubt went out, and how often and how long it is looked for.

A provider has no field of ours to search by, so a message is ours when it went to the same number, with the same body,
and was created around the attempt.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from smsretry.retry.backoff import nth
from smsretry.retry.models import Sighting

LOOK_DELAYS: Final = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15))
"""Before the first look, the second, the third; the last repeats."""
MIN_LOOKS: Final = 3
"""Looks that must have found nothing before a text may be sent again."""
MIN_QUARANTINE: Final = timedelta(minutes=15)
"""How long a text must have been in doubt before it may be sent again."""
SENT_STATUSES: Final = frozenset({"sent", "delivered", "undelivered"})
"""What an application's webhook writes to a send log only after the provider accepted the text."""
_CLOCK_SKEW: Final = timedelta(seconds=5)
"""How far the provider's clock may be behind the database's; also covers its whole seconds."""
_LATEST: Final = timedelta(minutes=2)
"""How long after its doubt began an attempt's message may still be created."""


def next_look_delay(looks: int) -> timedelta:
    """The delay before the next look, after so many looks that found nothing."""
    return nth(LOOK_DELAYS, looks)


def earliest_creation(begun_at: datetime) -> datetime:
    """No message of an attempt begun at `begun_at` was created before this moment, on the provider's clock."""
    return begun_at.replace(microsecond=0) - _CLOCK_SKEW


def matching_sids(
    sightings: Sequence[Sighting], *, phone: str, body: str, begun_at: datetime, in_doubt_since: datetime
) -> list[str]:
    """SIDs of the messages that may be the attempt's, oldest first. It is the first that no other attempt owns."""
    earliest, latest = earliest_creation(begun_at), in_doubt_since + _LATEST
    return [
        sighting.sid
        for sighting in sorted(sightings, key=lambda sighting: sighting.created_at)
        if sighting.to == phone and sighting.body.strip() == body.strip() and earliest <= sighting.created_at <= latest
    ]
