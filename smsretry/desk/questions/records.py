"""The database's answers to a person, as values. They contain at most the last four digits of a phone number."""

from collections.abc import Iterator
from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime, Field, field_validator

from smsretry.retry.models import Claim, KnownCode, Value
from smsretry.vocabulary import MessageClass, TextState


class AttemptRecord(Value):
    """One send that was begun."""

    begun_at: AwareDatetime
    finished_at: AwareDatetime | None
    number: int
    outcome: str
    settled_by: str | None
    code: int | None
    sid: str | None
    rule: str | None
    consent: str | None
    consent_at: AwareDatetime | None
    consent_source: str | None
    worker_died: bool
    run_id: UUID | None
    delivery: str | None
    delivery_code: int | None
    delivery_at: AwareDatetime | None
    sender: str | None = Field(None, description="What it went out from, as people see it.")
    account: str | None = None


class StepRecord(Value):
    """What a person did to a text."""

    taken_at: AwareDatetime
    step: str
    who: str
    because: str


class TextRecord(Value):
    """A line of `explain_sms`: a text and all that is known of it."""

    retry_id: UUID
    business_id: UUID | None
    business: str | None
    customer_id: UUID | None
    send_log_id: UUID | None
    number: str | None
    timezone: str | None
    business_timezone: str | None
    message_class: MessageClass
    state: TextState
    since: AwareDatetime
    why: str | None
    code: int | None
    next_at: AwareDatetime | None
    expires_at: AwareDatetime | None
    attempts: int
    max_attempts: int
    queued_at: AwareDatetime
    consent: str | None
    consent_at: AwareDatetime | None
    consent_source: str | None
    suppressed_since: AwareDatetime | None
    phone_status: str | None
    send_log_status: str | None
    sid: str | None
    history: tuple[AttemptRecord, ...]
    steps: tuple[StepRecord, ...]
    can: tuple[str, ...]
    asked_at: AwareDatetime
    stop_sid: str | None = None
    """SID of a message from the number that may mean stop and that nobody has read."""
    why_code: KnownCode = Field(None, description="`why`, for programs. An older database leaves it out.")
    unreadable: tuple[str, ...] = Field((), description="Columns that cannot be read.")
    sender: str | None = Field(None, description="What it goes out from, as people see it.")
    account: str | None = Field(None, description="Whose sender that is.")
    sender_name: str | None = Field(None, description="Names it in commands. None: the sender of the environment.")

    @property
    def is_text(self) -> bool:
        """Whether it is or was in the queue. A scheduled send is not a text before it is queued."""
        return self.send_log_id is not None


class WaitingText(Claim):
    """A line of `preview_sms_retries`: a text that waits, and what beginning its send would find now.

    An older database reports nothing found.
    """

    refused: str | None = Field(None, description="Why its customer may not be texted.")
    refused_code: KnownCode = None
    doubted: str | None = Field(None, description="Why an earlier message would be looked for first.")
    texts_at: tuple[AwareDatetime, ...] = Field(
        (), description="When the texts that count against a cap reached its number, the newest first."
    )

    @field_validator("texts_at", mode="before")
    @classmethod
    def _none(cls, value: object) -> object:
        return value or ()


class UnreadText(Value):
    """A waiting text with a column that cannot be read, so that nothing can be predicted about it."""

    id: UUID
    columns: tuple[str, ...]


class ChangedRow(Value):
    """One row of a change's sample."""

    retry_id: UUID
    business_id: UUID | None
    customer_id: UUID | None
    number: str | None
    message_class: MessageClass
    attempts: int
    was: str | None
    skipped: str | None
    warned: str | None

    def lines(self) -> Iterator[str]:
        """All of it, a line each."""
        attempts = f"{self.attempts} attempt{'' if self.attempts == 1 else 's'}"
        was = f": {self.was}" if self.was else ""
        yield f"{self.number or 'without a number'}, {self.message_class}, {attempts}{was}"
        yield f"    row {self.retry_id}"
        yield f"    customer {self.customer_id or 'is gone'}"
        if self.skipped or self.warned:
            yield f"    {'left alone' if self.skipped else 'beware'}: {self.skipped or self.warned}"


class Change(Value):
    """Answer of `requeue_failed_sms`, `cancel_sms_retries` and `doubt_sms_retries`: what was changed, or would be."""

    matched: int
    changed: int
    skipped: dict[str, int] = Field(description="How many were left alone, by reason.")
    warned: dict[str, int] = Field(description="How many were changed with a warning, by warning.")
    sample: tuple[ChangedRow, ...]

    def lines(self, done: str) -> Iterator[str]:
        """What it did, a line each.

        Args:
            done: in words, such as `would requeue`.
        """
        yield f"{done.capitalize()} {self.changed} of {self.matched} that match."
        yield from (f"  left alone {texts}: {why}" for why, texts in self.skipped.items())
        yield from (f"  beware of {texts}: {why}" for why, texts in self.warned.items())
        for row in self.sample:
            yield from row.lines()
        if len(self.sample) < self.matched:
            yield f"… and {self.matched - len(self.sample)} more"


class StatusLine(Value):
    """A line of `sms_status`."""

    part: Literal[
        "clock",
        "scheduled",
        "queue",
        "waiting",
        "held",
        "sent",
        "delivery",
        "delivery_lately",
        "delivery_hour",
        "delivery_business",
        "delivery_time",
        "undelivered",
        "ended",
        "inbound",
        "stopped",
        "run",
        "sender",
        "senders",
    ]
    name: str
    business_id: UUID | None
    texts: int | None
    oldest: AwareDatetime | None
    next_at: AwareDatetime | None
    told: str | None
    why_code: KnownCode = Field(None, description="Why texts are held or ended, for programs.")
    unreadable: tuple[str, ...] = Field((), description="The parts that cannot be read.")


class Pruned(Value):
    """What `prune_sms_history` deleted."""

    texts: int
    attempts: int
    runs: int
