"""What was done and decided about a text, oldest first."""

import re
from collections.abc import Iterator
from datetime import tzinfo
from typing import Final

from smsretry.desk.questions.records import AttemptRecord, TextRecord
from smsretry.instants import on_clock

_ONE_WORD: Final = re.compile(r"[a-z][a-z0-9_-]{0,39}", re.IGNORECASE)


def history(text: TextRecord, zone: tzinfo) -> Iterator[str]:
    moments = [(text.queued_at, f"{'queued' if text.is_text else 'scheduled'}, {text.message_class}")]
    for attempt in text.history:
        moments.append((attempt.begun_at, _attempt(attempt, text)))
        if attempt.finished_at and attempt.settled_by not in (None, "response"):
            moments.append((attempt.finished_at, f"settled by {attempt.settled_by}: {attempt.outcome}"))
        if attempt.delivery and attempt.delivery_at:
            code = f", code {attempt.delivery_code}" if attempt.delivery_code else ""
            moments.append((attempt.delivery_at, f"attempt {attempt.number}: {attempt.delivery}{code}, as reported"))
    for step in text.steps:
        moments.append((step.taken_at, f"{step.step} by {step.who}: {step.because}"))
    yield from (f"{on_clock(at, zone)}  {what}" for at, what in sorted(moments))
    if text.is_text:
        yield f"{text.attempts} of {text.max_attempts} attempts were counted"
    yield _consent(text, zone)
    if text.phone_status:
        yield f"the number is marked {one_word(text.phone_status)}"


def _attempt(attempt: AttemptRecord, text: TextRecord) -> str:
    outcome = attempt.outcome.replace("_", " ")
    parts = [
        f"attempt {attempt.number}: {outcome}",
        f"code {attempt.code}" if attempt.code else "",
        f"as {attempt.sid}" if attempt.sid else "",
        f"from {attempt.sender}" if attempt.sender and text.sender not in (None, attempt.sender) else "",
        "its worker died" if attempt.worker_died else "",
        f"under {attempt.rule}" if attempt.rule else "",
        f"consent was {attempt.consent}" if attempt.consent else "",
        f"run {attempt.run_id}" if attempt.run_id else "",
    ]
    return "; ".join(part for part in parts if part)


def _consent(text: TextRecord, zone: tzinfo) -> str:
    since = f" since {on_clock(text.consent_at, zone)}" if text.consent_at else ""
    source = f" ({one_word(text.consent_source)})" if text.consent_source else ""
    suppressed = f"; the number opted out on {on_clock(text.suppressed_since, zone)}" if text.suppressed_since else ""
    return f"consent is {text.consent or 'not known'}{since}{source}{suppressed}"


def one_word(written: str) -> str:
    """A single word, such as the application writes. Free text may name a person, so it is not shown."""
    return written if _ONE_WORD.fullmatch(written) else "in words that are not shown here"
