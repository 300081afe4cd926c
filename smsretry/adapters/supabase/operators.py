"""The desk, where people ask and act: Prefect's forms, the command line and SQL give the same answers."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Final
from uuid import UUID

from smsretry.adapters.supabase.advice import OPT_IN, ORDER, QUESTION, Ending
from smsretry.adapters.supabase.calls import SupabaseCalls
from smsretry.desk.actions.form import Form
from smsretry.desk.actions.opt_outs import ImportOptOuts, OptOut
from smsretry.desk.actions.requests import (
    AskStatus,
    ListTexts,
    MarkDatabase,
    Preview,
    Prune,
    RecordConsent,
    Resolve,
    WhichText,
)
from smsretry.desk.actions.senders import AddSender, WhichSenders
from smsretry.desk.questions.answers import Answer, Change, Done, Listed
from smsretry.desk.questions.explanation import Explanation, Found, explain
from smsretry.desk.questions.levers import CodeMeaning
from smsretry.desk.questions.preview import Forecast, forecast
from smsretry.desk.questions.queue_status import QueueStatus, StatusLine
from smsretry.desk.questions.records import TextRecord, WaitingText
from smsretry.desk.questions.senders import SenderRecord, Senders
from smsretry.errors import InputError
from smsretry.retry.models import Finding, SenderId
from smsretry.retry.profile import EVERYBODY, Audience, Profile
from smsretry.vocabulary import SendTo

_PREVIEW_ROWS: Final = 20_000
"""How many waiting texts one preview looks at."""
_CHANGES: Final = ("change_sms_texts", "doubt_sms_retries")
"""What answers how many texts it changed, and which."""


class SupabaseOperators(SupabaseCalls):
    """The questions and orders of people, and what the import and the doctor ask of the database."""

    def texts(self, form: WhichText | ListTexts) -> list[TextRecord]:
        return self.rows(TextRecord, self.once(form.FUNCTION, form.values(), QUESTION))

    def waiting(self, *, until: datetime) -> Iterator[WaitingText]:
        """Waiting texts in order of their due times, read page by page, but for those that cannot be read."""
        page: dict[str, object] = {"until": until}
        while True:
            rows = self.readable(WaitingText, self.once("preview_sms_retries", page, QUESTION))
            yield from rows.read
            # A short page need not be the last one: answers may be cut off. Rows without a readable time come first.
            last = next((row for row in reversed(rows.given) if row["scheduled_for"]), None)
            if last is None:
                return
            page |= {"after_due": last["scheduled_for"], "after_id": last["id"]}

    def status(self) -> QueueStatus:
        return QueueStatus(parts=tuple(self.rows(StatusLine, self.once("sms_status", {}, QUESTION))))

    def senders(self, business_id: UUID | None = None) -> list[SenderRecord]:
        """Those of a business, or all, page by page, each with its number."""
        found = list[SenderRecord]()
        while True:
            after = {"after_id": found[-1].sender_id if found else None}
            values = {"with_numbers": True, "business_id": business_id} | after
            page = self.rows(SenderRecord, self.once("sms_senders", values, QUESTION))
            if not page:  # answers may be cut off, so a short page need not be the last one
                return found
            found += page

    def carry_out(self, form: Form, **more: object) -> Done:
        """Call a form's function; `more`: further arguments.

        Raises:
            InputError: the database says why it cannot be.
        """
        if isinstance(form, MarkDatabase):
            more = {"address": self.address if form.kind == "production" else None}
        kind = Change if form.FUNCTION in _CHANGES else Done
        ending = Ending(ORDER.undone, ORDER.undone) if more.get("dry_run") else _ending(form)
        reply = self.once(form.FUNCTION, {**form.values(), **more}, ending)
        rows = reply.content
        if not isinstance(rows, list):
            rows = [{"answer": rows}]
        told = {"asked": form, **({"address": more["address"]} if "address" in more else {})}
        return self.one(kind, replace(reply, content=[{**row, **told} for row in rows]))

    def import_opt_outs(self, order: ImportOptOuts, opt_outs: Sequence[OptOut]) -> Done:
        """Record opt-outs from another system, or say what would be recorded. Given again, they change nothing more.

        Args:
            opt_outs: `LINES_OF_A_CALL` at most.

        Raises:
            InputError: there is no such business.
        """
        lines = [{"line": one.line, "phone": one.phone, "at": one.at} for one in opt_outs]
        return self.carry_out(order, opt_outs=lines)

    def checksums(self) -> Mapping[str, str]:
        """Of each function, table and the like that smsretry defines, as the database has it."""
        reply = self.once("examine_sms_retries", {}, QUESTION)
        if not isinstance(reply.content, dict):
            raise self.not_ours(reply.function)
        return reply.content

    def rehearse(self, send_to: SendTo) -> list[Finding]:
        """Rehearse a text in the database, roll all of it back, and compare such a worker with the database's mark."""
        values = {"send_to": send_to, "address": self.address}
        return self.rows(Finding, self.once("try_sms_retry_queue", values, QUESTION))


