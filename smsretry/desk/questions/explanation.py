"""What happened to a text and why, what comes next and what a person can do."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, tzinfo
from typing import Final, Literal
from uuid import UUID

from smsretry.data import place, place_names
from smsretry.desk.actions.requests import WhichText
from smsretry.desk.questions.answers import Answer
from smsretry.desk.questions.history import history, late, one_word
from smsretry.desk.questions.levers import CodeMeaning, levers, nothing_to_do
from smsretry.desk.questions.next_step import next_step
from smsretry.desk.questions.preview import Step
from smsretry.desk.questions.records import TextRecord
from smsretry.desk.questions.told import Heading, Lever, Told, in_lines
from smsretry.instants import Instant, on_clock, span
from smsretry.retry.models import Value
from smsretry.retry.profile import DEFAULT, Profile
from smsretry.vocabulary import TextState

STATES: Final[dict[TextState, str]] = {
    "scheduled": "Scheduled, it is queued shortly before its time",
    "due": "Due, the next run takes it",
    "waiting": "Waiting",
    "held": "Held until somebody fixes it",
    "under_way": "Under way, a worker has it at this moment",
    "in_doubt": "It may or may not have gone out",
    "sent": "Sent, accepted by the provider",
    "failed": "Failed, given up",
    "cancelled": "Cancelled, no longer wanted",
}
"""What each state means, for people."""
NOTHING: Final = (
    "No row, scheduled send, send log or customer has this id or number: check it. A text that ended long ago is "
    "deleted, but its send log stays"
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


class Known(Value):
    """A row of `look_up_sms`: what an id is of where there is no text, or a customer with the number."""

    kind: Literal["text", "attempt", "scheduled_send", "send_log", "customer", "business", "sender"]
    row_id: UUID
    business_id: UUID | None = None
    business: str | None = None
    customer_id: UUID | None = None
    number: str | None = None
    status: str | None = None
    channel: str | None = None
    sid: str | None = None
    at: Instant | None = None
    why: str | None = None
    texts: int = 0

    @property
    def which(self) -> WhichText | None:
        """The texts that the id leads to, if it may have some."""
        field = {"send_log": "send_log_id", "customer": "customer_id", "business": None, "sender": None}
        name = field.get(self.kind, "retry_id")
        return WhichText.model_validate({name: self.row_id}) if name else None

    @property
    def headline(self) -> str:
        """What it is, in a line."""
        match self.kind:
            case "send_log" if self.channel != "sms":
                return f"This was sent by {self.channel or 'no channel'}, and smsretry sends texts only"
            case "send_log":
                says = f"Its send log says {one_word(self.status or 'nothing')}{f': {self.why}' if self.why else ''}"
                sent = self.sid or self.status in ("sent", "delivered", "undelivered")
                never = "It was never queued, and nothing says that it was sent"
                told = "The application sent it itself" if sent else never
                return f"{told}, or smsretry's record of it is pruned. {says}{f', SID {self.sid}' if self.sid else ''}"
            case "customer":
                last = f". The last one that it sent was made on {on_clock(self.at)}, SID {self.sid}" if self.at else ""
                own = f"the application itself sent {self.texts or 'none'}{last}"
                return f"This customer has had no text through the queue; {own}"
            case "business":
                return "This is a business's id: give a customer's, or the number's last digits with --business"
            case "sender":
                return "This is a sender's id: `smsretry senders` and the form sms-senders show it"
            case "scheduled_send":
                return "This is a scheduled send that has become a text, which is gone: it ended long ago"
            case _:
                return "This text is gone: it was deleted a moment ago"

    def tell(self) -> Iterator[Told]:
        """What is known of it."""
        yield self.headline
        if self.kind not in ("customer", "business"):  # each has a line of its own
            yield f"{self.kind.replace('_', ' ')} {self.row_id}"
        if self.customer_id:
            yield f"customer {self.customer_id}, {self.number or 'without a number'}"
        if self.business_id:
            yield f"business {self.business_id}, {self.business or 'its name is not known'}"


class Found(Answer):
    """What was found: texts, or else what is known without one."""

    texts: tuple[Explanation, ...]
    known: tuple[Known, ...] = ()
    more: bool = False
    """Whether there may be more texts than were asked for."""

    @property
    def fails(self) -> bool:
        """Whether it says nothing of what became of a text or of a customer's texts."""
        answers = ("send_log", "customer", "scheduled_send")
        return not self.texts and not any(one.kind in answers for one in self.known)

    @property
    def name(self) -> str:
        if not self.texts:
            return f"no text: a {self.known[0].kind.replace('_', ' ')}" if self.known else "nothing found"
        states = Counter(one.text.state.replace("_", " ") for one in self.texts)
        counts = " · ".join(f"{state} {count}" for state, count in states.items())
        return f"{self.texts[0].text.number or 'no number'}: {counts}"

    def tell(self) -> Iterator[Told]:
        for nth, one in enumerate(self.texts):
            yield Heading(one.headline) if nth else one.headline
            yield from one.tell()
        if not self.texts:
            yield from (part for one in self.known for part in one.tell())
        if self.more:
            yield f"These are the newest {len(self.texts)}; there may be more: --limit (At most, in the form)."
        if not (self.texts or self.known):
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
