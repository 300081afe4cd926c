"""The desk, where people ask and act. Prefect's forms, the command line and SQL give the same answers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Final, Protocol
from uuid import UUID

from smsretry.desk.actions.requests import Order, Preview, Prune, Resolve, WhichText
from smsretry.desk.questions.explanation import CodeMeaning, Explanation, explain
from smsretry.desk.questions.forecast import Forecast, forecast
from smsretry.desk.questions.prediction import predict
from smsretry.desk.questions.queue_status import QueueStatus
from smsretry.desk.questions.records import Change, Pruned, StatusLine, TextRecord, UnreadText, WaitingText
from smsretry.errors import InputError
from smsretry.retry.profile import Profile

PREVIEW_ROWS: Final = 20_000
"""How many waiting texts one preview looks at."""


class Records(Protocol):
    """What the desk needs from the database."""

    def explain(self, request: WhichText | None, phone: str | None) -> list[TextRecord]: ...

    def waiting(
        self, *, until: datetime | None = None, retry_ids: list[UUID] | None = None
    ) -> Iterator[WaitingText | UnreadText]: ...

    def status(self) -> list[StatusLine]: ...

    def order(self, request: Order) -> Change: ...

    def resolve(self, request: Resolve) -> bool: ...

    def prune(self, request: Prune) -> Pruned:
        """One batch."""
        ...


@dataclass(frozen=True, slots=True)
class Desk:
    """Answers a person. No answer contains a phone number or a message body."""

    records: Records
    profile: Profile
    meaning: Callable[[int], CodeMeaning]
    """What one of the provider's codes means."""
    id_problem: Callable[[str], str | None] = lambda _: None
    """What is wrong with the message id that a person typed, if the provider gives no such ids."""

    def explain(self, request: WhichText | None, *, phone: str | None = None) -> list[Explanation]:
        """Explain a text, or all texts of a customer, newest first.

        Args:
            request: which text; None only with `phone`.
            phone: the number to look for, E.164. Only a terminal gives one, read from standard input.
        """
        texts = self.records.explain(request, phone)
        live = [text.retry_id for text in texts if text.state in ("scheduled", "due", "waiting", "held")]
        waiting = {one.id: one for one in self.records.waiting(retry_ids=live)} if live else {}
        open_now = any(isinstance(one, WaitingText) and one.circuit_open for one in waiting.values())
        stopped = self.status().stopped_because if open_now else None

        def explained(text: TextRecord) -> Explanation:
            prediction = None
            match waiting.get(text.retry_id):
                case WaitingText() as one:
                    prediction = predict(one, now=text.asked_at, profile=self.profile, stopped=stopped)
                case UnreadText(columns=columns):
                    text = text.model_copy(update={"unreadable": tuple(sorted({*text.unreadable, *columns}))})
            return explain(text, now=text.asked_at, prediction=prediction, meaning=self.meaning)

        return [explained(text) for text in texts]

    def status(self) -> QueueStatus:
        """The state of the queue."""
        return QueueStatus.of(self.records.status())

    def preview(self, request: Preview) -> Forecast:
        """What goes out in the next hours, what is held, and why. Nothing is claimed or written."""
        status = self.status()
        now = status.at
        waiting = self.records.waiting(until=now + timedelta(hours=request.hours))
        looked_at = list(islice(waiting, PREVIEW_ROWS + 1))
        return forecast(
            looked_at[:PREVIEW_ROWS],
            now=now,
            hours=request.hours,
            profile=self.profile,
            business_id=request.business_id,
            complete=len(looked_at) <= PREVIEW_ROWS,
            stopped=status.stopped_because,
        )

    def order(self, request: Order) -> Change:
        """Requeue or cancel texts, or doubt them after a restore; or say what that would change."""
        return self.records.order(request)

    def resolve(self, request: Resolve) -> bool:
        """Say what became of a text in doubt. False: it is not in doubt, or a worker has it at this moment.

        Raises:
            InputError: the message belongs to another text, or the provider gives no such ids.
        """
        if request.went_out_as and (problem := self.id_problem(request.went_out_as)):
            raise InputError(problem)
        return self.records.resolve(request)

    def prune(self, request: Prune) -> Pruned:
        """Delete history that is old enough, batch by batch until there is none."""
        texts = attempts = runs = 0
        while True:
            batch = self.records.prune(request)
            texts, attempts, runs = texts + batch.texts, attempts + batch.attempts, runs + batch.runs
            if not (batch.texts or batch.runs):
                return Pruned(texts=texts, attempts=attempts, runs=runs)
