"""The desk, where people ask and act. Prefect's forms, the command line and SQL give the same answers."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Final, Protocol
from uuid import UUID

from smsretry.desk.actions.marks import MarkDatabase
from smsretry.desk.actions.requests import Order, Preview, Prune, RecordConsent, Resolve, WhichText
from smsretry.desk.actions.senders import AddSender, SenderOrder, WhichSenders
from smsretry.desk.actions.states import StateOrder, StopState
from smsretry.desk.questions.explanation import Explanation, explain
from smsretry.desk.questions.forecast import Forecast, forecast
from smsretry.desk.questions.known import Found, Known
from smsretry.desk.questions.levers import CodeMeaning
from smsretry.desk.questions.prediction import predict
from smsretry.desk.questions.queue_status import QueueStatus
from smsretry.desk.questions.records import (
    Change,
    ConsentRecorded,
    Pruned,
    StatusLine,
    TextRecord,
    UnreadText,
    WaitingText,
)
from smsretry.desk.questions.sender_checks import SenderCheck, check_senders, refusal
from smsretry.desk.questions.senders import NO_STOPS, CheckedSender, SenderChanged, SenderRecord, Stops
from smsretry.desk.questions.state_stops import StateStop, concerned
from smsretry.errors import InputError, QueueError
from smsretry.retry.audience import EVERYBODY, Audience
from smsretry.retry.models import SenderId
from smsretry.retry.profile import Profile

PREVIEW_ROWS: Final = 20_000
"""How many waiting texts one preview looks at."""
_LATEST: Final = timedelta(days=3650)
"""No text is due later than this from now."""


class Records(Protocol):
    """What the desk needs from the database."""

    def explain(self, request: WhichText | None, phone: str | None) -> list[TextRecord]: ...

    def look_up(self, request: WhichText | None, phone: str | None) -> list[Known]: ...

    def waiting(
        self, *, until: datetime | None = None, retry_ids: list[UUID] | None = None
    ) -> Iterator[WaitingText | UnreadText]: ...

    def status(self) -> list[StatusLine]: ...

    def order(self, request: Order) -> Change: ...

    def resolve(self, request: Resolve) -> bool: ...

    def record_consent_of(self, request: RecordConsent) -> ConsentRecorded: ...

    def prune(self, request: Prune) -> Pruned:
        """One batch; with dry_run, all that would be deleted."""
        ...

    def mark(self, request: MarkDatabase) -> bool:
        """Say what the database is. Returns whether it is marked."""
        ...

    def set_state_stop(self, state: str, why: str | None) -> None:
        """Let no marketing text go to a US state. With None, let them go again."""
        ...

    def senders(self, business_id: UUID | None = None) -> list[SenderRecord]:
        """Those of a business, or all: the environment's first, and each with its number."""
        ...

    def order_sender(self, request: SenderOrder, *, dry_run: bool = False) -> SenderChanged:
        """Change a sender; with dry_run, check only that it could be added."""
        ...


