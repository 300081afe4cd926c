"""The operators' calls: what a person records, stops and asks."""

from typing import Final, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from smsretry.adapters.supabase.calls import SupabaseCalls
from smsretry.adapters.supabase.shapes import Part, misfits
from smsretry.adapters.supabase.wanted_objects import wanted_objects
from smsretry.retry.models import Finding

LARGEST_CLAIM: Final = 500
"""What `claim_due_sms_retries` clamps its limit to."""


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

    def resolve_doubt(self, retry_id: UUID, sid: str | None) -> Literal["resolved", "not_in_doubt"]:
        """Say what became of a text in doubt: it went out as this message, or with None not at all (it is sent again).

        Raises:
            InputError: the message belongs to another text.
        """
        answer = self.repeated("resolve_sms_doubt", {"retry_id": retry_id, "twilio_sid": sid})
        if answer not in ("resolved", "not_in_doubt"):
            raise self.not_ours("resolve_sms_doubt")
        return "resolved" if answer == "resolved" else "not_in_doubt"

    def check(self) -> list[Finding]:
        """What the database says of its own set-up: functions, constraints, policies, grants, row level security."""
        return self.rows(Finding, "check_sms_retry_setup", {"wanted": wanted_objects()})

    def check_shapes(self) -> list[Finding]:
        """Whether the tables that the application and smsretry share are still as smsretry needs them."""
        found = misfits(self.rows(Part, "describe_sms_tables", {}))
        return [Finding(subject=misfit.where, ok=False, advice=misfit.what) for misfit in found] or [
            Finding(subject="shapes of the application's tables", ok=True)
        ]

    def rehearse(self) -> list[Finding]:
        """Queue, claim, begin and finish sample texts in the database, and roll all of it back."""
        return self.rows(Finding, "try_sms_retry_queue", {})

    def check_longest_answer(self) -> list[Finding]:
        """Whether an answer holds as many rows as one claim may take. Those that are cut off wait out their lease."""
        answer = self.repeated("count_sms_answer", {"row_count": LARGEST_CLAIM})
        if not isinstance(answer, list):
            raise self.not_ours("count_sms_answer")
        fits = len(answer) >= LARGEST_CLAIM
        advice = (
            f"answers are cut off after {len(answer)} rows, and the rest of a larger claim waits to be recovered: "
            "set Max rows (Supabase: Project Settings, Data API; PostgREST: db-max-rows) to 1000, or process with a "
            f"limit of at most {len(answer)}"
        )
        return [Finding(subject="rows of an answer", ok=fits, advice=None if fits else advice)]
