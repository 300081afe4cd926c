"""A stop of marketing texts to a US state: what it does, or would do, to the texts that wait."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from pydantic import Field

from smsretry.desk.questions.prediction import waits_for_stop
from smsretry.desk.questions.records import UnreadText, WaitingText
from smsretry.retry.models import Value
from smsretry.retry.profile import Profile


class StateStop(Value):
    """What an order about a state did, or would do."""

    state: str
    stopped: bool = Field(description="Whether the state is stopped now. After a trial it is as it was.")
    dry_run: bool = False
    changed: bool = Field(description="Whether that is another state of affairs than before, or would be.")
    because: str | None = None
    texts: int | None = Field(None, description="How many texts would wait for it, or go on. None: not counted.")
    complete: bool = Field(True, description="Whether every waiting text was counted.")

    def lines(self) -> Iterator[str]:
        """All of it, a line each."""
        what = f"Marketing texts to {self.state}"
        counted = "" if self.texts is None else f"{'' if self.complete else 'at least '}{self.texts} that wait now"
        if self.lifts and not self.changed:
            yield f"{what} were not stopped: nothing {'would be' if self.dry_run else 'was'} changed."
        elif self.dry_run:
            yield f"{what} would {'go again' if self.lifts else 'wait until the stop is lifted'}: {counted}."
        else:
            yield f"{what} {'go again' if self.lifts else 'wait until the stop is lifted'}."
        if not self.lifts and not self.changed:
            yield "They are stopped already; the reason is replaced."

    @property
    def lifts(self) -> bool:
        """Whether the order was to lift the stop."""
        return self.because is None


def concerned(texts: Iterable[WaitingText | UnreadText], state: str, *, now: datetime, profile: Profile) -> int:
    """How many of these wait for the stop of a state, or would if it were stopped, and go on without it."""

    def changes(text: WaitingText) -> bool:
        at, others = max(now, text.scheduled_for), {*text.stopped_states} - {state}
        with_it, without = (
            waits_for_stop(text, states, at=at, profile=profile) for states in (others | {state}, others)
        )
        return with_it and not without

    return sum(isinstance(text, WaitingText) and changes(text) for text in texts)
