"""What happened to a text and why, what comes next and what a person can do."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, tzinfo
from typing import Final, NamedTuple

from smsretry.data import clock
from smsretry.desk.questions.answers import Answer
from smsretry.desk.questions.blocks import Block, Heading, Remedy
from smsretry.desk.questions.history import history, lateness
from smsretry.desk.questions.queue_status import Need, QueueStatus
from smsretry.desk.questions.records import (
    NAMELESS,
    WAITING,
    Course,
    Prediction,
    RecordState,
    TextRecord,
)
from smsretry.desk.questions.remedies import CodeMeaning, remedies
from smsretry.instants import on_clock, span
from smsretry.quiet_hours.location import clocks_of
from smsretry.retry.delivery import FINAL
from smsretry.retry.doubt import LIST_MISSED, MIN_LOOKS, MIN_QUARANTINE
from smsretry.retry.models import Value
from smsretry.retry.profile import STALE_MINUTES
from smsretry.vocabulary import spaced


class StateWords(NamedTuple):
    """What a state means, for people."""

    headline: str
    next: str
    """What happens next without a person; {at} is when."""


_UNREAD_LIST: Final = (
    f"the provider's list is asked again at {{at}}. The text is not sent again before the list was read {MIN_LOOKS} "
    f"times. If it cannot be read for {span(LIST_MISSED.total_seconds())}, the text waits for a person"
)
_NOTHING: Final = "nothing happens by itself"
_LOOKED_AT: Final = "it is tried again at {at}, and "
STATE_WORDS: Final[dict[RecordState, StateWords]] = {
    "scheduled": StateWords(
        "Scheduled, it is queued shortly before its time",
        "a run of process-scheduled-sends queues it, from shortly before {at} on",
    ),
    "due": StateWords("Due", "it is taken by one of the next runs"),
    "waiting": StateWords("Waiting", "it is tried at {at}"),
    "held": StateWords(
        "Held until somebody fixes it",
        f"{_LOOKED_AT}goes on by itself once that is fixed",
    ),
    "under_way": StateWords(
        "Under way, a worker has it at this moment",
        "its worker records what became of it; if the worker dies, the text is taken back after "
        f"{STALE_MINUTES} minutes",
    ),
    "in_doubt": StateWords(
        "It may or may not have gone out",
        f"the provider's log is checked at {{at}}. If {MIN_LOOKS} checks over "
        f"{MIN_QUARANTINE.total_seconds() / 60:.0f} minutes find nothing at all, it is sent again, or held for a "
        "person where SMSRETRY_IN_DOUBT is hold. Until then there is nothing to do",
    ),
    "sent": StateWords(
        "Sent, accepted by the provider",
        "nothing more, unless the carrier reports that it did not arrive: sync-delivery-status may then send it again",
    ),
    "failed": StateWords("Failed, given up", _NOTHING),
    "cancelled": StateWords("Cancelled, no longer wanted", _NOTHING),
    "not_queued": StateWords(
        "It was never queued, and nothing says that it was sent",
        f"{_NOTHING}. It is the application's own: queue it there, if it should go out",
    ),
}
_COURSES: Final[dict[Course, str]] = {
    "go out": "it goes out {when}",
    "wait longer": "it waits until {until}",
    "held": "it is held {when}",
    "end": "it ends {when}, and is not sent",
}
NO_TEXT: Final = (
    "No row, scheduled send or send log of a text has this id or number, and no customer who has one: check it. A text "
    "that ended long ago is deleted, but its send log stays"
)
_MOST_TEXTS: Final = 20
"""How many texts `explain_sms` answers at most, the newest first."""


class Explanation(Value):
    """What is known about one text, for a person."""

    text: TextRecord
    headline: str
    """Its state, and why, in one line."""
    happened: tuple[str, ...]
    """What was done and decided, oldest first."""
    next: str
    """What happens without a person."""
    prediction: Prediction | None
    """What happens to a text that waits, for programs."""
    remedies: tuple[Remedy, ...]
    """What a person can do about it, the best first."""

    def tell(self) -> Iterator[Block]:
        """What a person needs, then the history, and ids last."""
        text = self.text
        yield f"To {text.number or 'a customer without a number'}, for {text.business or NAMELESS}"
        yield f"Next: {self.next}"
        for remedy in self.remedies:
            yield "You can: ", remedy
        yield "History:"
        for line in self.happened:
            yield f"  {line}"
        yield from text.identity()


class Explanations(Answer):
    """The texts that match, each explained."""

    texts: tuple[Explanation, ...]

    @property
    def fails(self) -> bool:
        return not self.texts

    @property
    def name(self) -> str:
        if not self.texts:
            return "nothing found"
        states = dict.fromkeys(
            spaced(explanation.text.state) for explanation in self.texts
        )
        number = self.texts[0].text.number or "no number"
        return f"{number}: {' · '.join(states)}"

    def tell(self) -> Iterator[Block]:
        if not self.texts:
            yield NO_TEXT
            return
        newest, *older = self.texts
        yield newest.headline
        yield from newest.tell()
        for explanation in older:
            yield Heading(explanation.headline)
            yield from explanation.tell()
        if len(self.texts) == _MOST_TEXTS:
            yield f"These are the newest {_MOST_TEXTS}. `smsretry texts list --customer …` lists more."


def explanation_of(
    text: TextRecord,
    status: QueueStatus | None,
    prediction: Prediction | None = None,
    *,
    meaning: Callable[[int], CodeMeaning],
) -> Explanation:
    """Explain a text.

    Args:
        status: the state of the queue, for what a text that waits may be waiting for.
        prediction: what becomes of it, if it waits.
        meaning: what a provider's code means.
    """
    zone = zone_of(text.timezone, text.business_timezone)
    # A text that has a reason of its own to wait or end is not kept by its sender's trouble.
    is_due = text.state == "due"
    if prediction:
        is_due = (
            text.state in ("due", "scheduled")
            and prediction.at <= text.asked_at
            and prediction.course not in ("held", "end")
        )
    obstacle = status.obstacle(text.sender_name) if status and is_due else None
    code = meaning(text.code) if text.code and text.state != "sent" else None
    return Explanation(
        text=text,
        headline=_headline(text, obstacle, zone),
        happened=tuple(history(text, zone)),
        next=_next(text, obstacle, prediction, status and status.silence, zone),
        prediction=prediction,
        remedies=tuple(
            remedies(text, obstacle.remedy if obstacle else None, prediction, code)
        ),
    )


def _headline(text: TextRecord, obstacle: Need | None, zone: tzinfo) -> str:
    """Its state, why, since when, and how late it is."""
    late = None
    if text.state in WAITING or text.state == "in_doubt":
        late = lateness(text, text.asked_at)
    headline = STATE_WORDS[text.state].headline
    if text.state == "scheduled" and late:
        headline = "Late, it is not queued yet"
        headline += f": {obstacle.what}" if obstacle else ""
    elif obstacle:
        headline = f"Due, but {obstacle.what}"
    elif text.state == "sent" and text.kind == "send log":
        headline = "The application sent it itself, or the record of its row is pruned"
    if text.why:
        headline += f": {text.why}"
    age = span((text.asked_at - text.since).total_seconds())
    since = f"since {on_clock(text.since, zone)}, {age} ago"
    if late:
        since += f", {late} after it was first due"
    return f"{headline} ({since})"


def _next(
    text: TextRecord,
    obstacle: Need | None,
    prediction: Prediction | None,
    silence: object,
    zone: tzinfo,
) -> str:
    """What happens without a person."""
    if obstacle:
        return "it waits until that is over, or for its turn"
    # A held text waits for somebody, unless it ends before.
    if prediction and (text.state != "held" or prediction.course == "end"):
        but = f". But {silence}: nothing happens until one does" if silence else ""
        return f"{_predicted(prediction, text.asked_at, zone)}{but}"
    at = on_clock(text.next_at, zone) if text.next_at else "an unknown time"
    return _next_of_state(text).format(at=at)


def _next_of_state(text: TextRecord) -> str:
    match text.state:
        case "held" if text.why_code == "sender_paused":
            return f"{_LOOKED_AT}waits until somebody resumes its sender"
        case "in_doubt" if (
            text.why_code == "list_unavailable" and not text.needs_person
        ):
            return _UNREAD_LIST
        case "in_doubt" if text.needs_person:
            return (
                "the provider's log is checked again at {at}; unless it shows the text, a person must say what became "
                "of it"
            )
        case "failed" | "cancelled" if not text.can:
            return f"nothing: {_reason_to_stay(text)}. Queue it anew, if it is wanted"
        case "sent" if any(step.send and step.what in FINAL for step in text.steps):
            return "nothing more; it was delivered"
    return STATE_WORDS[text.state].next


def _reason_to_stay(text: TextRecord) -> str:
    """Why nobody can requeue a text that has ended."""
    if text.kind != "row":
        return "it never became a text"
    if text.send_log_status is None:
        return "its send log is gone"
    if text.consent is None:
        return "its customer is gone"
    return "its send log says that it was sent"


def _predicted(prediction: Prediction, now: datetime, zone: tzinfo) -> str:
    """When it goes out; or what keeps it, and until when."""
    is_soon = prediction.at <= now
    words = _COURSES[prediction.course].format(
        when="with one of the next runs"
        if is_soon
        else f"at {on_clock(prediction.at, zone)}",
        until=on_clock(prediction.until, zone) if prediction.until else "that is over",
    )
    goes_out = prediction.course == "go out"
    if not prediction.why or (goes_out and is_soon):
        return words
    return (
        f"{words}. Until then: {prediction.why}"
        if goes_out
        else f"{words}: {prediction.why}"
    )


def zone_of(*names: str | None) -> tzinfo:
    """The first clock that these names stand for; else UTC. Only for display: hours are decided elsewhere."""
    for name in names:
        for zone in clocks_of(name) or ():
            return clock(zone)
    return UTC
