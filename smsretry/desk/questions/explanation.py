"""What happened to a text and why, in lines that the command line and Prefect's artifacts show alike."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, tzinfo
from typing import Final

from smsretry.data import place, place_names
from smsretry.desk.questions.history import history, one_word
from smsretry.desk.questions.lateness import Lateness, late, lateness
from smsretry.desk.questions.levers import CodeMeaning, Lever, levers, nothing_to_do
from smsretry.desk.questions.next_step import next_step
from smsretry.desk.questions.prediction import Prediction
from smsretry.desk.questions.records import TextRecord
from smsretry.instants import on_clock, span
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
    late: str | None = None
    """How late it went out or is, and how that time was spent, in a sentence. None: it is not late."""
    lateness: Lateness | None = None
    """The same, for programs."""
    nothing_to_do: str | None = None
    """Why they can do nothing about its trouble."""

    def lines(self, *, history: bool = True) -> Iterator[str]:
        """All of it, or all but the history, a line each: the headline, what a person needs, and ids last."""
        text = self.text
        yield self.headline
        yield f"To {text.number or 'a customer without a number'}, for {text.business or 'a business without a name'}"
        if text.unreadable:
            yield f"cannot be read: {', '.join(text.unreadable)}. Fix what is there; the rest is shown"
        if self.late:
            yield f"Late: {self.late}"
        yield f"Next: {self.next}"
        yield from (f"You can: {lever}" for lever in self.levers)
        if not self.levers and self.nothing_to_do:
            yield f"Nothing to do: {self.nothing_to_do}"
        if history:
            yield "History:"
            yield from (f"  {line}" for line in self.happened)
        yield from _ids(text)


def _ids(text: TextRecord) -> Iterator[str]:
    """What links, forms and programs know it by."""
    yield f"{'row' if text.is_text else 'scheduled send'} {text.retry_id}"
    yield f"customer {text.customer_id}"
    yield f"business {text.business_id}"
    if text.sender:
        of_environment = "" if text.sender_name else ", of the environment"
        yield f"sender {text.sender}, account {text.account}{of_environment}"
    if text.is_text:
        status = one_word(text.send_log_status) if text.send_log_status else "it is gone"
        yield f"send log {text.send_log_id}: {status}"
    if text.why_code:
        yield f"why, in a word: {text.why_code}"


def explain(
    text: TextRecord,
    *,
    now: datetime,
    prediction: Prediction | None,
    meaning: Callable[[int], CodeMeaning],
    profile: Profile = DEFAULT,
) -> Explanation:
    """Explain a text.

    Args:
        prediction: what its next claim will come to, if it waits.
        meaning: what a provider's code means.
        profile: says what becomes of a text of which no evidence is found.
    """
    zone = zone_of(text.timezone, text.business_timezone)
    why = f": {text.why}" if text.why else ""
    since = f" (since {on_clock(text.since, zone)}, {span((now - text.since).total_seconds())} ago)"
    code = meaning(text.code) if text.code and text.state != "sent" else None
    return Explanation(
        text=text,
        headline=f"{STATES[text.state]}{why}{since}",
        happened=tuple(history(text, zone)),
        next=next_step(text, zone, prediction, profile),
        levers=tuple(levers(text, prediction, code)),
        late=late(text, zone),
        lateness=lateness(text),
        nothing_to_do=nothing_to_do(text),
    )


def zone_of(*names: str | None) -> tzinfo:
    """The first of these names that is a place's zone; else UTC. Only for display: hours are decided elsewhere."""
    return next((place(name) for name in names if name and name in place_names()), UTC)
