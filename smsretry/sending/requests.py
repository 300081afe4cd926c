"""Requests to the queue, as values. Each has its fields here and nowhere else."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from smsretry.retry.audience import Audience
from smsretry.retry.decision import AfterSend, Send
from smsretry.retry.models import Claim, SenderId
from smsretry.retry.outcome import Outcome
from smsretry.vocabulary import MessageClass, Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueText:
    """Queue a retry of a text."""

    send_log_id: UUID
    reason: Reason | None
    attempt_count: int
    """Retries already made."""
    scheduled_for: datetime | None
    """None: after the delay of so many retries."""
    error: str | None
    message_class: MessageClass = "marketing"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleText:
    """Plan a text for a time. `schedule_sms` says what the fields mean."""

    business_id: UUID
    customer_id: UUID
    body: str = field(repr=False)
    scheduled_for: datetime
    not_after: datetime | None
    message_class: MessageClass
    created_by: UUID | None
    scheduled_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """Begin a send: store with the attempt what will be sent, and by which run."""

    claim: Claim
    attempt_id: UUID
    decision: Send
    sender: SenderId
    """What it goes out from."""
    audience: Audience
    """Whom this installation texts."""
    first_send: bool = False
    """Whether it is the text's very first send, and not one of its retries."""
    run_id: UUID | None = None
    lead: float = 0.0
    """Seconds until the answer is here, as a rule: its turn with its sender comes no sooner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """Record what became of a send, and what follows from it."""

    claim: Claim
    attempt_id: UUID
    outcome: Outcome
    decision: AfterSend
