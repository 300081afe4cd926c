"""The law against what happened: what went out and should not have, what could have and did not, and for which reason.

It shares no rule with the code under test.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from tests.proofs.fortnight.people import Owed, Town
from tests.proofs.oracles.clocks import MINUTE
from tests.proofs.oracles.law import CAP
from tests.proofs.town.book import Row, Story
from tests.proofs.town.report import Finding

STOPPED = 21610
"""Twilio's code for: this person has answered STOP."""
PATIENCE = timedelta(minutes=2)
"""How long a text may take that could go out: the worker comes by every minute."""
SPREAD = timedelta(minutes=10)
"""Over how long the texts that wait for the same opening are drawn out."""
PAUSES = [timedelta(minutes=minutes) for minutes in (1, 5, 15)]
"""After a failure, by the sends that count so far."""
QUARANTINE = timedelta(minutes=21)
"""Until a text in doubt is sent again: it was looked for three times."""
LAST_CALL = timedelta(seconds=10)
"""With less time left to live a text is not sent."""
SLOWER = 20429
"""Twilio's code for: too many requests. It costs no attempt."""
MOST_ATTEMPTS = 3
_GUARD = timedelta(seconds=70)
"""Before a closing nothing is sent any more."""
_A_PASS = timedelta(seconds=30)
"""At most between the instant at which a row was judged and the one at which that was written."""
_STILL_OPEN = 5
"""Minutes a window must stay open for a text that finds it open: nothing is sent in its last 70 seconds."""
_OPENING = 15
"""Minutes an opening must last to be one for everybody who waits for it."""


def deadlines(
    text: Owed, story: Story, town: Town, given_back: int, reached: Iterable[datetime]
) -> Iterator[tuple[datetime, datetime, bool]]:
    """Each time that the text could go out: from when, by when it must have been tried, and whether it was.

    Args:
        reached: when the person was texted, if a cap binds this text.
    """
    minutes = _free(town, town.window_of(text), reached)
    patience = PATIENCE + min(given_back, 5) * MINUTE
    over = _over(text, town)
    tries = [attempt["begun_at"] for attempt in story.attempts]
    for since, tried in zip(_starts(text, story), [*tries, None], strict=False):
        by = _chance(minutes, since, town)
        if (
            by is not None
            and by + patience < over
            and (tried is None or tried > by + patience)
        ):
            yield since, by + patience, False
        elif by is not None and tried is not None:
            yield since, by + patience, True


def _starts(text: Owed, story: Story) -> Iterator[datetime]:
    """When the text was to be tried: when it was due, and after each try that came to nothing."""
    yield text.due_at
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


def _over(text: Owed, town: Town) -> datetime:
    """From when on nothing can be asked of the text any more."""
    assert text.expires_at is not None
    ends = [town.end, text.expires_at - LAST_CALL]
    return min([*ends, text.stopped_at] if text.stopped_at else ends)


def _free(town: Town, minutes: bytes, reached: Iterable[datetime]) -> bytes:
    """The minutes of a window in which there is room under the cap."""
    free, times = bytearray(minutes), sorted(reached)
    for opening, closing in zip(times, times[CAP - 1 :], strict=False):
        full, until = (
            town.almanac.minute(closing),
            town.almanac.minute(opening + timedelta(days=1)) + 1,
        )
        if full < until:
            free[full:until] = bytes(max(min(until, len(free)) - full, 0))
    return bytes(free)


def _chance(minutes: bytes, since: datetime, town: Town) -> datetime | None:
    """By when a text that is to go out from an instant on must have been tried, if it is tried at once."""
    start = town.almanac.minute(since)
    if minutes[start : start + _STILL_OPEN] == b"\1" * _STILL_OPEN:
        return since
    opens = minutes.find(b"\0" + b"\1" * _OPENING, start)
    return None if opens < 0 else town.start + (opens + 1) * MINUTE + SPREAD


def reached(
    stories: Mapping[UUID, Story], town: Town
) -> defaultdict[tuple[UUID, str | None], list[datetime]]:
    """When somebody may have been texted by a business: what was accepted, and what was in doubt for a while."""
    times: defaultdict[tuple[UUID, str | None], list[datetime]] = defaultdict(list)
    for text in town.texts:
        times[text.reached_at] += [
            attempt["finished_at"]
            if attempt["settled_by"] == "response"
            else attempt["begun_at"]
            for attempt in stories[text.retry_id].attempts
            if attempt["outcome"] in ("accepted", "in_doubt")
            or attempt["settled_by"] == "reconcile"
        ]
    return times


def valid_too_long(text: Owed, story: Story, town: Town) -> Iterator[Finding]:
    """What Twilio might still deliver after hours."""
    minutes = town.window_of(text)
    for message in story.messages:
        start = town.almanac.minute(message.at)
        end = town.almanac.minute(
            message.at + message.valid_for - timedelta(microseconds=1)
        )
        if minutes[start] and 0 in minutes[start : end + 1]:
            yield (
                "valid past its closing",
                f"{message.at} accepted, valid for {message.valid_for}",
            )


