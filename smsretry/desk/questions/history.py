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
_EVENTS: Final = {
    "deferred": "deferred until {until}",
    "given_back": "given back untried",
    "retry_scheduled": "to be tried again at {until}",
    "taken_back": "taken back from a worker that fell silent, which had it since {since}",
    "in_doubt": "in doubt, to be looked for at {until}",
    "looked_for": "looked for, and no evidence was found",
    "completed": "marked as sent",
    "queued_anew": "queued again for {until}",
    "put_off": "put off until {until}",
    "more": "more changes, which were not kept one by one",
}
"""What each event of `smsretry.keep_event` means, for people, where its word does not say it."""
_SAID_BY_THE_SEND: Final = "not_found"
_NOT_LOOKED: Final = "could not be looked for"
_CODES: Final[dict[str, str]] = {
    "sending_stopped": "sending was stopped",
    "business_trouble": "its business's texts came to nothing, and each run tries one",
    "sender_rate": "its sender had no time left",
    "no_credentials": "the run had no credentials for its account",
    "data_changed": "its data changed while it was decided about",
    "customer_locked": "its customer was locked",
    "daily_cap": "the daily cap",
}
"""The few codes that may come without a sentence."""
_CONSENT: Final[dict[str | None, str]] = {
    "opted_in": "they have opted in",
    "opted_out": "they have opted out",
    None: "nobody knows whether they want texts",
}


def history(text: TextRecord, zone: tzinfo) -> Iterator[str]:
    moments = [
        (text.queued_at, f"{'queued' if text.is_text else 'scheduled'}, {text.message_class}{_plan(text, zone)}")
    ]
    if text.first_due_at and text.first_due_at > text.queued_at:
        moments.append((text.first_due_at, "due for the first time"))
    for place, attempt in enumerate(text.history, 1):
        moments += _attempt(place, attempt, text)
    moments += ((event.at, _event(event, zone)) for event in text.events if event.code != _SAID_BY_THE_SEND)
    yield from (f"{on_clock(at, zone)}  {what}" for at, what in sorted(moments, key=itemgetter(0)))
    if text.is_text:
        yield f"{text.attempts} of {text.max_attempts} attempts were counted"
    yield _consent(text, zone)
    if text.phone_status:
        yield f"the number is marked {one_word(text.phone_status)}"


def late(text: TextRecord, moment: datetime) -> str:
    """How long after its time that was, if it was late; else nothing."""
    due = text.first_due_at
    return f", {span((moment - due).total_seconds())} after it was first due" if due and moment - due > _LATE else ""


def _plan(text: TextRecord, zone: tzinfo) -> str:
    if not text.planned_for:
        return ""
    limit = f", and not after {on_clock(text.expires_at, zone)}" if text.expires_at else ""
    return f", planned for {on_clock(text.planned_for, zone)}{limit}"


def _attempt(place: int, attempt: AttemptRecord, text: TextRecord) -> Iterator[tuple[datetime, str]]:
    """Sends are numbered in order: two of them have one attempt number if the first did not count."""
    outcome = attempt.outcome.replace("_", " ")
    number = "no attempt" if attempt.number == 0 else f"attempt {attempt.number}"
    accepted = attempt.outcome == "accepted"
    parts = [
        f"send {place}: {outcome}{late(text, attempt.begun_at) if accepted else ''}",
        f"counted as {number}" if attempt.number != place else "",
        f"code {attempt.code}" if attempt.code else "",
        f"as {attempt.sid}" if attempt.sid else "",
        f"from {attempt.sender}" if attempt.sender and text.sender not in (None, attempt.sender) else "",
        "its worker died" if attempt.worker_died else "",
        f"under {attempt.rule}" if attempt.rule else "",
        f"consent was {_spaced(attempt.consent)}" if attempt.consent else "",
        f"run {attempt.run_id}" if attempt.run_id else "",
    ]
    yield attempt.begun_at, "; ".join(part for part in parts if part)
    if attempt.finished_at and attempt.settled_by not in (None, "response"):
        yield attempt.finished_at, f"send {place}: {_settled(attempt)}"
    if attempt.delivery and attempt.delivery_at:
        code = f", code {attempt.delivery_code}" if attempt.delivery_code else ""
        yield attempt.delivery_at, f"send {place}: {attempt.delivery}{code}, as reported"


def _settled(attempt: AttemptRecord) -> str:
    by = {"callback": "the provider's report", "reconcile": "a look for it", "operator": "a person"}
    if attempt.outcome == "not_sent" and attempt.settled_by == "reconcile":
        return "counted as not sent, because nothing was found"
    return f"{attempt.outcome.replace('_', ' ')}, says {by.get(attempt.settled_by or '', attempt.settled_by)}"


def _event(event: EventRecord, zone: tzinfo) -> str:
    if event.who not in (None, "smsretry", "the application"):
        return f"{_spaced(event.code)} by {event.who}: {event.because or 'not said'}"
    if event.code == "number_changed":
        return f"the number changed from {event.was or 'none'} to {event.became or 'none'}"
    if event.code == "consent_changed":
        source = f" ({one_word(event.source)})" if event.source else ""
        return f"consent changed from {_spaced(event.was)} to {_spaced(event.became)}{source}"
    words = _EVENTS.get(event.code, _spaced(event.code))
    if event.code == "looked_for" and event.why_code != "no_evidence":
        words = _NOT_LOOKED
    until, since = (on_clock(at, zone) if at else "a time that is not known" for at in (event.until, event.since))
    told = words.format(until=until, since=since)
    if event.times > 1 and event.last_at:
        told += f" ({event.times} times, the last at {on_clock(event.last_at, zone)})"
    if event.who == "the application":
        return f"{told} by the application"
    reason = event.because
    if not reason and event.why_code and event.code in ("given_back", "deferred", "held"):
        reason = _CODES.get(event.why_code, _spaced(event.why_code))
    return f"{told}: {reason}" if reason else told


def _consent(text: TextRecord, zone: tzinfo) -> str:
    since = f" since {on_clock(text.consent_at, zone)}" if text.consent_at else ""
    source = f" ({one_word(text.consent_source)})" if text.consent_source else ""
    suppressed = f"; the number opted out on {on_clock(text.opted_out_since, zone)}" if text.opted_out_since else ""
    return f"{_CONSENT.get(text.consent, _CONSENT[None])}{since}{source}{suppressed}"


def _spaced(word: str | None) -> str:
    return (word or "none").replace("_", " ")


def one_word(written: str) -> str:
    """A single word, such as the application writes. Free text may name a person, so it is not shown."""
    return written if _ONE_WORD.fullmatch(written) else "in words that are not shown here"
