"""What was done and decided about a text, oldest first."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from operator import itemgetter
from typing import Final

from smsretry.desk.questions.records import AttemptRecord, EventRecord, TextRecord
from smsretry.instants import on_clock, span

_LATE: Final = timedelta(minutes=5)
"""A text is late if it went out this long after it was first due. A run comes every minute."""
_ONE_WORD: Final = re.compile(r"[a-z][a-z0-9_-]{0,39}", re.IGNORECASE)
_MADE: Final = {"row": "queued", "scheduled send": "scheduled", "send log": "made by the application"}
_SETTLED: Final = {"callback": "the provider's report", "reconcile": "a look for it", "operator": "a person"}
_CONSENT: Final[dict[str | None, str]] = {"opted_in": "they have opted in", "opted_out": "they have opted out"}


def history(text: TextRecord, zone: tzinfo) -> Iterator[str]:
    """A line for each moment, on the recipient's clock; then what is so now."""
    planned = f", planned for {on_clock(text.planned_for, zone)}" if text.planned_for else ""
    if planned and text.expires_at:
        planned += f", and not after {on_clock(text.expires_at, zone)}"
    of_class = f", {text.message_class}" if text.kind != "send log" else ""
    moments = [(text.queued_at, f"{_MADE[text.kind]}{of_class}{planned}")]
    if text.first_due_at and text.first_due_at > text.queued_at:
        moments.append((text.first_due_at, "due for the first time"))
    for place, attempt in enumerate(text.history, 1):
        moments += ((at, f"send {place}: {what}") for at, what in _attempt(place, attempt, text))
    # That nothing was found is said by the send that counts as not sent.
    moments += ((event.at, _event(event, zone)) for event in text.events if event.code != "not_found")
    yield from (f"{on_clock(at, zone)}  {what}" for at, what in sorted(moments, key=itemgetter(0)))
    if text.kind == "row":
        yield f"{text.attempts} of {text.max_attempts} attempts were counted"
    since = f" since {on_clock(text.consent_at, zone)}" if text.consent_at else ""
    said = f"; the number opted out on {on_clock(text.opted_out_since, zone)}" if text.opted_out_since else ""
    consent = _CONSENT.get(text.consent, "nobody knows whether they want texts")
    yield f"{consent}{since}{_source(text.consent_source)}{said}"
    if text.phone_status:
        yield f"the number is marked {one_word(text.phone_status)}"


def late(text: TextRecord, moment: datetime) -> str:
    """How long after its time that was, if it was late; else nothing."""
    due = text.first_due_at or text.planned_for
    return f", {span((moment - due).total_seconds())} after it was first due" if due and moment - due > _LATE else ""


def _attempt(place: int, attempt: AttemptRecord, text: TextRecord) -> Iterator[tuple[datetime, str]]:
    """Sends are numbered in order: two of them have one attempt number if the first did not count."""
    outcome, of = _spaced(attempt.outcome), text.sender and text.sender.shown
    parts = {
        "{}": outcome + (late(text, attempt.begun_at) if attempt.outcome == "accepted" else ""),
        "counted as attempt {}": attempt.number if attempt.number not in (0, place) else None,
        "counted as no attempt": attempt.number == 0,
        "code {}": attempt.code,
        "as {}": attempt.sid,
        "from {}": attempt.sender if of not in (None, attempt.sender) else None,
        "its worker died": attempt.worker_died,
        "under {}": attempt.rule,
        "consent was {}": attempt.consent and _spaced(attempt.consent),
        "run {}": attempt.run_id,
    }
    yield attempt.begun_at, "; ".join(words.format(value) for words, value in parts.items() if value)
    if attempt.finished_at and attempt.settled_by not in (None, "response"):
        yield attempt.finished_at, f"{outcome}, says {_SETTLED.get(attempt.settled_by, attempt.settled_by)}"
    if attempt.delivery and attempt.delivery_at:
        code = f", code {attempt.delivery_code}" if attempt.delivery_code else ""
        yield attempt.delivery_at, f"{attempt.delivery}{code}, as reported"


def _event(event: EventRecord, zone: tzinfo) -> str:
    """Its word, what changed, when it is due next, how often it was, who did it, and why."""
    told = _spaced(event.code)
    if event.was or event.became:
        told += f" from {_spaced(event.was)} to {_spaced(event.became)}{_source(event.source)}"
    told += f", next at {on_clock(event.until, zone)}" if event.until and event.until > event.at else ""
    told += f", begun at {on_clock(event.since, zone)}" if event.since else ""
    if event.times > 1 and event.last_at:
        told += f" ({event.times} times, the last at {on_clock(event.last_at, zone)})"
    told += f" by {event.who}" if event.who not in (None, "smsretry") else ""
    reason = event.because or (_spaced(event.why_code) if event.why_code else "")
    return f"{told}: {reason}" if reason else told


def _source(written: str | None) -> str:
    return f" ({one_word(written)})" if written else ""


def _spaced(word: str | None) -> str:
    return (word or "none").replace("_", " ")


def one_word(written: str) -> str:
    """A single word, such as the application writes. Free text may name a person, so it is not shown."""
    return written if _ONE_WORD.fullmatch(written) else "in words that are not shown here"
