"""What people ask the database and order, and what the import and the doctor do."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

from smsretry.adapters.supabase.advice import OPT_IN, ORDER, QUESTION, Ending
from smsretry.adapters.supabase.calls import SupabaseCalls
from smsretry.desk.actions.form import Form
from smsretry.desk.actions.requests import (
    AskStatus,
    ExplainText,
    ListTexts,
    MarkDatabase,
    Preview,
    ReadWords,
    RecordConsent,
)
from smsretry.desk.actions.senders import WhichSenders
from smsretry.desk.questions.answers import Change, Done
from smsretry.desk.questions.queue_status import QueueStatus
from smsretry.desk.questions.records import NamedBusiness, TextRecord, WaitingText
from smsretry.desk.questions.senders import SenderRecord
from smsretry.desk.questions.unread import UnreadWords
from smsretry.retry.customers import Customer
from smsretry.retry.models import Finding
from smsretry.vocabulary import SendTo

_CHANGES: Final = ("change_sms_texts", "after_sms_restore")
"""Orders whose answer counts and names the texts that changed."""


class SupabaseOperators(SupabaseCalls):
    """The questions and orders of people, and what the import and the doctor ask of the database."""

    def texts(self, form: ExplainText | ListTexts) -> list[TextRecord]:
        return self.rows(TextRecord, self.once(form.FUNCTION, form.values(), QUESTION))

    def waiting(
        self, *, until: datetime | None = None, ids: Sequence[UUID] = ()
    ) -> Iterator[WaitingText]:
        """Waiting texts that are due until then, in order of their due times and read page by page; or those of these
        ids that wait. But for those that cannot be read.
        """
        page: dict[str, object] = {
            "until": until,
            "ids": list(map(str, ids)) or None,
        }
        while True:
            rows = self.readable(
                WaitingText, self.once(Preview.FUNCTION, page, QUESTION)
            )
            yield from rows.parsed
            # A short page need not be the last one: answers may be cut off. Rows without a readable time come first.
            last_row = next(
                (row for row in reversed(rows.raw) if row["scheduled_for"]), None
            )
            if last_row is None or ids:
                return
            page |= {"after_due": last_row["scheduled_for"], "after_id": last_row["id"]}

    def businesses(self, name: str) -> list[NamedBusiness]:
        """The businesses of this name, or like it."""
        return self.rows(
            NamedBusiness, self.once("sms_businesses", {"name": name}, QUESTION)
        )

    def unread(self) -> list[UnreadWords]:
        """Messages that nobody has read yet."""
        return self.rows(UnreadWords, self.once(ReadWords.FUNCTION, {}, QUESTION))

    def status(self) -> QueueStatus:
        return self.single_row(QueueStatus, self.once(AskStatus.FUNCTION, {}, QUESTION))

    def senders(self, business_id: UUID | str | None = None) -> list[SenderRecord]:
        """Those of a business, or all, page by page, each with its number."""
        senders = list[SenderRecord]()
        while True:
            after = {"after_id": senders[-1].sender_id if senders else None}
            values = {"with_numbers": True, "business_id": business_id} | after
            page = self.rows(
                SenderRecord, self.once(WhichSenders.FUNCTION, values, QUESTION)
            )
            if (
                not page
            ):  # answers may be cut off, so a short page need not be the last one
                return senders
            senders += page

    def carry_out(self, form: Form, **parameters: object) -> Done:
        """Call a form's function; `more`: further arguments.

        Raises:
            InputError: the database says why it cannot be.
        """
        if isinstance(form, MarkDatabase):
            parameters = {
                "address": self.address if form.kind == "production" else None
            }
        kind = Change if form.FUNCTION in _CHANGES else Done
        ending = (
            Ending(ORDER.undone, ORDER.undone)
            if parameters.get("dry_run")
            else _ending(form)
        )
        reply = self.once(form.FUNCTION, {**form.values(), **parameters}, ending)
        rows = reply.content
        if not isinstance(rows, list):
            rows = [{"answer": rows}]
        request_fields = {
            "form": form,
            **({"address": parameters["address"]} if "address" in parameters else {}),
        }
        return self.single_row(
            kind, replace(reply, content=[{**row, **request_fields} for row in rows])
        )

    def checksums(self) -> Mapping[str, str]:
        """The checksum of each function, table and the like that smsretry defines, as the database has it."""
        reply = self.once("examine_sms_retries", {}, QUESTION)
        if not isinstance(reply.content, dict):
            raise self.not_ours(reply.function)
        return reply.content

    def rehearse(self, send_to: SendTo) -> list[Finding]:
        """Rehearse a text in the database, roll all of it back, and compare such a worker with the database's mark."""
        values = {"send_to": send_to, "address": self.address}
        return self.rows(Finding, self.once("try_sms_retry_queue", values, QUESTION))

    def customers(self) -> list[Customer]:
        """Some customers, of a large table as of a small one."""
        reply = self.once("sample_sms_customers", {}, QUESTION)
        return self.rows(Customer, reply)


def _ending(form: Form) -> Ending:
    """The consequence for the person if the answer is lost."""
    if form.is_question:
        return QUESTION
    return (
        OPT_IN
        if isinstance(form, RecordConsent) and form.consent == "opted_in"
        else ORDER
    )
