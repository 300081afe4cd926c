"""What counts as evidence that a text in doubt went out.

A provider has no field of ours to search by. A message is ours when it went from the attempt's sender to the attempt's
number, with the attempt's body, around the attempt. It is compared with what was *sent*, which `begin` keeps, and never
with what the rows say now.

Clocks step, and providers change bodies. So a message with our words at another time, or with other words at our time,
may still be ours: it is ambiguous, and a person decides. Two things prove that a message is another text's. Its SID is
on record for that one, which only the queue knows. Or it has the exact words of another open text. Its age proves
nothing, because the clock may have stepped.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from smsretry.phone import e164
from smsretry.retry.models import Attempt, Look, Sighting

CLOCK_TOLERANCE: Final = timedelta(seconds=5)
"""The uncertainty between two clocks once their difference is known; it also covers the provider's whole seconds."""
CLOCK_ERROR: Final = timedelta(days=3)
"""How far from the attempt a message may be dated and still be its own: a clock was wrong by a day, by a zone or both,
or the message was created late. It is less than a week, so that an application which sends the same words each week
without recording their SIDs has no trouble, and so short that a look reads one page of messages to a number."""
_LATEST: Final = timedelta(minutes=2)
"""How long after its doubt began an attempt's message is usually created."""


@dataclass(frozen=True, slots=True)
class Matches:
    """The messages of a list that may be of one attempt."""

    ours: tuple[str, ...]
    """SIDs of messages that fit the attempt and no other text, oldest first. The first that is on record for no other
    attempt is its own."""
    ambiguous: tuple[str, ...]
    """SIDs of messages that may be the attempt's: those with its words first."""


def earliest_creation(begun_at: datetime) -> datetime:
    """No message of an attempt begun at `begun_at` was created before this moment, on any clock that is covered."""
    return begun_at.replace(microsecond=0) - CLOCK_ERROR


def all_in_one(looks: Sequence[Look | None]) -> Look | None:
    """Looks into several lists of one provider. If one of them could not be read, absence is not proved."""
    answered = [look for look in looks if look is not None]
    if not answered or len(answered) < len(looks):
        return None
    for look in answered:
        if look.unread:
            return look
    return Look(
        sightings=tuple(sighting for look in answered for sighting in look.sightings),
        clock_ahead=answered[0].clock_ahead,
        lacks=next((look.lacks for look in answered if look.lacks), None),
    )


def find(look: Look, attempt: Attempt, *, doubted_at: datetime) -> Matches:
    """Sort the messages of a list by whether they may be of an attempt, which came into doubt at `doubted_at`.

    If the database's clock was set back during the attempt, every time is unusual, so that nothing is surely its own.
    """
    # The application's own processor sends to whatever is stored.
    sent_to = e164(attempt.phone or "")
    ours, with_our_words, with_other_words = list[str](), list[str](), list[str]()
    for sighting in sorted(
        look.sightings, key=lambda sighting: (sighting.created_at, sighting.sid)
    ):
        if sighting.to not in (None, sent_to):
            continue
        words = _words(sighting, attempt)
        match words, _time(sighting, attempt, doubted_at, look.clock_ahead):
            case ("another's", _) | (_, "never"):
                pass
            case "ours", "usual" if sighting.to:
                ours.append(sighting.sid)
            case "ours", _:
                with_our_words.append(sighting.sid)
            case "unlike", "unusual":
                pass  # other words at another time are a stranger's
            case _:
                with_other_words.append(sighting.sid)
    return Matches(tuple(ours), (*with_our_words, *with_other_words))


# When


_Time = Literal["usual", "unusual", "never"]
"""unusual: only if a clock was wrong, or it was created late. never: not even then."""


def _time(
    sighting: Sighting, attempt: Attempt, doubted_at: datetime, clock_ahead: timedelta
) -> _Time:
    """Whether it was created when the attempt's message would be, on the provider's clock.

    Args:
        clock_ahead: how far the provider's clock is ahead of the database's now. They may have agreed at the send.
    """
    begun, created = attempt.begun_at.replace(microsecond=0), sighting.created_at
    opens, closes = begun - CLOCK_TOLERANCE, doubted_at + _LATEST
    leads = (timedelta(0), clock_ahead)
    if any(opens + lead <= created <= closes + lead for lead in leads):
        return "usual"
    earliest = opens + min(leads) - CLOCK_ERROR
    latest = closes + max(leads) + CLOCK_ERROR
    return "unusual" if earliest <= created <= latest else "never"


# Whose words


_Words = Literal["ours", "unknown", "unlike", "another's"]
"""unknown: no words are left of the message (redaction), or nobody knows those that were sent."""
_LOOK_ALIKES: Final = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u0060\u00b4", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"')
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-")
    | dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad", "")
)
"""Characters that smart encoding replaces by what looks like them, so that a text fits GSM-7."""


def _words(sighting: Sighting, attempt: Attempt) -> _Words:
    """The text whose words they are."""
    listed, ours = plain(sighting.body), plain(attempt.body or "")
    if not listed:
        return "unknown"
    if listed == ours:
        return "ours"
    if listed in map(plain, attempt.other_bodies):
        return "another's"
    return "unlike" if ours else "unknown"


def plain(body: str) -> str:
    """The body with one kind of space, quote and dash. Smart encoding replaces them; line ends and spaces change."""
    alike = unicodedata.normalize("NFKC", body.translate(_LOOK_ALIKES))
    return re.sub(r"\s+", " ", alike).strip()
