"""The questions and orders of people, and what the import and the doctor ask."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

from smsretry.adapters.supabase.advice import (
    ASK_AGAIN,
    REPEAT_OPT_IN,
    REPEAT_ORDER,
    NextStep,
)
from smsretry.adapters.supabase.calls import SupabaseCalls
from smsretry.adapters.supabase.reply import Reply
from smsretry.desk.actions.form import Form
from smsretry.desk.actions.requests import (
    AskStatus,
    ChangeTexts,
    ExplainText,
    ListTexts,
    ListUnreadWords,
    MarkDatabase,
    Preview,
    RecordConsent,
    Report,
    ReportRestore,
)
from smsretry.desk.actions.senders import ListSenders
from smsretry.desk.questions.answers import Change, Done
from smsretry.desk.questions.queue_status import QueueStatus
from smsretry.desk.questions.records import NamedBusiness, TextRecord, WaitingText
from smsretry.desk.questions.report import Reported
from smsretry.desk.questions.senders import SenderRecord
from smsretry.desk.questions.unread import UnreadMessage
from smsretry.retry.customers import Customer
from smsretry.retry.models import Finding
from smsretry.vocabulary import SendTo

_REPEAT_TRIAL: Final = NextStep(REPEAT_ORDER.undone)
"""The next step after an order that was only tried: whatever came of it, nothing was recorded."""


class SupabaseOperators(SupabaseCalls):
    """The questions and orders of people, and what the import and the doctor ask of the database."""

    def texts(self, form: ExplainText | ListTexts) -> list[TextRecord]:
        return self._ask(form.FUNCTION, form.values()).rows(TextRecord)

    def waiting(
        self, *, until: datetime | None = None, ids: Sequence[UUID] = ()
    ) -> Iterator[WaitingText]:
        """Waiting texts: those that are due until then, in the order of their due times, or those of these ids.

        They are read page by page. Those that cannot be read are left out.
        """
        arguments: dict[str, object] = {
            "until": until,
            "ids": ids or None,
        }
        while True:
            reply = self._ask(Preview.FUNCTION, arguments)
            rows = reply.each_row(WaitingText)
            yield from rows.parsed
            # A short page need not be the last one: answers may be cut off. Rows without a readable time come first.
            timed_rows = [row for row in rows.raw if row["scheduled_for"]]
            if ids or not timed_rows:
                return
            arguments["after_due"] = timed_rows[-1]["scheduled_for"]
            arguments["after_id"] = timed_rows[-1]["id"]

    def report(self, form: Report) -> Reported:
        """The rows of an owner's report."""
        reply = self._ask(form.FUNCTION, form.values())
        content = [{"form": form, "rows": reply.content}]
        return replace(reply, content=content).row(Reported)

    def businesses(self, name: str) -> list[NamedBusiness]:
        """The businesses of this name, or like it."""
        return self._ask("sms_businesses", {"name": name}).rows(NamedBusiness)

    def unread(self) -> list[UnreadMessage]:
        """Messages that nobody has read yet."""
        return self._ask(ListUnreadWords.FUNCTION).rows(UnreadMessage)

    def status(self) -> QueueStatus:
        return self._ask(AskStatus.FUNCTION).row(QueueStatus)

    def senders(self, business_id: UUID | str | None = None) -> list[SenderRecord]:
        """The senders of a business, or of all, each with its number. They are read page by page."""
        senders = list[SenderRecord]()
        while True:
            arguments = {
                "with_numbers": True,
                "business_id": business_id,
                "after_id": senders[-1].sender_id if senders else None,
            }
            reply = self._ask(ListSenders.FUNCTION, arguments)
            page = reply.rows(SenderRecord)
            # A short page need not be the last one: answers may be cut off.
            if not page:
                return senders
            senders += page

    def carry_out(self, form: Form, **arguments: object) -> Done:
        """Call a form's function.

        Args:
            arguments: further arguments of the function.

        Raises:
            InputError: the database refuses the order, and says why.
        """
        fields: dict[str, object] = {"form": form}
        if isinstance(form, MarkDatabase):
            # The answer shows the address, too.
            arguments["address"] = self.address if form.kind == "production" else None
            fields["address"] = arguments["address"]
        next_step = _next_step(form)
        if arguments.get("dry_run"):
            next_step = _REPEAT_TRIAL
        reply = self.call_once(form.FUNCTION, form.values() | arguments, next_step)
        rows = reply.content
        if not isinstance(rows, list):
            rows = [{"answer": rows}]
        # The answer to a change counts the texts that changed, and names some.
        is_change = isinstance(form, ChangeTexts | ReportRestore)
        kind = Change if is_change else Done
        content = [row | fields for row in rows]
        return replace(reply, content=content).row(kind)

    def checksums(self) -> Mapping[str, str]:
        """The checksum of each function, table and the like that smsretry defines, as the database has it."""
        reply = self._ask("examine_sms_retries")
        if not isinstance(reply.content, dict):
            raise reply.shape_error()
        return reply.content

    def rehearse(self, send_to: SendTo) -> list[Finding]:
        """Rehearse a text in the database and roll it back, and compare this audience with the database's mark."""
        arguments = {"send_to": send_to, "address": self.address}
        return self._ask("try_sms_retry_queue", arguments).rows(Finding)

    def customers(self) -> list[Customer]:
        """A sample of customers."""
        return self._ask("sample_sms_customers").rows(Customer)

    def _ask(
        self, function: str, arguments: Mapping[str, object] | None = None
    ) -> Reply:
        """Call a function that changes nothing."""
        return self.call_once(function, arguments or {}, ASK_AGAIN)


def _next_step(form: Form) -> NextStep:
    """The next step for the person if the answer is lost."""
    if form.changes_nothing:
        return ASK_AGAIN
    if isinstance(form, RecordConsent) and form.consent == "opted_in":
        return REPEAT_OPT_IN
    return REPEAT_ORDER
