"""What counts as evidence that a text in doubt went out.

A provider has no field of ours to search by. A message is ours when it went from the attempt's sender to the attempt's
number, with the attempt's body, around the attempt. It is compared with what was *sent*, which `begin` keeps, and never
with what the rows say now.

Clocks step, and providers change bodies. So a message that fits except for its time, or except for its words, may still
be ours: it is ambiguous, and a person decides. Two things prove that a message is another text's: its SID, which the
queue has on record, and the exact words of another open text. Its age proves nothing, because the clock may have
stepped.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from smsretry.phone import e164
from smsretry.retry.models import Claim, Look, Sighting

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
    """SIDs of messages that fit it and no other text, oldest first. It is the first that nobody else owns."""
    ambiguous: tuple[str, ...]
    """SIDs of messages that may be the attempt's: those with its words first."""


def earliest_creation(begun_at: datetime) -> datetime:
    """No message of an attempt begun at `begun_at` was created before this moment, on any clock that is covered."""
    return begun_at.replace(microsecond=0) - CLOCK_ERROR


def all_in_one(looks: Sequence[Look | None]) -> Look | None:
    """Looks into several lists of one provider. None: one of them could not be had, so absence is not proved."""
    had = [look for look in looks if look is not None]
    if not had or len(had) < len(looks):
        return None
    return Look(
        sightings=tuple(sighting for look in had for sighting in look.sightings),
        clock_ahead=had[0].clock_ahead,
        lacks=next((look.lacks for look in had if look.lacks), None),
    )


def find(look: Look, claim: Claim) -> Matches:
    """Sort the messages of a list by whether they may be of the attempt that the claimed row is in doubt about.

    If the database's clock was set back during the attempt, no time is usual, so that nothing is surely its own.
    """
    sent_to = e164(
        claim.sent_to or ""
    )  # the application's own processor sends to whatever is stored
    ours, ambiguous = list[str](), list[tuple[bool, str]]()
    for sighting in sorted(
        look.sightings, key=lambda sighting: (sighting.created_at, sighting.sid)
    ):
        if sighting.to not in (None, sent_to):
            continue
        words, time = _words(sighting, claim), _time(sighting, claim, look.clock_ahead)
        if words == "ours" and time == "usual" and sighting.to:
            ours.append(sighting.sid)
        # Other words at another time are two strangers, not one changed text.
        elif (
            words != "another's"
            and time != "never"
            and (words != "unlike" or time == "usual")
        ):
            ambiguous.append((words != "ours", sighting.sid))
    return Matches(
        tuple(ours),
        tuple(sid for _, sid in sorted(ambiguous, key=lambda entry: entry[0])),
    )


# When


_Time = Literal["usual", "unusual", "never"]
"""unusual: only if a clock was wrong, or it was created late. never: not even then."""


def _time(sighting: Sighting, claim: Claim, clock_ahead: timedelta) -> _Time:
    """Whether it was created when the attempt's message would be, on the provider's clock.

    The two clocks differ by this much now. They may have agreed when it was sent.
    """
    doubted, created = claim.in_doubt_since or claim.claimed_at, sighting.created_at
    opens = (claim.attempt_begun_at or doubted).replace(microsecond=0) - CLOCK_TOLERANCE
    closes = doubted + _LATEST
    if any(
        opens + ahead <= created <= closes + ahead
        for ahead in (timedelta(0), clock_ahead)
    ):
        return "usual"
    earliest, latest = (
        opens + min(clock_ahead, timedelta(0)),
        closes + max(clock_ahead, timedelta(0)),
    )
    return (
        "unusual"
        if earliest - CLOCK_ERROR <= created <= latest + CLOCK_ERROR
        else "never"
    )


# Whose words


_Words = Literal["ours", "none", "unlike", "another's"]
"""none: no words are left of it (redaction), or nobody knows those that were sent."""
_LOOK_ALIKES: Final = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u0060\u00b4", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"')
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-")
    | dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad", "")
)
"""Characters that smart encoding replaces by what looks like them, so that a text fits GSM-7."""


def _words(sighting: Sighting, claim: Claim) -> _Words:
    """The text whose words they are."""
    listed, ours = plain(sighting.body), plain(claim.sent_body or "")
    if not listed:
        return "none"
    if listed == ours:
        return "ours"
    if listed in map(plain, claim.other_bodies):
        return "another's"
    return "unlike" if ours else "none"


def plain(body: str) -> str:
    """The body with one kind of space, quote and dash. Smart encoding replaces them; line ends and spaces change."""
    alike = unicodedata.normalize("NFKC", body.translate(_LOOK_ALIKES))
    return re.sub(r"\s+", " ", alike).strip()
