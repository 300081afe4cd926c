"""A queue and a sender that keep what they were told and answer as they were set up to."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from smsretry.retry.models import Begun, Claim, Finished, Queued, Recovered, Sighting, Text
from smsretry.retry.outcome import Accepted, Outcome
from smsretry.words import MessageClass, NextStatus, OutcomeName, Reason, Reconciled

NOON = datetime.fromisoformat("2027-01-12T17:00:00+00:00")
"""In New York."""
SID = "SM" + "0123456789abcdef" * 2
BODY = "Hi Ann, thanks for visiting Maple Street Dental."


@dataclass
class FakeQueue:
    """A queue that keeps what it was told and answers as it was set up to."""

    claims: list[Claim] = field(default_factory=list)
    """The due ones."""
    doubtful: list[Claim] = field(default_factory=list)
    """Those in doubt whose next look has come."""
    verdicts: list[Begun] = field(default_factory=list)
    """What `begin` answers, one after the other; go when there is none."""
    holds: bool = True
    """Whether claims still hold."""
    taken: set[str] = field(default_factory=set)
    """SIDs that other attempts own."""
    reported: bool = False
    """Whether Twilio's callback comes before a send is finished."""
    trouble: dict[str, Exception] = field(default_factory=dict)
    """What a call raises, by its name."""
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def _note(self, call: str, **values: Any) -> None:
        self.told.append((call, values))
        if call in self.trouble:
            raise self.trouble[call]

    def recover(self, stale_minutes: int) -> list[Recovered]:
        return []

    def claim_due(self, limit: int) -> list[Claim]:
        return self.claims[:limit]

    def claim_doubtful(self, limit: int) -> list[Claim]:
        return self.doubtful[:limit]

    def claim_one(self, retry_id: UUID) -> Claim | None:
        return next((claim for claim in self.claims if claim.id == retry_id), None)

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
    ) -> Queued:
        return Queued(retry_id=UUID(int=1), result="queued", due_at=NOON)

    def begin(
        self,
        claim: Claim,
        attempt_id: UUID,
        *,
        send_before: datetime,
        rule: str,
        first_send: bool,
        daily_cap: int | None = None,
    ) -> Begun:
        self._note("begin", send_before=send_before, first_send=first_send)
        return self.verdicts.pop(0) if self.verdicts else Begun(verdict="go", reason=None, decided_at=NOON)

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
    ) -> Finished:
        self._note("finish", outcome=outcome, next_status=next_status, error=error, sid=sid)
        status = "completed" if self.reported else next_status
        return Finished(applied=self.holds, status=status, scheduled_for=NOON + (retry_in or timedelta(0)))

    def reconcile(
        self,
        claim: Claim,
        *,
        verdict: Literal["accepted", "look_again", "look_failed", "resend", "hold"],
        sid: str | None = None,
        settled_by: Literal["callback", "reconcile"] = "reconcile",
        look_in: timedelta | None = None,
        error: str | None = None,
    ) -> Reconciled:
        said = {"sid": sid, "look_in": look_in, "error": error}
        by = {"settled_by": settled_by} if verdict == "accepted" else {}
        self._note("reconcile", verdict=verdict, **by, **{name: value for name, value in said.items() if value})
        if not self.holds:
            return "lost"
        return "sid_taken" if sid in self.taken else "applied"

    def set_circuit(self, why: str | None) -> None:
        self._note("set_circuit", why=why)

    def defer(self, claim: Claim, *, until: datetime, reason: Reason | None = None, why: str | None = None) -> bool:
        self._note("defer", until=until, reason=reason, why=why)
        return self.holds

    def end(self, claim: Claim, *, status: Literal["failed", "cancelled"], error: str) -> bool:
        self._note("end", status=status, error=error)
        return self.holds

    @property
    def calls(self) -> list[str]:
        """The names of the calls, in order."""
        return [call for call, _ in self.told]


@dataclass
class FakeSender:
    """A sender that comes to the given outcome, or raises it, and has the given list of messages."""

    comes_to: Outcome | Exception = field(default_factory=lambda: Accepted(SID))
    texts: list[Text] = field(default_factory=list)
    listed: list[Sighting] | None = field(default_factory=list)
    """None: the list cannot be had."""
    looks: list[tuple[str, datetime]] = field(default_factory=list)
    """Number and time that were asked about."""

    def send(self, text: Text) -> Outcome:
        self.texts.append(text)
        if isinstance(self.comes_to, Exception):
            raise self.comes_to
        return self.comes_to

    def look_up(self, phone: str, *, since: datetime) -> list[Sighting] | None:
        self.looks.append((phone, since))
        return self.listed
