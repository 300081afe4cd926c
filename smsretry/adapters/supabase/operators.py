"""The calls of people: what they record, stop and ask."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from smsretry.adapters.supabase.advice import OPT_IN, ORDER, QUESTION, Ending, lets_go
from smsretry.adapters.supabase.calls import interval
from smsretry.adapters.supabase.examining import SupabaseExaminer
from smsretry.desk.actions.form import Request
from smsretry.desk.actions.marks import MarkDatabase
from smsretry.desk.actions.opt_out_file import OptOut
from smsretry.desk.actions.opt_outs import ImportOptOuts
from smsretry.desk.actions.requests import (
    AfterRestore,
    Cancel,
    LookAgain,
    Order,
    Prune,
    RecordConsent,
    Requeue,
    Resolve,
    WhichText,
)
from smsretry.desk.questions.imported import ImportedOptOuts
from smsretry.desk.questions.known import Known
from smsretry.desk.questions.records import (
    Change,
    ConsentRecorded,
    MarkCheck,
    Pruned,
    StatusLine,
    TextRecord,
    UnreadText,
    WaitingText,
)
from smsretry.retry.audience import Audience
from smsretry.retry.before import CAP_WINDOW

_PAGE: Final = 500
"""Rows of one page of a preview; PostgREST may cut off an answer at 1000."""
_ORDERS: Final[dict[type[Order], str]] = {
    Requeue: "requeue_failed_sms",
    Cancel: "cancel_sms_retries",
    LookAgain: "look_again_sms",
    AfterRestore: "doubt_sms_retries",
}
_PARAMETERS: Final = {"limit": "row_limit", "backup_of": "since"}
"""Fields of a form that SQL names otherwise."""
_RESEND: Final = lets_go("smsretry explain")


class SupabaseOperators(SupabaseExaminer):
    """`desk.Records` over HTTP, and what `smsretry consent`, `stop` and `doctor` ask of the database."""

    def explain(self, request: WhichText | None, phone: str | None) -> list[TextRecord]:
        values = _given(request) if request else {}
        limit = values.pop("limit", 10)
        blank: dict[str, object] = {"history": [], "events": [], "looks": 0, "can": []}
        return self.told(TextRecord, "explain_sms", values | {"phone": phone, "row_limit": limit}, blank)

    def look_up(self, request: WhichText | None, phone: str | None) -> list[Known]:
        """What is known where `explain` finds no text."""
        given = [request.id, request.retry_id, request.send_log_id, request.customer_id] if request else []
        found = next((one for one in given if one), None)
        values: dict[str, object] = {"id": found and str(found), "phone": phone}
        if request and request.last_digits:
            values |= {"business_id": str(request.business_id), "last_digits": request.last_digits}
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
        return self.told(
            StatusLine, "sms_status", {"with_words": True, "with_senders": True}, {"name": "what cannot be read"}
        )

    def order(self, request: Order) -> Change:
        """Change texts, or say what would be changed."""
        function = _ORDERS[type(request)]
        values = {_PARAMETERS.get(name, name): value for name, value in _given(request).items()}
        changed = self.rows(Change, function, values, QUESTION if request.dry_run else _ending(request))
        if len(changed) != 1:
            raise self.not_ours(function)
        return changed[0]

    def prune(self, request: Prune) -> Pruned:
        trial = {"dry_run": True} if request.dry_run else {}  # an older database deletes, and knows no trial
        return self.row(
            Pruned, "prune_sms_history", {"keep_days": request.keep_days, **trial}, QUESTION if trial else ORDER
        )

    def record_consent(
        self,
        phone: str,
        *,
        consent: Literal["opted_in", "opted_out", "unchanged"],
        source: str,
        business_id: UUID | None,
    ) -> ConsentRecorded:
        """Record what a customer said by telephone or letter, for everyone at the business who has this number.

        Raises:
            InputError: nobody has it; an opt-in names no business; or nothing waits to be read, and so to be unchanged.
        """
        return self._consent({"phone": phone, "consent": consent, "source": source, "business_id": business_id})

    def record_consent_of(self, request: RecordConsent) -> ConsentRecorded:
        """The same by a customer's id, for their number at their business.

        Raises:
            InputError: there is no such customer.
        """
        return self._consent({"phone": None, **_given(request)})

    def _consent(self, values: dict[str, object]) -> ConsentRecorded:
        function = "record_sms_consent"
        if values["consent"] != "opted_in":
            return self.row(ConsentRecorded, function, values, ORDER)
        # Once: a second one, even seconds later, would undo a STOP that came between them.
        return self.one(ConsentRecorded, function, self.once(function, values, OPT_IN))

    def mark(self, request: MarkDatabase) -> bool:
        """Say what the database is, for everybody who sends from it."""
        address = self.address if request.kind == "production" else None
        values = request.model_dump(mode="json") | {"address": address}
        return self.truth("mark_sms_database", values, ORDER)

    def check_mark(self, audience: Audience) -> MarkCheck:
        """Whether that fits whom a worker with these settings texts."""
        businesses = sorted(map(str, audience.businesses))
        values = {"send_to": audience.send_to, "address": self.address, "business_ids": businesses}
        return self.row(MarkCheck, "check_sms_mark", values, QUESTION)

    def import_opt_outs(
        self,
        order: ImportOptOuts,
        opt_outs: Sequence[OptOut],
        *,
        file_hash: str | None = None,
        after_business: UUID | None = None,
    ) -> ImportedOptOuts:
        """Record opt-outs from another system, or say what would be recorded. Given again, they change nothing more.

        Args:
            opt_outs: `LINES_OF_A_CALL` at most.
            file_hash: SHA-256 of the file they are from. Its lines without a date count as of its first import.
            after_business: with `all_businesses`, what the call before answered as `next_after`.

        Raises:
            InputError: there is no such business.
        """
        lines = [{"line": one.line, "phone": one.phone, "at": one.at and one.at.isoformat()} for one in opt_outs]
        values = {"opt_outs": lines, "file_hash": file_hash, "after_business": after_business and str(after_business)}
        ending = QUESTION if order.dry_run else ORDER
        return self.row(ImportedOptOuts, "import_sms_opt_outs", _given(order) | values, ending)

    def set_state_stop(self, state: str, why: str | None) -> None:
        """Let no marketing text go to a US state. With None, let them go again."""
        ending = ORDER if why is not None else lets_go("smsretry status")
        self.truth("set_sms_state_stop", {"state": state, "why": why}, ending)

    def resolve(self, request: Resolve) -> bool:
        """Say what became of a text in doubt. False: it is not in doubt, or a worker has it at this moment.

        Raises:
            InputError: the message belongs to another text.
        """
        values = {
            "retry_id": request.retry_id,
            "twilio_sid": request.went_out_as,
            "who": request.who,
            "because": request.because,
        }
        ending = _RESEND if request.send_again else ORDER
        answer = self.repeated("resolve_sms_doubt", values, ending)
        if answer not in ("resolved", "not_in_doubt"):
            raise self.not_ours("resolve_sms_doubt")
        return answer == "resolved"


def _ending(request: Order) -> Ending:
    """Given twice to the same ids, a cancellation, look or doubt is the same. By other fields it would take in more."""
    same = isinstance(request, AfterRestore) or (isinstance(request, Cancel | LookAgain) and request.retry_ids)
    return ORDER if same else _RESEND


def _given(request: Request) -> dict[str, object]:
    """The fields that somebody filled in, as JSON."""
    return request.model_dump(mode="json", exclude_none=True)
