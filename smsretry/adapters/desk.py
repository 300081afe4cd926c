"""The desk, where people ask and act: Prefect's forms, the command line and SQL give the same answers."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Final
from uuid import UUID

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.desk.actions.form import UUID_PATTERN, Form
from smsretry.desk.actions.requests import (
    AskStatus,
    ExplainText,
    ListTexts,
    ListUnreadWords,
    Preview,
    Prune,
    Report,
    Resolve,
)
from smsretry.desk.actions.senders import AddSender, ListSenders
from smsretry.desk.questions.answers import Answer, Done, TextList
from smsretry.desk.questions.explanation import (
    Explanation,
    Explanations,
    explanation_of,
)
from smsretry.desk.questions.preview import HORIZON, Forecast, forecast, predict
from smsretry.desk.questions.queue_status import QueueStatus
from smsretry.desk.questions.records import WAITING, Prediction, TextRecord
from smsretry.desk.questions.remedies import CodeMeaning
from smsretry.desk.questions.senders import Senders
from smsretry.desk.questions.unread import UnreadMessages
from smsretry.errors import InputError
from smsretry.retry.models import Finding, SenderId
from smsretry.retry.profile import EVERYBODY, Audience, Profile

_PREVIEW_ROWS: Final = 20_000
"""How many waiting texts one preview looks at."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Answers a person. No answer contains a phone number or a message body."""

    operators: SupabaseOperators
    profile: Profile
    meaning: Callable[[int], CodeMeaning]
    """The meaning of a provider's code."""
    audience: Audience = EVERYBODY
    """The people whom this installation texts, for predictions."""
    id_problem: Callable[[str], str | None] = lambda _: None
    """The fault of a message id that a person typed. None: none is visible."""
    check_sender: Callable[[SenderId], list[Finding]] = lambda _: []
    """The provider's findings about a sender."""

    def answer(self, form: Form) -> Answer:
        """Answer a question, or carry an order out.

        Raises:
            InputError: that is impossible, for the reason in its message.
        """
        form = self._with_business(form)
        match form:
            case ExplainText():
                return Explanations(texts=tuple(self.explain(form)))
            case ListTexts():
                listed = tuple(self.operators.texts(form))
                return TextList(texts=listed, more=len(listed) >= form.limit)
            case AskStatus():
                return self.status()
            case ListUnreadWords():
                return UnreadMessages(words=tuple(self.operators.unread()))
            case Preview():
                return self.preview(form)
            case Report():
                return self.operators.report(form)
            case ListSenders():
                return Senders(senders=tuple(self.operators.senders(form.business_id)))
            case AddSender():
                return self._add_sender(form)
            case Resolve():
                return self._resolve(form)
            case Prune(dry_run=False):
                return self._prune(form)
            case _:
                return self.operators.carry_out(form)

    def _with_business(self, form: Form) -> Form:
        """The form with the id of the business that it names."""
        id_or_name = getattr(form, "business_id", None)
        if id_or_name is None or re.fullmatch(UUID_PATTERN, str(id_or_name)):
            return form
        businesses = self.operators.businesses(id_or_name)
        if len(businesses) == 1:
            return form.model_copy(update={"business_id": businesses[0].business_id})
        if not businesses:
            raise InputError(
                "No business is called so. Look in the application's table businesses"
            )
        choices = ", ".join(
            f"{business.business} ({business.business_id})" for business in businesses
        )
        raise InputError(
            f"Several businesses are called so: {choices}. Name one by its id"
        )

    def explain(self, form: ExplainText) -> list[Explanation]:
        """Explain a text, or all texts of a customer, newest first."""
        texts = self.operators.texts(form)
        is_any_waiting = any(text.state in WAITING for text in texts)
        status = self.status() if is_any_waiting else None
        predictions = self._predictions(texts)
        return [
            explanation_of(
                text,
                status,
                predictions.get(text.retry_id),
                meaning=self.meaning,
            )
            for text in texts
        ]

    def _predictions(self, texts: Sequence[TextRecord]) -> dict[UUID, Prediction]:
        """Predictions by row, for those of these texts that wait."""
        ids = [text.retry_id for text in texts if text.state in WAITING]
        if not ids:
            return {}
        now = texts[0].asked_at
        predictions = predict(
            self.operators.waiting(ids=ids),
            now=now,
            until=now + HORIZON,
            profile=self.profile,
            audience=self.audience,
        )
        return {text.id: prediction for text, prediction in predictions}

    def status(self) -> QueueStatus:
        """The state of the queue."""
        return self.operators.status()

    def preview(self, form: Preview) -> Forecast:
        """A preview of the next hours: what goes out, what is held, and why. Nothing is claimed or written."""
        status = self.status()
        now = status.at
        waiting = list(
            islice(
                self.operators.waiting(until=now + timedelta(hours=form.hours)),
                _PREVIEW_ROWS + 1,
            )
        )
        return forecast(
            waiting[:_PREVIEW_ROWS],
            now=now,
            hours=form.hours,
            profile=self.profile,
            complete=len(waiting) <= _PREVIEW_ROWS,
            audience=self.audience,
            silence=status.silence,
        )

    def _add_sender(self, form: AddSender) -> Done:
        """Add a sender that can send. What the database refuses, the provider is not asked about."""
        self.operators.carry_out(form, dry_run=True)
        problems = ". ".join(
            f"{finding.subject}: {finding.advice}"
            for finding in self.check_sender(SenderId(form.account, form.sent_by))
            if not finding.ok
        )
        if problems:
            raise InputError(
                f"It was not added, because it cannot send. {problems}. Fix that first"
            )
        return self.operators.carry_out(form)

    def _resolve(self, form: Resolve) -> Done:
        if form.went_out_as != "nothing":
            problem = self.id_problem(form.went_out_as)
            if problem:
                raise InputError(problem)
        return self.operators.carry_out(form)

    def _prune(self, form: Prune) -> Done:
        """Delete batch by batch, until nothing is old enough."""
        deleted = Counter[str]()
        while True:
            batch = self.operators.carry_out(form).columns
            if not (batch["texts"] or batch["runs"]):
                return Done.model_validate(
                    {"form": form, "texts": 0, "runs": 0, **deleted}
                )
            deleted.update(batch)
