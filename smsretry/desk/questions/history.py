"""What was done and decided about a text, oldest first."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final

from smsretry.desk.questions.records import Step, TextRecord
from smsretry.instants import on_clock, span

_LATE: Final = timedelta(minutes=5)
"""A text is late if it went out this long after it was first due. A run comes every minute."""
_ONE_WORD: Final = re.compile(r"[a-z][a-z0-9_-]{0,39}", re.IGNORECASE)
_MADE: Final = {
    "row": "queued",
    "scheduled send": "scheduled",
    "send log": "made by the application",
}
_SETTLED_BY: Final = {
    "callback": "the provider's report",
    "reconcile": "the provider's list",
    "operator": "a person",
}
_CONSENT: Final[dict[str | None, str]] = {
    "opted_in": "they have opted in",
    "opted_out": "they have opted out",
}
_SAID: Final = {
    ("was", "became"): "from {was} to {became}",
    ("source",): "source {source}",
    ("late",): "{late} after it was first due",
    ("number",): "counted as attempt {number}",
    ("code",): "code {code}",
    ("to",): "to {to}",
    ("sid",): "as {sid}",
    ("taken_for",): "taken for {taken_for}",
    ("received_by",): "received by {received_by}",
    ("sender",): "from {sender}",
    ("rule",): "under {rule}",
    ("consent",): "consent was {consent}",
    ("settled_by",): "according to {settled_by}",
    ("message_class",): "{message_class}",
    ("planned_for",): "planned for {planned_for}",
    ("not_after",): "not after {not_after}",
    ("until",): "next at {until}",
    ("since",): "begun at {since}",
    ("times", "last_at"): "{times} times, the last at {last_at}",
    ("row", "minutes"): "in row {row}, {minutes} min apart",
    ("who",): "by {who}",
    ("run_id",): "run {run_id}",
}
"""What is said of a moment, in this order, as far as that is known."""


def history(text: TextRecord, zone: tzinfo) -> Iterator[str]:
    """A line for each moment, on the recipient's clock; then what is so now."""
    planned = {
        "planned_for": text.planned_for,
        "not_after": text.planned_for and text.expires_at,
    }
    of_class = {} if text.kind == "send log" else {"message_class": text.message_class}
    lines = [(text.queued_at, _line(_MADE[text.kind], {**of_class, **planned}, zone))]
    if text.first_due_at and text.first_due_at > text.queued_at:
        lines.append((text.first_due_at, "due for the first time"))
    lines += ((step.at, _step_text(step, text, zone)) for step in text.steps)
    yield from (
        f"{on_clock(at, zone)}  {description}"
        for at, description in sorted(lines, key=lambda entry: entry[0])
    )
    if text.kind == "row":
        yield f"{text.attempts} of {text.max_attempts} attempts were counted"
    since = f" since {on_clock(text.consent_at, zone)}" if text.consent_at else ""
    remark = (
        f"; the number opted out on {on_clock(text.opted_out_since, zone)}"
        if text.opted_out_since
        else ""
    )
    source = f" ({one_word(text.consent_source)})" if text.consent_source else ""
    yield f"{_CONSENT.get(text.consent, 'nobody knows whether they want texts')}{since}{source}{remark}"
    if text.phone_status:
        yield f"the number is marked {one_word(text.phone_status)}"


def late(text: TextRecord, moment: datetime) -> str:
    """How long after its time that was, if it was late; else nothing."""
    due = text.first_due_at or text.planned_for
    return span((moment - due).total_seconds()) if due and moment - due > _LATE else ""


def _step_text(step: Step, text: TextRecord, zone: tzinfo) -> str:
    """Which send it is about, what it was, what is known of it, and why."""
    fields = step.model_dump(exclude={"what", "send", "because", "why_code"}) | {
        "late": late(text, step.at)
        if step.what == "accepted" and not step.settled_by
        else None,
        "source": step.source and one_word(step.source),
        "settled_by": _SETTLED_BY.get(step.settled_by or ""),
        "until": step.until if step.until and step.until > step.at else None,
    }
    action = (
        "not_found"
        if step.what == "not_sent" and step.settled_by == "reconcile"
        else step.what
    )  # which proves no more
    reason = step.because or (step.why_code or "").replace("_", " ")
    of_send = f"send {step.send}: " if step.send else ""
    return f"{of_send}{_line(action, fields, zone)}{f': {reason}' if reason else ''}"


def _line(action: str, fields: Mapping[str, Any], zone: tzinfo) -> str:
    values_shown = {
        name: on_clock(value, zone) if isinstance(value, datetime) else value
        for name, value in fields.items()
    }
    parts = [
        words.format_map(values_shown)
        for names, words in _SAID.items()
        if all(values_shown.get(name) for name in names)
    ]
    return ", ".join([action.replace("_", " "), *parts])


def one_word(written: str) -> str:
    """A single word, such as the application writes. Free text may name a person, so it is not shown."""
    return (
        written if _ONE_WORD.fullmatch(written) else "in words that are not shown here"
    )
