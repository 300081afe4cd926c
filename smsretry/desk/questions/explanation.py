"""What happened to a text and why, what comes next and what a person can do."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, tzinfo
from typing import Final

from smsretry.data import clock
from smsretry.desk.questions.answers import Answer
from smsretry.desk.questions.blocks import Block, Heading, Remedy
from smsretry.desk.questions.history import history, late
from smsretry.desk.questions.preview import Prediction
from smsretry.desk.questions.queue_status import Need, QueueStatus
from smsretry.desk.questions.records import RecordState, TextRecord
from smsretry.desk.questions.remedies import CodeMeaning, remedies
from smsretry.instants import on_clock, span
from smsretry.quiet_hours.location import clocks_of
from smsretry.retry.delivery import FINAL
from smsretry.retry.doubt import MIN_LOOKS, MIN_QUARANTINE
from smsretry.retry.models import Value
from smsretry.retry.profile import STALE_MINUTES

WAITING: Final = frozenset[RecordState]({"scheduled", "due", "waiting", "held"})
"""The states of a text of which it can be predicted what becomes of it."""
_OVER: Final = "nothing happens by itself"
_LOOKED_AT: Final = "it is looked at again at {at}, and "
STATES: Final[dict[RecordState, tuple[str, str]]] = {
    "scheduled": (
        "Scheduled, it is queued shortly before its time",
        "a run of process-scheduled-sends queues it, from shortly before {at} on",
    ),
    "due": ("Due", "it is taken by one of the next runs"),
    "waiting": ("Waiting", "it is tried at {at}"),
    "held": (
        "Held until somebody fixes it",
        f"{_LOOKED_AT}goes on by itself once that is fixed",
    ),
    "under_way": (
        "Under way, a worker has it at this moment",
        "its worker says what became of it, or it is taken back after "
        f"{STALE_MINUTES} minutes of silence",
    ),
    "in_doubt": (
        "It may or may not have gone out",
        f"evidence is looked for at {{at}}. If {MIN_LOOKS} looks in {MIN_QUARANTINE.total_seconds() / 60:.0f} minutes "
        "find nothing at all, it is sent again, or held for a person where SMSRETRY_IN_DOUBT is hold. Before that "
        "nothing is needed",
    ),
    "sent": (
        "Sent, accepted by the provider",
        "nothing more, unless the carrier reports that it did not arrive: sync-delivery-status may then send it again",
    ),
    "failed": ("Failed, given up", _OVER),
    "cancelled": ("Cancelled, no longer wanted", _OVER),
    "not_queued": (
        "It was never queued, and nothing says that it was sent",
        "nothing happens by itself. It is the application's own: queue it there, if it should go out",
    ),
}
"""What each state means, for people, and what happens next without them."""
NOTHING: Final = (
    "No row, scheduled send or send log of a text has this id or number, and no customer who has one: check it. A text "
    "that ended long ago is deleted, but its send log stays"
)
MOST: Final = 20
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
    """The same for programs, of a text that waits."""
    remedies: tuple[Remedy, ...]
    """What a person can do about it, the best first."""

    def tell(self) -> Iterator[Block]:
        """What a person needs, then the history, and ids last."""
        text = self.text
        yield f"To {text.number or 'a customer without a number'}, for {text.business or 'a business without a name'}"
        yield f"Next: {self.next}"
        yield from (("You can: ", remedy) for remedy in self.remedies)
        yield "History:"
        yield from (f"  {line}" for line in self.happened)
        yield from text.lines()


class Explanations(Answer):
    """The texts that were found."""

    texts: tuple[Explanation, ...]

    @property
    def fails(self) -> bool:
        return not self.texts

    @property
    def name(self) -> str:
        states = dict.fromkeys(
            explanation.text.state.replace("_", " ") for explanation in self.texts
        )
        return (
            f"{self.texts[0].text.number or 'no number'}: {' · '.join(states)}"
            if states
            else "nothing found"
        )

    def tell(self) -> Iterator[Block]:
        for nth, explanation in enumerate(self.texts):
            yield Heading(explanation.headline) if nth else explanation.headline
            yield from explanation.tell()
        if len(self.texts) == MOST:
            yield f"These are the newest {MOST}. `smsretry texts list --customer …` lists more."
        if not self.texts:
            yield NOTHING


def explanation_of(
    text: TextRecord,
    status: QueueStatus | None,
    prediction: Prediction | None = None,
    *,
    meaning: Callable[[int], CodeMeaning],
) -> Explanation:
    """Explain a text.

    Args:
        status: what due texts may be waiting for; needed for one that is due.
        prediction: what becomes of it, if it waits.
        meaning: what a provider's code means.
    """
    zone, now = zone_of(text.timezone, text.business_timezone), text.asked_at
    is_kept = prediction is None or (prediction.at <= now and prediction.fate != "end")
    obstacle = None
    if status and text.state == "due" and is_kept:
        obstacle = status.obstacle(text.sender_name)
    overdue = (
        late(text, now) if text.state in WAITING or text.state == "in_doubt" else ""
    )
    state = _state(text, obstacle, is_late=bool(overdue))
    waits = f", {overdue} after it was first due" if overdue else ""
    since = f" (since {on_clock(text.since, zone)}, {span((now - text.since).total_seconds())} ago{waits})"
    code = meaning(text.code) if text.code and text.state != "sent" else None
    return Explanation(
        text=text,
        headline=f"{state}{f': {text.why}' if text.why else ''}{since}",
        happened=tuple(history(text, zone)),
        next=_next(text, obstacle, prediction, zone),
        prediction=prediction,
        remedies=tuple(remedies(text, obstacle.remedy if obstacle else None, code)),
    )


def _state(text: TextRecord, obstacle: Need | None, *, is_late: bool) -> str:
    """Its state, for people."""
    if obstacle:
        return f"Due, but {obstacle.what}"
    if text.state == "scheduled" and is_late:
        return "Late, it is not queued yet"
    if text.kind == "send log" and text.state == "sent":
        return "The application sent it itself, or the record of its row is pruned"
    return STATES[text.state][0]


def _next(
    text: TextRecord,
    obstacle: Need | None,
    prediction: Prediction | None,
    zone: tzinfo,
) -> str:
    """What happens without a person."""
    if obstacle:
        return "it waits until that is over, or for its turn"
    if prediction and (text.state != "held" or prediction.fate == "end"):
        return _predicted(prediction, text.asked_at, zone)
    follows = STATES[text.state][1]
    if text.why_code == "sender_paused" and text.state == "held":
        follows = f"{_LOOKED_AT}waits until somebody resumes its sender"
    if text.state == "in_doubt" and "look-again" in text.can:
        follows = "it is looked for again at {at}; unless it is found, it waits for a person to say what became of it"
    if text.state in ("failed", "cancelled") and not text.can:
        gone = "its customer or its send log is gone, or the send log says that it was sent"
        follows = f"nothing: {gone if text.kind == 'row' else 'it never became a text'}. Queue it anew, if it is wanted"
    if text.state == "sent" and any(
        step.send and step.what in FINAL for step in text.steps
    ):
        follows = "nothing more; it was delivered"
    at = on_clock(text.next_at, zone) if text.next_at else "an unknown time"
    return follows.format(at=at)


def _predicted(prediction: Prediction, now: datetime, zone: tzinfo) -> str:
    """When it goes out; or what keeps it, and until when."""
    is_soon = prediction.at <= now
    when = (
        "with one of the next runs"
        if is_soon
        else f"at {on_clock(prediction.at, zone)}"
    )
    explanation = f": {prediction.detail}" if prediction.detail else ""
    match prediction.fate:
        case "go out":
            return f"it goes out {when}{f'. Until then{explanation}' if explanation and not is_soon else ''}"
        case "wait longer":
            over = (
                on_clock(prediction.until, zone) if prediction.until else "that is over"
            )
            return f"it waits until {over}{explanation}"
        case "held":
            return f"it is held {when}{explanation}"
        case "end":
            return f"it ends {when}, and is not sent{explanation}"


def zone_of(*names: str | None) -> tzinfo:
    """The first clock that these names stand for; else UTC. Only for display: hours are decided elsewhere."""
    return next((clock(zone) for name in names for zone in clocks_of(name) or ()), UTC)
