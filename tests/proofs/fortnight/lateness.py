"""Did a text go out when it could? A queue that sends nothing breaks no window and no cap."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

from smsretry.data import retry_minutes
from tests.proofs.fortnight.people import Town
from tests.proofs.fortnight.stories import STOPPED, Story
from tests.proofs.oracles.clocks import MINUTE
from tests.proofs.oracles.law import CAP

PATIENCE: Final = timedelta(minutes=2)
"""How long a text may take that could go out: the worker comes by every minute."""
SPREAD: Final = timedelta(minutes=10)
"""Over how long the texts that wait for the same opening are drawn out."""
PAUSES: Final = tuple(timedelta(minutes=minutes) for minutes in retry_minutes())
"""After a failure, by the sends that count so far."""
QUARANTINE: Final = timedelta(minutes=21)
"""Until a text in doubt is sent again: it was looked for three times."""
LAST_CALL: Final = timedelta(seconds=10)
"""With less time left to live a text is not sent."""
SLOWER: Final = 20429
"""Twilio's code for: too many requests. It costs no attempt."""
MOST_ATTEMPTS: Final = 3
_STILL_OPEN: Final = 5
"""Minutes a window must stay open for a text that finds it open: nothing is sent in its last 70 seconds."""
_OPENING: Final = 15
"""Minutes an opening must last to be one for everybody who waits for it."""


def deadlines(story: Story, town: Town, reached: Iterable[datetime]) -> Iterator[tuple[datetime, datetime, bool]]:
    """Each time that the text could go out: from when, by when it must have been tried, and whether it was.

    Args:
        reached: when the person was texted, if a cap binds this text.
    """
    minutes = _free(town, town.window(story.text), reached)
    patience = PATIENCE + min(story.given_back, 5) * MINUTE
    over = _over(story, town)
    tries = [attempt["begun_at"] for attempt in story.attempts]
    for since, tried in zip(_starts(story), [*tries, None], strict=False):
        by = _chance(minutes, since, town)
        if by is not None and by + patience < over and (tried is None or tried > by + patience):
            yield since, by + patience, False
        elif by is not None and tried is not None:
            yield since, by + patience, True


def _starts(story: Story) -> Iterator[datetime]:
    """When the text was to be tried: when it was due, and after each try that came to nothing."""
    yield story.text.due_at
    counted = 0
    for attempt in story.attempts:
        if attempt["outcome"] == "accepted" or attempt["error_code"] == STOPPED:
            return
        if attempt["settled_by"] == "reconcile" or attempt["outcome"] == "in_doubt":
            again = attempt["begun_at"] + QUARANTINE + 3 * PATIENCE
        else:
            again = None
        counted += attempt["error_code"] != SLOWER
        if counted >= MOST_ATTEMPTS:
            return
        yield again or attempt["finished_at"] + PAUSES[counted]


def _over(story: Story, town: Town) -> datetime:
    """From when on nothing can be asked of the text any more."""
    ends = [town.end, story.text.expires_at - LAST_CALL]
    return min([*ends, story.opted_out_at] if story.opted_out_at else ends)


def _free(town: Town, minutes: bytes, reached: Iterable[datetime]) -> bytes:
    """The minutes of a window in which there is room under the cap."""
    free, times = bytearray(minutes), sorted(reached)
    for first, last in zip(times, times[CAP - 1 :], strict=False):
        full, room = town.almanac.minute(last), town.almanac.minute(first + timedelta(days=1)) + 1
        if full < room:
            free[full:room] = bytes(max(min(room, len(free)) - full, 0))
    return bytes(free)


def _chance(minutes: bytes, since: datetime, town: Town) -> datetime | None:
    """By when a text that is to go out from an instant on must have been tried, if it is tried at once."""
    first = town.almanac.minute(since)
    if minutes[first : first + _STILL_OPEN] == b"\1" * _STILL_OPEN:
        return since
    opens = minutes.find(b"\0" + b"\1" * _OPENING, first)
    return None if opens < 0 else town.start + (opens + 1) * MINUTE + SPREAD
