"""Why a text was late: how the time since it was first due was spent, by the events of its story."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Final

from pydantic import Field

from smsretry.desk.questions.history import reason_of
from smsretry.desk.questions.records import AttemptRecord, EventRecord, TextRecord
from smsretry.instants import Instant, on_clock, span
from smsretry.retry.models import Value

LATE: Final = timedelta(minutes=5)
"""A text is late if it went out this long after it was first due. A run comes every minute."""
NOT_KNOWN: Final = "how its time was spent is not known: it was queued by an older version"
_WAITING: Final = frozenset({"due", "waiting", "held", "under_way", "in_doubt"})
_DUE: Final = "until a run took it"
_PLANNED: Final = "before it was queued"
"""A scheduled send whose time had come."""
_DIED: Final = "with a worker that died"
_SPENT: Final = {
    "in_doubt": "in doubt",
    "looked_for": "in doubt",
    "put_in_doubt": "in doubt",
    "failed": "given up",
    "cancelled": "cancelled",
    "put_off": "put off by the application",
    "more": "for reasons that were not kept one by one",
    **dict.fromkeys(
        ("not_found", "queued_anew", "taken_back", "requeued", "looked_again", "did_not_go_out", "went_out"), _DUE
    ),
}
"""What a text does after each event that has one reason."""
_BECAUSE: Final = {
    "deferred": "waiting",
    "given_back": "given back",
    "held": "held",
    "retry_scheduled": "until the next try",
}
"""Likewise, where the event's reason is said beside it. An event in neither leaves the text waiting as before."""
_ENDS_ITSELF: Final = frozenset({"deferred", "given_back", "held", "retry_scheduled", "put_off"})
"""After these a text is due again at its time. The others last until something happens."""
_SHOWN: Final = 30
"""Seconds that a part must have to be named to people."""
_LONGEST: Final = 100
"""Characters of a reason. The story has all of it."""


class Spent(Value):
    """A part of the time."""

    seconds: float
    on: str = Field(description="What it was spent on, in words.")


class Lateness(Value):
    """How late a text went out, or is."""

    first_due_at: Instant
    until: Instant = Field(description="When it went out, or the time of asking.")
    went_out: bool
    spent: tuple[Spent, ...] = Field(description="The longest part first.")

    def words(self, zone: tzinfo) -> str:
        """In a sentence."""
        long = _rounded((self.until - self.first_due_at).total_seconds())
        due = on_clock(self.first_due_at, zone)
        late = f"went out {long} after it was first due" if self.went_out else f"was first due {long} ago"
        parts = [f"{_rounded(part.seconds)} {part.on}" for part in self.spent if part.seconds >= _SHOWN]
        return f"it {late} ({due}): {'; '.join(parts)}"


def _rounded(seconds: float) -> str:
    """`span` cuts off: what lasted from 22:00 until 08:00 would take 9 h 59 min."""
    return span(seconds if seconds < 60 else round(seconds / 60) * 60)


def lateness(text: TextRecord) -> Lateness | None:
    """How late it is, and why; None: it is not, it has ended unsent, or nobody knows."""
    went_out = _went_out(text)
    until = went_out or (text.asked_at if text.state in _WAITING else None)
    due = text.first_due_at
    if due is None or until is None or until - due <= LATE:
        return None
    spent: dict[str, float] = {}
    for begin, end, on in _parts(text, due, until):
        seconds = (min(end, until) - max(begin, due)).total_seconds()
        if seconds > 0:
            spent[on] = spent.get(on, 0) + seconds
    parts = [Spent(seconds=seconds, on=on) for on, seconds in spent.items() if seconds >= 1]
    longest_first = tuple(sorted(parts, key=lambda part: -part.seconds))
    return Lateness(first_due_at=due, until=until, went_out=went_out is not None, spent=longest_first)


def late(text: TextRecord, zone: tzinfo) -> str | None:
    """The same in a sentence, or that it is not known; None: it is not late."""
    if found := lateness(text):
        return found.words(zone)
    went_out = _went_out(text)
    old = text.first_due_at is None and went_out is not None and went_out - text.queued_at > LATE
    return NOT_KNOWN if old else None


def _went_out(text: TextRecord) -> datetime | None:
    accepted = [attempt.begun_at for attempt in text.history if attempt.outcome == "accepted"]
    marked = [event.at for event in text.events if event.code == "completed"]
    return min(accepted or marked, default=None)


@dataclass(frozen=True, slots=True)
class _Spell:
    """From `begin` on the text's time is spent on something: until `end`, or until something else happens.

    Until `last` nothing else counts: it is one reason that came again and again.
    """

    begin: datetime
    on: str
    end: datetime | None = None
    last: datetime | None = None


def _parts(text: TextRecord, due: datetime, until: datetime) -> Iterator[tuple[datetime, datetime, str]]:
    """The time from due until then, piece by piece."""
    now = _Spell(due, _PLANNED, max(due, text.queued_at))
    for spell in sorted(_spells(text), key=lambda spell: spell.begin):
        if now.last and spell.begin < now.last:
            continue
        yield from _pieces(now, spell.begin)
        now = spell
    yield from _pieces(now, until)


def _pieces(spell: _Spell, until: datetime) -> Iterator[tuple[datetime, datetime, str]]:
    end = min(max(spell.end or until, spell.last or spell.begin), until)
    yield spell.begin, end, spell.on
    yield end, until, _DUE


def _spells(text: TextRecord) -> Iterator[_Spell]:
    for attempt in text.history:
        yield _Spell(attempt.begun_at, _DIED if attempt.worker_died else "being sent", _left(attempt))
    for event in text.events:
        if event.code not in _SPENT and event.code not in _BECAUSE:
            continue
        if event.since:
            yield _Spell(event.since, _DIED, last=event.last_at or event.at)
        yield _Spell(
            event.at if not event.since else event.last_at or event.at,
            _on(event),
            event.until if event.code in _ENDS_ITSELF else None,
            event.last_at,
        )


def _left(attempt: AttemptRecord) -> datetime | None:
    """When its answer came. What settled it later says nothing of that."""
    return attempt.finished_at if attempt.settled_by == "response" else None


def _on(event: EventRecord) -> str:
    if event.code in _SPENT:
        return _SPENT[event.code]
    if event.why_code == "quiet_hours":
        return "in quiet hours"
    what, reason = _BECAUSE[event.code], (reason_of(event) or "").partition(". ")[0]
    short = reason if len(reason) <= _LONGEST else f"{reason[: _LONGEST - 1].rstrip()}…"
    return f"{what}: {short}" if short else what
