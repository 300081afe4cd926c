"""What was done and decided about a text, oldest first."""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta, tzinfo
from operator import itemgetter
from typing import Any, Final

from smsretry.desk.questions.records import Step, TextRecord
from smsretry.instants import on_clock, span
from smsretry.vocabulary import spaced

_LATE_AFTER: Final = timedelta(minutes=5)
"""A text that goes out this long after it was first due is late. A run comes every minute."""
_SINGLE_WORD: Final = re.compile(r"[a-z][a-z0-9_-]{0,39}", re.IGNORECASE)
_BEGINNINGS: Final = {
    "row": "queued",
    "scheduled send": "scheduled",
    "send log": "made by the application",
}
_SOURCES: Final = {
    "callback": "the provider's report",
    "reconcile": "the provider's list",
    "operator": "a person",
    "application": "the application",
}
_CONSENTS: Final = {
    "opted_in": "they have opted in",
    "opted_out": "they have opted out",
}
_MEANINGS: Final = {"unsure": "which may mean stop, and nobody has read it yet"}
"""What the words of a customer were understood as, where the stored word does not say it."""
_PHRASES: Final = (
    "from {was} to {became}",
    "source {source}",
    "{late} after it was first due",
    "counted as attempt {number}",
    "code {code}",
    "to {to}",
    "as {sid}",
    "{meaning}",
    "to the number of {received_by}",
    "from {sender}",
    "under {rule}",
    "consent was {consent}",
    "according to {settled_by}",
    "{message_class}",
    "planned for {planned_for}",
    "not after {not_after}",
    "next at {until}",
    "begun at {since}",
    "{times} times, the last at {last_at}",
    "in row {row}, {minutes} min apart",
    "by {who}",
    "run {run_id}",
)
"""The words for a moment's fields, in this order. A phrase is left out if one of its fields is empty."""


def history(text: TextRecord, zone: tzinfo) -> Iterator[str]:
    """A line for each moment, on the clock of `zone`; then the attempts, the consent and the number as they are now."""
    entries = [(text.queued_at, _beginning(text, zone))]
    if text.first_due_at and text.first_due_at > text.queued_at:
        entries.append((text.first_due_at, "due for the first time"))
    entries += [
        (step.at, _step_line(step, text, zone)) for step in _told_once(text.steps)
    ]
    # Entries of the same moment keep their order.
    for at, line in sorted(entries, key=itemgetter(0)):
        yield f"{on_clock(at, zone)}  {line}"
    if text.kind == "row":
        yield f"{text.attempts} of {text.max_attempts} attempts used"
    yield _consent_line(text, zone)
    if text.phone_status:
        yield f"the number is marked {single_word(text.phone_status)}"


def _told_once(steps: Iterable[Step]) -> Iterator[Step]:
    """The steps; equal refusals of the same attempt, which used none, as the first with how often and until when."""
    groups = dict[object, list[Step]]()
    for place, step in enumerate(steps):
        fields = step.model_dump()
        refusal = (fields.get("code"), fields.get("number"))
        group = refusal if step.what == "rejected" else place
        groups.setdefault(group, []).append(step)
    for first, *again in groups.values():
        times = {"times": len(again) + 1, "last_at": again[-1].at} if again else {}
        yield first.model_copy(update=times)


def lateness(text: TextRecord, moment: datetime) -> str | None:
    """How long after its time that was, in words. None: it was not late."""
    due = text.first_due_at or text.planned_for
    if due is None or moment - due <= _LATE_AFTER:
        return None
    return span((moment - due).total_seconds())


def _beginning(text: TextRecord, zone: tzinfo) -> str:
    fields = {
        "planned_for": text.planned_for,
        "not_after": text.planned_for and text.expires_at,
        "message_class": "" if text.kind == "send log" else text.message_class,
    }
    return _line(_BEGINNINGS[text.kind], fields, zone)


def _consent_line(text: TextRecord, zone: tzinfo) -> str:
    line = _CONSENTS.get(text.consent or "", "no consent is on record")
    if text.consent_at:
        line += f" since {on_clock(text.consent_at, zone)}"
    if text.consent_source:
        line += f" ({single_word(text.consent_source)})"
    if text.opted_out_since:
        line += f"; the number opted out on {on_clock(text.opted_out_since, zone)}"
    return line


def _step_line(step: Step, text: TextRecord, zone: tzinfo) -> str:
    """The send that a step is about, what it was, what is known of it, and why."""
    fields = step.model_dump()
    meaning = str(fields.get("taken_for", ""))
    is_answer = step.what == "accepted" and not step.settled_by
    fields |= {
        "meaning": meaning and _MEANINGS.get(meaning, f"understood as {meaning}"),
        "settled_by": _SOURCES.get(step.settled_by or ""),
        "late": lateness(text, step.at) if is_answer else None,
        "source": step.source and single_word(step.source),
        "until": step.until if step.until and step.until > step.at else None,
    }
    # The provider's list did not have it, and no more is known.
    is_missing = (step.what, step.settled_by) == ("not_sent", "reconcile")
    line = _line("not_found" if is_missing else step.what, fields, zone)
    send = f"send {step.send}: " if step.send else ""
    reason = step.because or spaced(step.why_code or "")
    return f"{send}{line}: {reason}" if reason else f"{send}{line}"


def _line(action: str, fields: Mapping[str, Any], zone: tzinfo) -> str:
    values = {
        name: on_clock(value, zone) if isinstance(value, datetime) else value
        for name, value in fields.items()
    }
    phrases = [
        phrase.format_map(values)
        for phrase in _PHRASES
        if all(values.get(name) for name in re.findall(r"{(\w+)}", phrase))
    ]
    return ", ".join([spaced(action), *phrases])


def single_word(text: str) -> str:
    """A word that the application wrote. Free text may name a person, so it is not shown."""
    if _SINGLE_WORD.fullmatch(text):
        return text
    return "in words that are not shown here"
