"""What people do with senders, over HTTP."""

from typing import Final
from uuid import UUID

from smsretry.adapters.supabase.advice import CHECK, ORDER, QUESTION, lets_go
from smsretry.adapters.supabase.calls import SupabaseCalls
from smsretry.desk.actions.senders import (
    AddAnySender,
    AddSender,
    ChangeSender,
    PauseSender,
    RemoveSender,
    ResumeSender,
    SenderOrder,
)
from smsretry.desk.questions.senders import SenderChanged, SenderRecord

_PAGE: Final = 500
_ORDERS: Final[dict[type[SenderOrder], str]] = {
    AddSender: "add_sms_sender",
    AddAnySender: "add_sms_sender",
    ChangeSender: "change_sms_sender",
    PauseSender: "pause_sms_sender",
    ResumeSender: "resume_sms_sender",
    RemoveSender: "remove_sms_sender",
}
_CHANGES: Final = lets_go("smsretry senders list")


class SupabaseSenders(SupabaseCalls):
    """The senders, for `desk.Records`."""

    def senders(self, business_id: UUID | None = None) -> list[SenderRecord]:
        """Those of a business, or all, page by page."""
        found = list[SenderRecord]()
        while True:
            after = found[-1].sender_id if found else None
            values = {"after_id": after, "row_limit": _PAGE, "with_numbers": True, "business_id": business_id}
            page = self.rows(SenderRecord, "sms_senders", values, QUESTION)
            found += page
            # Answers may be cut off, so a short page need not be the last one. The first has the environment's, too.
            if not page or not page[-1].sender_id:
                return found

    def order_sender(self, request: SenderOrder, *, dry_run: bool = False) -> SenderChanged:
        """Change a sender. An answer that is lost is asked for by `senders`."""
        function = _ORDERS[type(request)]
        values = request.model_dump(mode="json", exclude_none=True, exclude={"unchecked"})
        if "sender" in values:
            values["named"] = values.pop("sender")
        if dry_run:
            values["dry_run"] = True
        ending = CHECK if dry_run else ORDER if isinstance(request, PauseSender) else _CHANGES
        changed = self.rows(SenderChanged, function, values, ending)
        if len(changed) != 1:
            raise self.not_ours(function)
        return changed[0]