def waits_rightly(text: Owed, story: Story, town: Town) -> Iterator[Finding]:
    """What still waits does so for an hour that is open, or for a person who is asked again soon."""
    for row in story.rows:
        if row["status"] == "processing":
            yield "lost", "still processing"
        elif row["status"] == "pending" and row["held_since"]:
            if not row["why"] or row["scheduled_for"] > town.end + timedelta(hours=1):
                yield "lost", f"held until {row['scheduled_for']}: {row['why']}"
        elif row["status"] == "pending":
            # What has just failed waits a moment, whatever the hour; what is in doubt is looked for at any.
            pauses = [
                a["finished_at"] + PAUSES[-1] >= row["scheduled_for"]
                for a in story.attempts
            ]
            if not (
                row["in_doubt_since"]
                or any(pauses[-1:])
                or text.is_open(row["scheduled_for"])
            ):
                yield (
                    "lost",
                    f"waits for {row['scheduled_for']}, which is a closed hour",
                )


def over_cap(stories: Mapping[UUID, Story], town: Town) -> Iterator[Finding]:
    """Marketing texts to somebody in a state with a cap who had been sent that many in the 24 hours before."""
    numbers = defaultdict[tuple[UUID, str | None], list[tuple[datetime, datetime]]](
        list
    )
    for text in town.texts:
        story = stories[text.retry_id]
        numbers[text.reached_at] += [
            (story.begun_at(message), message.at) for message in story.messages
        ]
    for text in town.texts:
        for message in stories[text.retry_id].messages if is_capped(text) else ():
            begun, since = (
                stories[text.retry_id].begun_at(message),
                message.at - timedelta(days=1),
            )
            before = [
                send
                for send in numbers[text.reached_at]
                if send[0] < begun and send[1] > since
            ]
            if len(before) >= CAP:
                yield (
                    "over the daily cap",
                    f"{text.name}: begun {begun}; begun and accepted before: {before}",
                )


def is_capped(text: Owed) -> bool:
    """Whether a state permits so many of them in a day."""
    return text.customer.person.capped and not text.transactional


@dataclass(frozen=True, slots=True)
class Wait:
    """A row that was deferred, as it stood in the database right afterwards."""

    at: datetime
    until: datetime
    explanation: str | None
    why_code: str | None


def waited_wrongly(text: Owed, waits: Iterable[Wait], town: Town) -> Iterator[Finding]:
    """Deferrals to an hour that is not permitted, or for hours that were open, or for a cap that nobody has."""
    for wait in waits:
        if not text.is_open(wait.until):
            yield (
                "due at a closed hour",
                f"at {wait.at} until {wait.until} ({wait.explanation})",
            )
        closed = wait.why_code == "quiet_hours" and (wait.explanation or "").startswith(
            "Quiet hours: "
        )
        if not (closed and _is_closed(text, wait.at, town)) and not (
            wait.why_code == "daily_cap" and is_capped(text)
        ):
            yield "unexplained", f"at {wait.at} until {wait.until}: {wait.explanation}"


def ended_wrongly(text: Owed, story: Story, town: Town) -> Iterator[Finding]:
    """Texts that were given up, cancelled or held, and not for the reason that is told."""
    for row in story.rows:
        is_told = row["status"] in ("failed", "cancelled") or (
            row["held_since"] and not row["in_doubt_since"]
        )
        if is_told and not _explains(row, text, story, town):
            yield (
                "unexplained",
                f"{row['status']} {row['updated_at']}: {row['why_code']} {row['last_error']}",
            )


def _explains(row: Row, text: Owed, story: Story, town: Town) -> bool:
    at, minutes, explanation = (
        row["updated_at"],
        town.window_of(text),
        row["last_error"] or row["why"] or "",
    )
    match row["why_code"]:
        case (
            "no_phone"
            | "number_invalid"
            | "number_spelling"
            | "no_time_zone"
            | "hours_unreadable"
        ):
            return bool(explanation) and 1 not in minutes
        case "no_opening":
            return bool(explanation) and 1 not in minutes[town.almanac.minute(at) :]
        case "opted_out" | "words_unread":
            return (
                bool(explanation)
                and text.stopped_at is not None
                and text.stopped_at <= at + _A_PASS
            )
        case "expired":
            is_over = text.expires_at is not None and text.expires_at <= at + _GUARD
            return bool(explanation) and (
                is_over or _is_closed(text, at, town) or is_capped(text)
            )
    code = story.attempts[-1]["error_code"] if story.attempts else None
    return (
        code is not None
        and code == row["error_code"]
        and f"Twilio {code}: " in explanation
    )


def _is_closed(text: Owed, at: datetime, town: Town) -> bool:
    """Whether its window was, or was about to be."""
    start, end = town.almanac.minute(at - _A_PASS), town.almanac.minute(at + _GUARD)
    return 0 in town.window_of(text)[max(start, 0) : end + 1]
