"""Is one of these messages ours? How a text in doubt is recognised in Twilio's list.

Twilio has no field of ours to search by, so it is: the same number (the list was asked for it), the same body, created
around the attempt. The list's own sender filter misses fresh messages of a messaging service, and `DateSent` misses
unsent ones, so neither is used (facts: twilio-java#442, twilio-oai#22).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from smsretry.retry.models import Sighting

_CLOCK_SKEW: Final = timedelta(seconds=5)
"""How far Twilio's clock may be behind the database's; also covers its whole seconds."""
_LATEST: Final = timedelta(minutes=2)
"""How long after its doubt began an attempt's message may still be created."""
_TRIAL_PREFIX: Final = "Sent from your Twilio trial account - "


def earliest_creation(begun_at: datetime) -> datetime:
    """Before this moment, on Twilio's clock, no message of an attempt begun at `begun_at` was created."""
    return begun_at.replace(microsecond=0) - _CLOCK_SKEW


def matching_sids(
    sightings: Sequence[Sighting], *, phone: str, body: str, begun_at: datetime, in_doubt_since: datetime
) -> list[str]:
    """SIDs of the messages that may be the attempt's, oldest first: the first that no other attempt owns is it."""
    earliest, latest = earliest_creation(begun_at), in_doubt_since + _LATEST
    return [
        sighting.sid
        for sighting in sorted(sightings, key=lambda sighting: sighting.created_at)
        if sighting.to == phone
        and sighting.body.removeprefix(_TRIAL_PREFIX).strip() == body.strip()
        and earliest <= sighting.created_at <= latest
    ]
