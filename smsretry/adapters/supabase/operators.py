"""The calls of people: what they ask, and what they order by a form."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, Literal, TypeVar
from uuid import UUID

from smsretry.adapters.supabase.advice import OPT_IN, ORDER, QUESTION, Ending
from smsretry.adapters.supabase.calls import interval
from smsretry.adapters.supabase.examining import SupabaseExaminer
from smsretry.desk.actions.form import Form
from smsretry.desk.actions.opt_outs import ImportOptOuts, OptOut
from smsretry.desk.actions.requests import (
    MarkDatabase,
    Order,
    Prune,
    RecordConsent,
    Resolve,
    StopState,
    WhichText,
)
from smsretry.desk.desk import ANSWERS
from smsretry.desk.questions.answers import Change, Done, Listed
from smsretry.desk.questions.explanation import Known
from smsretry.desk.questions.queue_status import StatusLine
from smsretry.desk.questions.records import TextRecord, UnreadText, WaitingText
from smsretry.desk.questions.senders import SenderRecord
from smsretry.retry.before import CAP_WINDOW

_PAGE_OF_SENDERS: Final = 500
_A = TypeVar("_A", bound=Done)


class SupabaseOperators(SupabaseExaminer):
    """`desk.Records` over HTTP, and what the import and the doctor ask of the database."""

    def explain(self, form: WhichText) -> list[TextRecord]:
        return self.told(TextRecord, form.FUNCTION, form.values())

    def look_up(self, form: WhichText) -> list[Known]:
        """What is known where `explain` finds no text."""
        found = form.id or form.retry_id or form.send_log_id or form.customer_id
        values: dict[str, object] = {"id": found and str(found), "phone": form.phone}
        if form.last_digits:
            values |= {"at_business": str(form.business_id), "last_digits": form.last_digits}
        return self.rows(Known, "look_up_sms", values, QUESTION)

    def waiting(
        self, *, until: datetime | None = None, retry_ids: list[UUID] | None = None
    ) -> Iterator[WaitingText | UnreadText]:
        """Waiting texts in order of their due times, read page by page. None is claimed."""
        page: dict[str, object] = {"until": until, "retry_ids": retry_ids, "cap_window": interval(CAP_WINDOW)}
        while True:
            rows = self.read(WaitingText, "preview_sms_retries", self.once("preview_sms_retries", page, QUESTION))
            if rows.foreign:
                raise self.mismatch("preview_sms_retries", rows.foreign)
            yield from rows.read
            yield from (UnreadText(id=one.row["id"], columns=one.columns) for one in rows.unreadable)
            # A short page need not be the last one: answers may be cut off. Rows without a readable time come first.
            last = next((row for row in reversed(rows.given) if row["scheduled_for"]), None)
            if last is None:
                return
            page |= {"after_due": last["scheduled_for"], "after_id": last["id"]}

    def status(self) -> list[StatusLine]:
        return self.told(StatusLine, "sms_status", {})

    def senders(self, business_id: UUID | None = None) -> list[SenderRecord]:
        """Those of a business, or all, page by page: the environment's first, and each with its number."""
        found = list[SenderRecord]()
        while True:
            after = found[-1].sender_id if found else None
            values = {
                "after_id": after,
                "row_limit": _PAGE_OF_SENDERS,
                "with_numbers": True,
                "business_id": business_id,
            }
            page = self.rows(SenderRecord, "sms_senders", values, QUESTION)
            found += page
            # Answers may be cut off, so a short page need not be the last one. The first has the environment's, too.
            if not page or not page[-1].sender_id:
                return found

    def carry_out(self, form: Form, **more: object) -> Done:
        """Call a form's function; `more`: further arguments.

        Raises:
            InputError: the database says why it cannot be.
        """
        if isinstance(form, MarkDatabase):
            more = {"address": self.address if form.kind == "production" else None}
        return self._called(ANSWERS.get(form.FUNCTION, Done), form, more)

    def _called(self, kind: type[_A], form: Form, more: Mapping[str, object]) -> _A:
        ending = Ending(ORDER.undone, ORDER.undone) if more.get("dry_run") else _ending(form)
        rows = self.once(form.FUNCTION, {**form.values(), **more}, ending)
        if not isinstance(rows, list):
            rows = [{"answer": rows}]
        elif kind is Listed:
            rows = [{"texts": rows}]
        told = {"asked": form, **({"address": more["address"]} if "address" in more else {})}
        return self.one(kind, form.FUNCTION, [{**row, **told} for row in rows])

    def order(self, request: Order) -> Change:
        """Change texts, or say what would be changed."""
        return self._called(Change, request, {})

    def resolve(self, request: Resolve) -> bool:
        """Say what became of a text in doubt. False: it is not in doubt, or a worker has it at this moment."""
        return not self._called(Done, request, {}).fails

    def prune(self, request: Prune) -> Done:
        """One batch; with dry_run, all that would be deleted."""
        return self._called(Done, request, {})

    def record_consent(
        self,
        phone: str,
        *,
        consent: Literal["opted_in", "opted_out", "unchanged"],
        source: str,
        business_id: UUID | None,
    ) -> Done:
        """Record what a customer said, for everyone at the business who has this number; who said so is the source."""
        values = {"phone": phone, "consent": consent, "source": source, "business_id": business_id}
        signed = {"who": source, "because": source}
        return self._called(Done, RecordConsent.at_terminal(**values, **signed), {})

    def set_state_stop(self, state: str, why: str | None) -> None:
        """Let no marketing text go to a US state. With None, let them go again."""
        self._called(Done, StopState(state=state, because=why, lift=why is None), {})

    def import_opt_outs(
        self, order: ImportOptOuts, opt_outs: Sequence[OptOut], *, file_hash: str | None = None
    ) -> Done:
        """Record opt-outs from another system, or say what would be recorded. Given again, they change nothing more.

        Args:
            opt_outs: `LINES_OF_A_CALL` at most.
            file_hash: SHA-256 of the file they are from. Its lines without a date count as of its first import.

        Raises:
            InputError: there is no such business.
        """
        lines = [{"line": one.line, "phone": one.phone, "at": one.at and one.at.isoformat()} for one in opt_outs]
        return self._called(Done, order, {"opt_outs": lines, "file_hash": file_hash})


def _ending(form: Form) -> Ending:
    """What follows for the person if the answer is lost."""
    if form.is_question:
        return QUESTION
    ending = OPT_IN if isinstance(form, RecordConsent) and form.consent == "opted_in" else ORDER
    return Ending(ending.undone, ending.unknown.format(look=form.LOOK))