@dataclass(frozen=True, slots=True)
class Desk:
    """Answers a person. No answer contains a phone number or a message body."""

    records: Records
    profile: Profile
    meaning: Callable[[int], CodeMeaning]
    """What one of the provider's codes means."""
    audience: Audience = EVERYBODY
    """Whom this installation texts, for predictions."""
    id_problem: Callable[[str], str | None] = lambda _: None
    """What is wrong with the message id that a person typed, if the provider gives no such ids."""
    check_sender: SenderCheck = lambda _: []
    """What the provider says of a sender."""

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
        stops = self._stops(self.status(), self._own_senders(waiting.values())) if open_now else NO_STOPS

        def explained(text: TextRecord) -> Explanation:
            prediction = None
            match waiting.get(text.retry_id):
                case WaitingText() as one:
                    prediction = predict(
                        one, now=text.asked_at, profile=self.profile, stopped=stops.why(one), audience=self.audience
                    )
                case UnreadText(columns=columns):
                    text = text.model_copy(update={"unreadable": tuple(sorted({*text.unreadable, *columns}))})
            return explain(text, now=text.asked_at, prediction=prediction, meaning=self.meaning, profile=self.profile)

        return [explained(text) for text in texts]

    def find(self, request: WhichText | None, *, phone: str | None = None) -> Found:
        """Explain, whatever the id is of; where there is no text, say what is known. Arguments as for `explain`."""
        if (request is None or request.id is None) and (texts := self.explain(request, phone=phone)):
            return Found(tuple(texts))
        known = self.records.look_up(request, phone)
        if request is None:
            return Found((), tuple(known))
        asked = {"limit": request.limit, "business_id": request.business_id}
        leads = [one.which.model_copy(update=asked) for one in known if one.which]
        if texts := [text for lead in leads if lead != request for text in self.explain(lead)]:
            return Found(tuple(texts))
        return Found((), tuple(one.within(request.business_id) for one in known))

    def status(self) -> QueueStatus:
        """The state of the queue."""
        return QueueStatus.of(self.records.status())

    def preview(self, request: Preview) -> Forecast:
        """What goes out in the next hours, what is held, and why. Nothing is claimed or written."""
        status = self.status()
        now = status.at
        waiting = self.records.waiting(until=now + timedelta(hours=request.hours))
        looked_at = list(islice(waiting, PREVIEW_ROWS + 1))
        senders = self.records.senders()
        return forecast(
            looked_at[:PREVIEW_ROWS],
            now=now,
            hours=request.hours,
            profile=self.profile,
            business_id=request.business_id,
            complete=len(looked_at) <= PREVIEW_ROWS,
            stops=self._stops(status, senders),
            audience=self.audience,
            senders={one.sender_id: one for one in senders if one.sender_id},
            names={user.business_id: user.business for one in senders for user in one.used_by if user.business},
        )

    def _own_senders(self, texts: Iterable[WaitingText | UnreadText]) -> list[SenderRecord]:
        """The senders, if one of these texts goes out from a business's own."""
        return self.records.senders() if any(isinstance(one, WaitingText) and one.sender for one in texts) else []

    def _stops(self, status: QueueStatus, senders: list[SenderRecord]) -> Stops:
        return Stops.of(status.stopped_because, status.environment_stopped_because, senders)

    def senders(self, request: WhichSenders, *, named: str | None = None) -> list[CheckedSender]:
        """The senders, or the one that an id names; if that is wanted, what the provider says of each."""
        found = self.records.senders(request.business_id)
        wanted = [one for one in found if named in (None, one.name, str(one.sender_id))]
        checked = check_senders(wanted, self.check_sender if request.check else lambda _: [])
        return [one for one in checked if one.troubled or not request.troubled]

    def add_sender(self, request: AddSender) -> SenderChanged:
        """Give a business a sender of its own, unless the provider says that it cannot send.

        Raises:
            InputError: it cannot be one, or the business has an active one; or the provider says no.
        """
        if not request.unchecked:
            self.records.order_sender(request, dry_run=True)
            if why := refusal(self.check_sender(SenderId(request.account, request.sent_by))):
                raise InputError(why)
        return self.records.order_sender(request)

    def order_sender(self, request: SenderOrder) -> SenderChanged:
        """Change, pause, resume or remove a sender."""
        return self.records.order_sender(request)

    def mark(self, request: MarkDatabase) -> bool:
        """Say whether the database is production, in this one place, or staging. Returns whether it is marked."""
        return self.records.mark(request)

    def order(self, request: Order) -> Change:
        """Requeue or cancel texts, look at them again, or doubt them after a restore; or say what that would change."""
        return self.records.order(request)

    def record_consent(self, request: RecordConsent) -> ConsentRecorded:
        """Record what a customer said about texts.

        Raises:
            InputError: there is no such customer.
        """
        return self.records.record_consent_of(request)

    def order_state(self, request: StateOrder) -> StateStop:
        """Stop marketing texts to a state or lift the stop; or say how many waiting texts that concerns."""
        lift = not isinstance(request, StopState)
        because = request.because if isinstance(request, StopState) else None
        told = StateStop(state=request.state, stopped=not lift, dry_run=request.dry_run, changed=True, because=because)
        if not (lift or request.dry_run):  # an emergency asks nothing first
            self.records.set_state_stop(request.state, because)
            return told
        if not request.dry_run:
            was = self._was_stopped(request.state)
            self.records.set_state_stop(request.state, None)
            return told.model_copy(update={"changed": was})
        status = self.status()
        was = status.state_stopped(request.state)
        told = told.model_copy(update={"changed": was is lift})
        texts = list(islice(self.records.waiting(until=status.at + _LATEST), PREVIEW_ROWS + 1))
        counted = texts[:PREVIEW_ROWS]
        number = concerned(counted, request.state, now=status.at, profile=self.profile)
        return told.model_copy(update={"stopped": was, "texts": number, "complete": len(texts) == len(counted)})

    def _was_stopped(self, state: str) -> bool:
        """Only to say it: where this cannot be told, the order that follows says what is wrong."""
        try:
            return self.status().state_stopped(state)
        except QueueError:
            return True

    def resolve(self, request: Resolve) -> bool:
        """Say what became of a text in doubt. False: it is not in doubt, or a worker has it at this moment.

        Raises:
            InputError: the message belongs to another text, or the provider gives no such ids.
        """
        if request.went_out_as and (problem := self.id_problem(request.went_out_as)):
            raise InputError(problem)
        return self.records.resolve(request)

    def prune(self, request: Prune) -> Pruned:
        """Delete history that is old enough, batch by batch until there is none; or say how much that would be."""
        if request.dry_run:
            return self.records.prune(request)
        texts = attempts = runs = 0
        while True:
            batch = self.records.prune(request)
            texts, attempts, runs = texts + batch.texts, attempts + batch.attempts, runs + batch.runs
            if not (batch.texts or batch.runs):
                return Pruned(texts=texts, attempts=attempts, runs=runs)
