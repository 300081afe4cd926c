"""The operators' calls: what a person records, stops and asks."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from smsretry.adapters.supabase.calls import SupabaseCalls
from smsretry.adapters.supabase.schemas import api_functions
from smsretry.retry.models import Finding


class ConsentRecorded(BaseModel):
    """Answer of `record_sms_consent`."""

    customers: int = Field(description="How many customers it concerns.")
    cancelled: int = Field(description="How many texts waited for them and no longer do.")


class SupabaseOperators(SupabaseCalls):
    """What `smsretry consent`, `stop` and `doctor` ask of the database."""

    def record_consent(
        self, phone: str, *, consent: Literal["opted_in", "opted_out"], source: str, business_id: UUID | None
    ) -> ConsentRecorded:
        """Record what a customer said by telephone or letter, for everyone at the business who has this number.

        Raises:
            InputError: nobody has it; or an opt-in names no business.
        """
        values = {"phone": phone, "consent": consent, "source": source, "business_id": business_id}
        return self.row(ConsentRecorded, "record_sms_consent", values)

    def set_state_stop(self, state: str, why: str | None) -> None:
        """Let no marketing text go to a US state. With None, let them go again."""
        self.truth("set_sms_state_stop", {"state": state, "why": why})

    def check(self) -> list[Finding]:
        """What the database says of its own set-up: functions, grants, row level security."""
        return self.rows(Finding, "check_sms_retry_setup", {"functions": api_functions()})
