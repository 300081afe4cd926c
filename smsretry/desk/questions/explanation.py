"""What happened to a text and why, what comes next and what a person can do."""

from collections.abc import Callable, Iterator
from datetime import UTC, tzinfo
from typing import Final

from smsretry.data import clock
from smsretry.desk.questions.answers import Answer
from smsretry.desk.questions.history import history, late
from smsretry.desk.questions.levers import CodeMeaning, levers
from smsretry.desk.questions.queue_status import QueueStatus
from smsretry.desk.questions.records import RecordState, TextRecord
from smsretry.desk.questions.told import Heading, Lever, Told
from smsretry.instants import on_clock, span
from smsretry.quiet_hours.location import clocks_of
from smsretry.retry.delivery import FINAL
from smsretry.retry.doubt import MIN_LOOKS, MIN_QUARANTINE
from smsretry.retry.models import Value

_OVER: Final = "nothing happens by itself"
STATES: Final[dict[RecordState, tuple[str, str]]] = {
    "scheduled": (
        "Scheduled, it is queued shortly before its time",
        "a run of process-scheduled-sends queues it, from shortly before {at} on",
    ),
    "due": ("Due, the next run takes it", "it is taken by one of the next runs"),
    "waiting": ("Waiting", "it is tried at {at}"),
    "held": (
        "Held until somebody fixes it",
        "it is looked at again at {at}, and goes on by itself once that is fixed",
    ),
    "under_way": (
        "Under way, a worker has it at this moment",
        "its worker says what became of it, or it is taken back after 10 minutes of silence",
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
    levers: tuple[Lever, ...]
    """What a person can do about it, the best first."""

    def tell(self) -> Iterator[Told]:
        """What a person needs, then the history, and ids last."""
        text = self.text
        yield f"To {text.number or 'a customer without a number'}, for {text.business or 'a business without a name'}"
        yield f"Next: {self.next}"
        yield from (("You can: ", lever) for lever in self.levers)
        yield "History:"
        yield from (f"  {line}" for line in self.happened)
        yield from text.shown()


class Found(Answer):
    """The texts that were found."""

    texts: tuple[Explanation, ...]

    @property
    def fails(self) -> bool:
        return not self.texts

    @property
    def name(self) -> str:
        states = dict.fromkeys(one.text.state.replace("_", " ") for one in self.texts)
        return (
            f"{self.texts[0].text.number or 'no number'}: {' · '.join(states)}"
            if states
            else "nothing found"
        )

    def tell(self) -> Iterator[Told]:
        for nth, one in enumerate(self.texts):
            yield Heading(one.headline) if nth else one.headline
            yield from one.tell()
        if len(self.texts) == MOST:
            yield f"These are the newest {MOST}. `smsretry texts list --customer …` lists more."
        if not self.texts:
            yield NOTHING


def explain(
    text: TextRecord,
    status: QueueStatus | None,
    *,
    meaning: Callable[[int], CodeMeaning],
) -> Explanation:
    """Explain a text.

    Args:
        status: what due texts may be waiting for; needed for one that is due.
        meaning: what a provider's code means.
    """
    zone, now = zone_of(text.timezone, text.business_timezone), text.asked_at
    due = status if text.state == "due" else None
    obstacle = due.obstacle(text.sender_name) if due else None
    state, follows = STATES[text.state]
    overdue = (
        late(text, now)
        if text.state in ("scheduled", "due", "waiting", "held", "in_doubt")
        else ""
    )
    waits = f", {overdue} after it was first due" if overdue else ""
    if obstacle:
        state, follows = (
            f"Due, but {obstacle.what}",
            "it waits until that is over, or for its turn",
        )
    elif waits and text.state == "scheduled":
        state = "Late, it is not queued yet"
    if text.kind == "send log" and text.state == "sent":
        state = "The application sent it itself, or the record of its row is pruned"
    if text.state == "in_doubt" and "look-again" in text.can:
        follows = "it is looked for again at {at}; unless it is found, it waits for a person to say what became of it"
    if text.state in ("failed", "cancelled") and not text.can:
        gone = "its customer or its send log is gone, or the send log says that it was sent"
        follows = f"nothing: {gone if text.kind == 'row' else 'it never became a text'}. Queue it anew, if it is wanted"
    if text.state == "sent" and any(
        step.send and step.what in FINAL for step in text.steps
    ):
        follows = "nothing more; it was delivered"
    since = f" (since {on_clock(text.since, zone)}, {span((now - text.since).total_seconds())} ago{waits})"
    code = meaning(text.code) if text.code and text.state != "sent" else None
    return Explanation(
        text=text,
        headline=f"{state}{f': {text.why}' if text.why else ''}{since}",
        happened=tuple(history(text, zone)),
        next=follows.format(
            at=on_clock(text.next_at, zone)
            if text.next_at
            else "a time that it does not have"
        ),
        levers=tuple(levers(text, obstacle.lever if obstacle else None, code)),
    )


def zone_of(*names: str | None) -> tzinfo:
    """The first clock that these names stand for; else UTC. Only for display: hours are decided elsewhere."""
    return next((clock(zone) for name in names for zone in clocks_of(name) or ()), UTC)
