"""What was done and decided about a text, oldest first."""

import re
from collections import defaultdict
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
    """The steps; equal refusals, which used no attempt, as the first with how often and until when."""
    refusals = defaultdict[tuple[Any, Any], list[Step]](list)
    for step in steps:
        if step.what == "rejected":
            refusals[_refusal(step)].append(step)
    for step in steps:
        equal = refusals.get(_refusal(step), []) if step.what == "rejected" else []
        if len(equal) < 2:
            yield step
        elif step is equal[0]:
            again = {"times": len(equal), "last_at": equal[-1].at}
            yield step.model_copy(update=again)


def _refusal(step: Step) -> tuple[Any, Any]:
    """The code, and which attempt it would have used."""
    return getattr(step, "code", None), getattr(step, "number", None)


def lateness(text: TextRecord, moment: datetime) -> str | None:
    """How long after its time that was, in words. None: it was not late."""
    due = text.first_due_at or text.planned_for
    if due is None or moment - due <= _LATE_AFTER:
        return None
    return span((moment - due).total_seconds())


def _beginning(text: TextRecord, zone: tzinfo) -> str:
    fields = dict[str, Any]()
    if text.planned_for:
        fields = {"planned_for": text.planned_for, "not_after": text.expires_at}
    if text.kind != "send log":
        fields["message_class"] = text.message_class
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
    action = step.what
    fields = step.model_dump(exclude={"what", "send", "because", "why_code"})
    if meaning := fields.get("taken_for"):
        fields["meaning"] = _MEANINGS.get(meaning, f"understood as {meaning}")
    fields["settled_by"] = _SOURCES.get(step.settled_by or "")
    if step.what == "accepted" and not step.settled_by:
        fields["late"] = lateness(text, step.at)
    if step.what == "not_sent" and step.settled_by == "reconcile":
        # The provider's list did not have it, and no more is known.
        action = "not_found"
    if step.source:
        fields["source"] = single_word(step.source)
    if step.until and step.until <= step.at:
        fields["until"] = None
    line = _line(action, fields, zone)
    if step.send:
        line = f"send {step.send}: {line}"
    reason = step.because or spaced(step.why_code or "")
    return f"{line}: {reason}" if reason else line


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
