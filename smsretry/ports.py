"""What the pipeline needs from the outside: a queue and a sender."""

from datetime import datetime, timedelta
from typing import Literal, Protocol
from uuid import UUID

from smsretry.retry.models import Begun, Claim, Finished, Queued, Recovered, Sighting, Text
from smsretry.retry.outcome import Outcome
from smsretry.words import MessageClass, NextStatus, OutcomeName, Reason, Reconciled


class RetryQueue(Protocol):
    """The SQL functions. Each call is one transaction. Raises `QueueError`.

    Every call about a claimed row names its claim number; the answer says whether the claim still held.
    """

    def recover(self, stale_minutes: int) -> list[Recovered]: ...

    def claim_due(self, limit: int) -> list[Claim]: ...

    def claim_doubtful(self, limit: int) -> list[Claim]: ...

    def claim_one(self, retry_id: UUID) -> Claim | None: ...

    def queue(
        self,
        send_log_id: UUID,
        *,
        reason: Reason | None,
        attempt_count: int,
        scheduled_for: datetime | None,
        retry_in: timedelta,
        error: str | None,
        message_class: MessageClass = "marketing",
    ) -> Queued: ...

    def begin(
        self,
        claim: Claim,
        attempt_id: UUID,
        *,
        send_before: datetime,
        rule: str,
        first_send: bool,
        daily_cap: int | None = None,
    ) -> Begun: ...

    def finish(
        self,
        claim: Claim,
        attempt_id: UUID,
        *,
        outcome: OutcomeName,
        next_status: NextStatus,
        error: str | None = None,
        code: int | None = None,
        sid: str | None = None,
        retry_in: timedelta | None = None,
        reason: Reason | None = None,
        counted: bool = True,
        opted_out: bool = False,
        phone_status: str | None = None,
    ) -> Finished: ...

    def reconcile(
        self,
        claim: Claim,
        *,
        verdict: Literal["accepted", "look_again", "look_failed", "resend", "hold"],
        sid: str | None = None,
        settled_by: Literal["callback", "reconcile"] = "reconcile",
        look_in: timedelta | None = None,
        error: str | None = None,
    ) -> Reconciled: ...

    def set_circuit(self, why: str | None) -> None: ...

    def defer(self, claim: Claim, *, until: datetime, reason: Reason | None = None, why: str | None = None) -> bool: ...

    def end(self, claim: Claim, *, status: Literal["failed", "cancelled"], error: str) -> bool: ...


class Sender(Protocol):
    """Twilio."""

    def send(self, text: Text) -> Outcome:
        """Make exactly one request. Whatever happens comes back as an outcome."""
        ...

    def look_up(self, phone: str, *, since: datetime) -> list[Sighting] | None:
        """Messages from our sender to this number since then, newest first. None: the list could not be had."""
        ...
