"""The desk: where a person asks and acts. Prefect's forms, the command line and SQL are doors to the same answers."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Final, Protocol
from uuid import UUID

from smsretry.desk.actions.requests import Cancel, Doubt, Preview, Prune, Requeue, Resolve, WhichText
from smsretry.desk.questions.explanation import CodeMeaning, Story, story
from smsretry.desk.questions.forecast import Forecast, forecast
from smsretry.desk.questions.prediction import foresee
from smsretry.desk.questions.queue_status import Standing
from smsretry.desk.questions.records import Change, Pruned, StatusLine, TextRecord, UnreadText, WaitingText
from smsretry.errors import InputError
from smsretry.retry.profile import Profile

PREVIEW_ROWS: Final = 20_000
"""Waiting texts that one preview looks at."""


class Records(Protocol):
    """What the desk asks of the database."""

    def explain(self, ask: WhichText | None, phone: str | None) -> list[TextRecord]: ...

    def waiting(
        self, *, until: datetime | None = None, retry_ids: list[UUID] | None = None
    ) -> Iterator[WaitingText | UnreadText]: ...

    def status(self) -> list[StatusLine]: ...

    def requeue(self, ask: Requeue) -> Change: ...

    def cancel(self, ask: Cancel) -> Change: ...

    def doubt(self, ask: Doubt) -> Change: ...

    def resolve(self, ask: Resolve) -> bool: ...

    def prune(self, ask: Prune) -> Pruned:
        """One batch."""
        ...


class Desk:
    """Answers a person. Nothing it tells holds a phone number or a body."""

    def __init__(
        self,
        records: Records,
        *,
        profile: Profile,
        meaning: Callable[[int], CodeMeaning],
        id_problem: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        """Prepare.

        Args:
            meaning: what one of the provider's codes means.
            id_problem: what is wrong with a message's id that a person typed, by the shape of the provider's.
        """
        self._records = records
        self._id_problem = id_problem
        self._profile = profile
        self._meaning = meaning

    def explain(self, ask: WhichText | None, *, phone: str | None = None) -> list[Story]:
        """Tell the story of a text, or of all texts of a customer, newest first.

        Args:
            ask: which; None only with `phone`.
            phone: the number to look for, E.164; for a terminal, where it is read from standard input.
        """
        texts = self._records.explain(ask, phone)
        live = [text.retry_id for text in texts if text.state in ("scheduled", "due", "waiting", "held")]
        waiting = {one.id: one for one in self._records.waiting(retry_ids=live)} if live else {}
        open_now = any(isinstance(one, WaitingText) and one.circuit_open for one in waiting.values())
        stopped = self.status().stopped_because if open_now else None

        def told(text: TextRecord) -> Story:
            match waiting.get(text.retry_id):
                case WaitingText() as one:
                    foreseen = foresee(one, now=text.asked_at, profile=self._profile, stopped=stopped)
                    return story(text, now=text.asked_at, foreseen=foreseen, meaning=self._meaning)
                case UnreadText(columns=columns):
                    unread = text.model_copy(update={"unreadable": tuple(sorted({*text.unreadable, *columns}))})
                    return story(unread, now=text.asked_at, foreseen=None, meaning=self._meaning)
                case _:
                    return story(text, now=text.asked_at, foreseen=None, meaning=self._meaning)

        return [told(text) for text in texts]

    def status(self) -> Standing:
        """How things stand."""
        return Standing.of(self._records.status())

    def preview(self, ask: Preview) -> Forecast:
        """What goes out in the next hours, what is held, and why. Nothing is claimed or written."""
        standing = self.status()
        now = standing.at
        waiting = self._records.waiting(until=now + timedelta(hours=ask.hours))
        looked_at = list(islice(waiting, PREVIEW_ROWS + 1))
        return forecast(
            looked_at[:PREVIEW_ROWS],
            now=now,
            hours=ask.hours,
            profile=self._profile,
            business_id=ask.business_id,
            complete=len(looked_at) <= PREVIEW_ROWS,
            stopped=standing.stopped_because,
        )

    def requeue(self, ask: Requeue) -> Change:
        """Put texts that failed back into the queue, or tell what would be."""
        return self._records.requeue(ask)

    def cancel(self, ask: Cancel) -> Change:
        """End texts that wait, or tell what would be."""
        return self._records.cancel(ask)

    def doubt(self, ask: Doubt) -> Change:
        """Have texts looked for that may have gone out since a backup was taken, or tell which would be."""
        return self._records.doubt(ask)

    def resolve(self, ask: Resolve) -> bool:
        """Say what became of a text in doubt. False: it is not in doubt, or a worker has it at this moment.

        Raises:
            InputError: the message belongs to another text, or its id is none of the provider's.
        """
        if ask.went_out_as and (problem := self._id_problem(ask.went_out_as)):
            raise InputError(problem)
        return self._records.resolve(ask)

    def prune(self, ask: Prune) -> Pruned:
        """Delete history that is old enough, batch by batch until there is none."""
        texts = attempts = runs = 0
        while True:
            batch = self._records.prune(ask)
            texts, attempts, runs = texts + batch.texts, attempts + batch.attempts, runs + batch.runs
            if not (batch.texts or batch.runs):
                return Pruned(texts=texts, attempts=attempts, runs=runs)