def _ending(form: Form) -> Ending:
    """What follows for the person if the answer is lost."""
    if form.is_question:
        return QUESTION
    ending = OPT_IN if isinstance(form, RecordConsent) and form.consent == "opted_in" else ORDER
    return Ending(ending.undone, ending.unknown.format(look=form.LOOK))


@dataclass(frozen=True, slots=True)
class Desk:
    """Answers a person. No answer contains a phone number or a message body."""

    operators: SupabaseOperators
    profile: Profile
    meaning: Callable[[int], CodeMeaning]
    """What one of the provider's codes means."""
    audience: Audience = EVERYBODY
    """Whom this installation texts, for predictions."""
    id_problem: Callable[[str], str | None] = lambda _: None
    """What is wrong with the message id that a person typed, if the provider gives no such ids."""
    check_sender: Callable[[SenderId], list[Finding]] = lambda _: []
    """What the provider says of a sender."""

    def answer(self, form: Form) -> Answer:
        """Answer a question, or carry an order out.

        Raises:
            InputError: it cannot be, for a reason that its message says.
        """
        match form:
            case WhichText():
                return Found(texts=tuple(self.explain(form)))
            case ListTexts():
                listed = tuple(self.operators.texts(form))
                return Listed(texts=listed, more=len(listed) >= form.limit)
            case AskStatus():
                return self.status()
            case Preview():
                return self.preview(form)
            case WhichSenders():
                return Senders(senders=tuple(self.operators.senders(form.business_id)))
            case AddSender():
                self.operators.carry_out(form, dry_run=True)
                if wrong := [one for one in self.check_sender(SenderId(form.account, form.sent_by)) if not one.ok]:
                    why = ". ".join(f"{one.subject}: {one.advice}" for one in wrong)
                    raise InputError(f"It was not added, because it cannot send. {why}. Fix that first")
            case Resolve(went_out_as=sid) if sid != "nothing" and (problem := self.id_problem(sid)):
                raise InputError(problem)
            case Prune():
                return self._prune(form)
        return self.operators.carry_out(form)

    def explain(self, form: WhichText) -> list[Explanation]:
        """Explain a text, or all texts of a customer, newest first."""
        texts = self.operators.texts(form)
        status = self.status() if any(text.state == "due" for text in texts) else None
        return [explain(text, status, meaning=self.meaning) for text in texts]

    def status(self) -> QueueStatus:
        """The state of the queue."""
        return self.operators.status()

    def preview(self, form: Preview) -> Forecast:
        """What goes out in the next hours, what is held, and why. Nothing is claimed or written."""
        now = self.status().at
        waiting = list(islice(self.operators.waiting(until=now + timedelta(hours=form.hours)), _PREVIEW_ROWS + 1))
        return forecast(
            waiting[:_PREVIEW_ROWS],
            now=now,
            hours=form.hours,
            profile=self.profile,
            complete=len(waiting) <= _PREVIEW_ROWS,
            audience=self.audience,
            senders=self.operators.senders(),
        )

    def _prune(self, form: Prune) -> Done:
        """Batch by batch, until nothing is old enough."""
        deleted = Counter[str]()
        while True:
            batch = self.operators.carry_out(form).came_to
            if not (batch["texts"] or batch["runs"]):
                return Done.model_validate({"asked": form, "texts": 0, "runs": 0, **deleted})
            deleted.update(batch)
