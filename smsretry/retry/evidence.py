"""What counts as evidence that a text in doubt went out, and how often and how long it is looked for.

A provider has no field of ours to search by. A message is ours when it went from the attempt's sender to the attempt's
number, with the attempt's body, around the attempt. It is compared with what was *sent*, which `begin` keeps, and never
with what the rows say now. A message that fits in all but the body may still be ours, because providers change bodies:
it is ambiguous, and a person decides.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from smsretry.retry.backoff import nth
from smsretry.retry.models import Look

LOOK_DELAYS: Final = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15))
"""Before the first look, the second, the third; the last repeats."""
MIN_LOOKS: Final = 3
"""Looks that must have found nothing before a text may be sent again."""
MIN_QUARANTINE: Final = timedelta(minutes=15)
"""How long a text must have been in doubt before it may be sent again."""
CLOCK_TOLERANCE: Final = timedelta(seconds=5)
"""What is left between two clocks once their difference is known; also covers the provider's whole seconds."""
_LATEST: Final = timedelta(minutes=2)
"""How long after its doubt began an attempt's message may still be created."""
_LOOK_ALIKES: Final = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u0060\u00b4", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"')
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-")
    | dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad", "")
)
"""Characters that smart encoding replaces by what looks like them, so that a text fits GSM-7."""


_RECOGNIZABLE: Final = 20
"""Characters a body must have to be recognized inside a longer one."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a list has of one attempt."""

    ours: tuple[str, ...]
    """SIDs of messages with its body, oldest first. It is the first that nobody else owns."""
    ambiguous: tuple[str, ...]
    """SIDs of messages that fit in all but the body."""


def next_look_delay(looks: int) -> timedelta:
    """The delay before the next look, after so many looks that found nothing."""
    return nth(LOOK_DELAYS, looks)


def earliest_creation(begun_at: datetime, clock_ahead: timedelta = timedelta(0)) -> datetime:
    """No message of an attempt begun at `begun_at` was created before this moment, on the provider's clock."""
    return begun_at.replace(microsecond=0) + min(clock_ahead, timedelta(0)) - CLOCK_TOLERANCE


def find(look: Look, *, phone: str, body: str, begun_at: datetime, in_doubt_since: datetime) -> Found:
    """Sort the messages of a list by whether they may be the attempt's."""
    earliest = earliest_creation(begun_at, look.clock_ahead)
    latest = in_doubt_since + max(look.clock_ahead, timedelta(0)) + _LATEST
    around = [
        sighting
        for sighting in sorted(look.sightings, key=lambda sighting: sighting.created_at)
        if sighting.to == phone and earliest <= sighting.created_at <= latest
    ]
    ours = tuple(sighting.sid for sighting in around if _same(sighting.body, body))
    return Found(ours, tuple(sighting.sid for sighting in around if sighting.sid not in ours))


def _same(listed: str, sent: str) -> bool:
    """Whether a listed body is the sent one, after what providers do to bodies.

    Twilio's smart encoding replaces look-alikes, line ends and spaces change, a trial account puts words before the
    body, and a service may append a footer with opt-out instructions.
    """
    ours, theirs = _plain(sent), _plain(listed)
    longer = len(ours) >= _RECOGNIZABLE and (theirs.startswith(ours) or theirs.endswith(ours))
    return bool(ours) and (ours == theirs or longer)  # a body that is not on record is no redacted one's equal


def _plain(body: str) -> str:
    """The body with one kind of space, quote and dash."""
    alike = unicodedata.normalize("NFKC", body.translate(_LOOK_ALIKES))
    return re.sub(r"\s+", " ", alike).strip()


def ambiguous_why(sightings: Sequence[str]) -> str:
    """What to tell the person who must say whether one of these messages is the text."""
    return (
        f"In doubt: {len(sightings)} message(s) to the number may be this text with a changed body "
        f"({', '.join(sightings[:3])}). Say which with `smsretry resolve`, or that none is"
    )
