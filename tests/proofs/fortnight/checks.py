"""Twilio's ledger and the database against the law: what went out and should not have, and the other way round.

It shares no rule with the code under test. Whether a reason is the one the code gives is asked in `reasons`.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from tests.proofs.fortnight.lateness import PAUSES, deadlines
from tests.proofs.fortnight.people import Town
from tests.proofs.fortnight.simulation import Record
from tests.proofs.fortnight.stories import Story
from tests.proofs.oracles.law import CAP

_A_DAY: Final = timedelta(days=1)
_HELD_LOOK: Final = timedelta(hours=1)
"""At the latest so long after its mending a held text goes on; in doubt, it takes longest."""
_AT_ONCE: Final = timedelta(microseconds=1)
KINDS: Final = (
    "outside the window", "valid past its closing", "after an opt-out", "over the daily cap", "doubled", "lost",
    "failed, though accepted", "late", "due at a closed hour", "unexplained", "bugs",
)  # fmt: skip
"""Outside: accepted at an hour that some rule closes on some clock. Past: Twilio might still send it then. Lost: ended
without a reason, or completed and unknown to Twilio, or waiting for a closed hour at the end. Late: it could go out and
was not tried in time. Due at a closed hour: deferred to one. Unexplained: not for the reason the check gives."""
Finding = tuple[str, str]
"""What it is, and a line about it."""
_Number = tuple[UUID, str | None]
"""A business and a phone number: what a cap is counted by."""


@dataclass(slots=True)
class Verdict:
    """Everything that was found. Nothing should be."""

    found: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    judged: int = 0
    """Times that a text could go out, and it was asked whether it did."""

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not any(self.found.values())

    def __getitem__(self, kind: str) -> int:
        return len(self.found[kind])


def judge(town: Town, record: Record, stories: list[Story]) -> Verdict:
    """Judge a fortnight that is over."""
    verdict = Verdict()
    for bug in record.bugs:
        verdict.found["bugs"].append(bug)
    reached = _reached(stories)
    for story in stories:
        bound = story.text.customer.who.capped and not story.text.transactional
        for since, by, on_time in deadlines(story, town, reached[_number(story)] if bound else ()):
            verdict.judged += 1
            if not on_time:
                verdict.found["late"].append(f"{story.name}: from {since}, to be tried by {by}; {story.row}")
        for kind, line in (*_of_messages(story, town), *_of_row(story, town)):
            verdict.found[kind].append(f"{story.name}: {line}")
    for kind, line in (*_over_cap(stories), *_at_closed_hours(stories, town, record)):
        verdict.found[kind].append(line)
    return verdict


def _number(story: Story) -> _Number:
    return story.text.customer.business.id, story.text.customer.phone


def _reached(stories: list[Story]) -> defaultdict[_Number, list[datetime]]:
    """When somebody may have been texted by a business: what was accepted, and what was in doubt for a while."""
    found: defaultdict[_Number, list[datetime]] = defaultdict(list)
    for story in stories:
        found[_number(story)] += [
            attempt["finished_at"] if attempt["settled_by"] == "response" else attempt["begun_at"]
            for attempt in story.attempts
            if attempt["outcome"] in ("accepted", "in_doubt") or attempt["settled_by"] == "reconcile"
        ]
    return found


def _of_messages(story: Story, town: Town) -> Iterator[Finding]:
    """What Twilio accepted: once, at a permitted hour, with consent, and not to be delivered after hours."""
    minutes = town.window(story.text)
    for entry in story.entries:
        at = entry.accepted_at
        first = town.almanac.minute(at)
        if not minutes[first]:
            yield "outside the window", f"accepted {at}"
        last = town.almanac.minute(at + (entry.validity_period or timedelta(0)) - _AT_ONCE)
        if minutes[first] and 0 in minutes[first : last + 1]:
            yield "valid past its closing", f"accepted {at}, valid for {entry.validity_period}"
        if story.opted_out_at and story.begun_at(entry) > story.opted_out_at:
            yield "after an opt-out", f"opted out {story.opted_out_at}, begun {story.begun_at(entry)}"
    for entry in story.entries[1:]:
        yield "doubled", f"accepted {story.entries[0].accepted_at} and {entry.accepted_at}"


def _of_row(story: Story, town: Town) -> Iterator[Finding]:
    """Where the row ended: a text is sent, or there is a reason, or it waits."""
    row = story.row
    match row["status"]:
        case "completed":
            if not story.entries:
                yield "lost", "completed, and Twilio knows nothing of it"
        case "failed" | "cancelled":
            if story.entries:
                yield "failed, though accepted", str(row["last_error"])
            elif not row["last_error"]:
                yield "lost", f"{row['status']} without a reason"
        case "pending" if row["held_since"]:
            # It waits for a person, whatever the hour, and is looked at again soon: nobody need requeue it.
            if not row["why"] or row["scheduled_for"] > town.end + _HELD_LOOK:
                yield "lost", f"held until {row['scheduled_for']}: {row['why']}"
        case "pending":
            # What has just failed waits a moment, whatever the hour; what is in doubt is looked for at any.
            pauses = [a["finished_at"] + PAUSES[-1] >= row["scheduled_for"] for a in story.attempts]
            if not (row["in_doubt_since"] or any(pauses[-1:]) or _is_open(town, story, row["scheduled_for"])):
                yield "lost", f"waits for {row['scheduled_for']}, which is a closed hour"
        case status:
            yield "lost", f"still {status}"


def _is_open(town: Town, story: Story, at: datetime) -> bool:
    minute = town.almanac.minute(at)
    return town.window(story.text)[minute] == 1


def _over_cap(stories: list[Story]) -> Iterator[Finding]:
    """Marketing texts to somebody in a state with a cap who had been sent that many in the 24 hours before."""
    numbers: defaultdict[_Number, list[tuple[datetime, datetime]]] = defaultdict(list)
    for story in stories:
        numbers[_number(story)] += [(story.begun_at(entry), entry.accepted_at) for entry in story.entries]
    for story in stories:
        if story.text.customer.who.capped and not story.text.transactional:
            for entry in story.entries:
                begun, since = story.begun_at(entry), entry.accepted_at - _A_DAY
                before = [other for other in numbers[_number(story)] if other[0] < begun and other[1] > since]
                if len(before) >= CAP:
                    yield "over the daily cap", f"{story.name}: begun {begun}; begun and accepted before: {before}"


def _at_closed_hours(stories: list[Story], town: Town, record: Record) -> Iterator[Finding]:
    """Deferrals to an hour that is not permitted."""
    by_id = {story.text.retry_id: story for story in stories}
    for wait in record.waits:
        story = by_id[wait.retry_id]
        if not _is_open(town, story, wait.until):
            yield "due at a closed hour", f"{story.name}: at {wait.at} deferred until {wait.until} ({wait.why})"
