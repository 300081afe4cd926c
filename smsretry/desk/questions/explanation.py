"""What happened to a text and why, what comes next and what a person can do."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, tzinfo
from typing import Final

from smsretry.data import place, place_names
from smsretry.desk.questions.answers import Answer
from smsretry.desk.questions.history import history, late
from smsretry.desk.questions.levers import CodeMeaning, levers, nothing_to_do
from smsretry.desk.questions.next_step import next_step
from smsretry.desk.questions.preview import Step
from smsretry.desk.questions.records import RecordState, TextRecord
from smsretry.desk.questions.told import Heading, Lever, Told, in_lines
from smsretry.instants import on_clock, span
from smsretry.retry.models import Value
from smsretry.retry.profile import DEFAULT, Profile

STATES: Final[dict[RecordState, str]] = {
    "scheduled": "Scheduled, it is queued shortly before its time",
    "due": "Due, the next run takes it",
    "waiting": "Waiting",
    "held": "Held until somebody fixes it",
    "under_way": "Under way, a worker has it at this moment",
    "in_doubt": "It may or may not have gone out",
    "sent": "Sent, accepted by the provider",
    "failed": "Failed, given up",
    "cancelled": "Cancelled, no longer wanted",
    "not_queued": "It was never queued, and nothing says that it was sent",
}
"""What each state means, for people."""
NOTHING: Final = (
    "No row, scheduled send or send log of a text has this id or number, and no customer who has one: check it. A text "
    "that ended long ago is deleted, but its send log stays"
)


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
    nothing_to_do: str | None = None
    """Why they can do nothing about its trouble."""

    def tell(self) -> Iterator[Told]:
        """What a person needs, then the history, and ids last."""
        text = self.text
        yield f"To {text.number or 'a customer without a number'}, for {text.business or 'a business without a name'}"
        if text.unreadable:
            yield f"cannot be read: {', '.join(text.unreadable)}. Fix what is there; the rest is shown"
        yield f"Next: {self.next}"
        yield from (("You can: ", lever) for lever in self.levers)
        if not self.levers and self.nothing_to_do:
            yield f"Nothing to do: {self.nothing_to_do}"
        yield "History:"
        yield from (f"  {line}" for line in self.happened)
        yield from text.shown()

    def lines(self) -> Iterator[str]:
        """All of it, as lines; the headline is the first."""
        return in_lines((self.headline, *self.tell()))


class Found(Answer):
    """The texts that were found."""

    texts: tuple[Explanation, ...]
    more: bool = False
    """Whether there may be more texts than were asked for."""

    @property
    def fails(self) -> bool:
        return not self.texts

    @property
    def name(self) -> str:
        if not self.texts:
            return "nothing found"
        states = Counter(one.text.state.replace("_", " ") for one in self.texts)
        counts = " · ".join(f"{state} {count}" for state, count in states.items())
        return f"{self.texts[0].text.number or 'no number'}: {counts}"

    def tell(self) -> Iterator[Told]:
        for nth, one in enumerate(self.texts):
            yield Heading(one.headline) if nth else one.headline
            yield from one.tell()
        if self.more:
            yield f"These are the newest {len(self.texts)}; there may be more: ask for more with a higher limit."
        if not self.texts:
            yield NOTHING


def explain(
    text: TextRecord,
    *,
    steps: Sequence[Step],
    meaning: Callable[[int], CodeMeaning],
    profile: Profile = DEFAULT,
    slow: str | None = None,
) -> Explanation:
    """Explain a text.

    Args:
        steps: what its claims will come to, if it waits.
        meaning: what a provider's code means.
        profile: says what becomes of a text of which no evidence is found.
        slow: how long its sender's rate takes for what is due, if that is long.
    """
    zone, now = zone_of(text.timezone, text.business_timezone), text.asked_at
    too_slow = text.state == "due" and slow
    waits = late(text, now) if text.state in ("due", "waiting", "held", "in_doubt") else ""
    since = f" (since {on_clock(text.since, zone)}, {span((now - text.since).total_seconds())} ago{waits})"
    state = f"Due, but {slow}" if too_slow else STATES[text.state]
    if text.kind == "send log" and text.state == "sent":
        state = "The application sent it itself, or the record of its row is pruned"
    code = meaning(text.code) if text.code and text.state != "sent" else None
    return Explanation(
        text=text,
        headline=f"{state}{f': {text.why}' if text.why else ''}{since}",
        happened=tuple(history(text, zone)),
        next=next_step(text, zone, steps, profile),
        levers=tuple(levers(text, steps[0] if steps else None, code, slow=bool(too_slow))),
        nothing_to_do=nothing_to_do(text),
    )


def zone_of(*names: str | None) -> tzinfo:
    """The first of these names that is a place's zone; else UTC. Only for display: hours are decided elsewhere."""
    return next((place(name) for name in names if name and name in place_names()), UTC)
