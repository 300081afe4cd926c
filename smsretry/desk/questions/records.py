"""The database's answers to a person, as values. They contain at most the last four digits of a phone number."""

from collections.abc import Iterator
from itertools import islice
from typing import Literal
from uuid import UUID

from pydantic import Field, field_validator

from smsretry.instants import Instant
from smsretry.retry.models import Claim, KnownCode, Value
from smsretry.vocabulary import MessageClass, TextState


class AttemptRecord(Value):
    """One send that was begun."""

    begun_at: Instant
    finished_at: Instant | None
    number: int
    outcome: str
    settled_by: str | None
    code: int | None
    sid: str | None
    rule: str | None
    consent: str | None
    consent_at: Instant | None
    consent_source: str | None
    worker_died: bool
    run_id: UUID | None
    delivery: str | None
    delivery_code: int | None
    delivery_at: Instant | None
    sender: str | None = Field(None, description="What it went out from, as people see it.")
    account: str | None = None


class EventRecord(Value):
    """An event of a text's story, or of its customer's: what was waited for, what changed, what a person did."""

    at: Instant
    code: str
    who: str | None = Field(None, description="smsretry, the application, or the name that a person gave.")
    because: str | None = Field(None, description="Why, in words.")
    why_code: KnownCode = None
    until: Instant | None = Field(None, description="Until when the text then waited.")
    since: Instant | None = Field(None, description="Since when a worker had it that it was taken back from.")
    times: int = Field(1, description="How often it happened in a row, for the same reason.")
    last_at: Instant | None = Field(None, description="When it happened last. None: at `at`.")
    was: str | None = Field(None, description="A customer's consent, or the last four digits of a number.")
    became: str | None = None
    source: str | None = Field(None, description="Where the consent came from, as the application wrote it.")

    @property
    def by_person(self) -> bool:
        """Whether a person did it."""
        return self.who not in (None, "smsretry", "the application")


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
    since: Instant
    why: str | None
    code: int | None
    next_at: Instant | None
    expires_at: Instant | None
    attempts: int
    max_attempts: int
    queued_at: Instant
    consent: str | None
    consent_at: Instant | None
    consent_source: str | None
    opted_out_since: Instant | None
    phone_status: str | None
    send_log_status: str | None
    sid: str | None
    history: tuple[AttemptRecord, ...]
    events: tuple[EventRecord, ...]
    can: tuple[str, ...]
    asked_at: Instant
    stop_sid: str | None = None
    """SID of a message from the number that may mean stop and that nobody has read."""
    why_code: KnownCode = Field(None, description="`why`, for programs. An older database leaves it out.")
    unreadable: tuple[str, ...] = Field((), description="Columns that cannot be read.")
    sender: str | None = Field(None, description="What it goes out from, as people see it.")
    account: str | None = Field(None, description="Whose sender that is.")
    sender_name: str | None = Field(None, description="Names it in commands. None: the sender of the environment.")
    first_due_at: Instant | None = Field(None, description="When it was due first. None: not known.")
    held_since: Instant | None = None
    looks: int = Field(0, description="How many looks for evidence of it found nothing.")
    needs_start: bool | None = Field(
        None, description="Whether the provider itself blocks the number until it texts START: it had texted STOP."
    )

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
    texts_at: tuple[Instant, ...] = Field(
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

    def headline(self, done: str) -> str:
        """What it did in a line; if it was nothing, why."""
        if self.changed or not self.skipped:
            return f"{done.capitalize()} {self.changed} of {self.matched} that match."
        asked = max(self.matched, sum(self.skipped.values()))
        reasons = [*islice(self.skipped, 3), *(["and others"] if len(self.skipped) > 3 else [])]
        return f"{done.capitalize()} 0 of {asked}: {'; '.join(reasons)}"

    def lines(self, done: str) -> Iterator[str]:
        """What it did, a line each.

        Args:
            done: in words, such as `would requeue`.
        """
        yield self.headline(done)
        if self.changed or len(self.skipped) > 1:
            yield from (f"  left alone {texts}: {why}" for why, texts in self.skipped.items())
        yield from (f"  beware of {texts}: {why}" for why, texts in self.warned.items())
        for row in self.sample:
            yield from row.lines()
        if len(self.sample) < self.matched:
            yield f"… and {self.matched - len(self.sample)} more"


class ConsentRecorded(Value):
    """Answer of `record_sms_consent`."""

    customers: int = Field(description="How many customers it concerns.")
    cancelled: int = Field(description="How many texts waited for them and no longer do.")
    unmarked: int = Field(
        0, description="Customers with locked rows. Nothing is sent to them, and the same order again marks them."
    )

    def lines(self, consent: str) -> Iterator[str]:
        """What was recorded, a line each."""
        if consent == "unchanged":
            yield "Their consent is as it was, and no text of theirs waits to be read."
            return
        yield f"Customers with this number: {self.customers}; waiting texts cancelled: {self.cancelled}."
        if consent == "opted_out" and not self.customers and not self.unmarked:
            yield "No customer has this number yet. What was said counts for whoever gets it."
        if self.unmarked:
            yield (
                f"Not marked yet, because somebody holds their rows locked: {self.unmarked}. No text goes out to them. "
                "Give the same order again later."
            )
        if consent == "opted_in":
            yield "If they had texted STOP, the provider still refuses: they must text START to your number."


class MarkCheck(Value):
    """Answer of `check_sms_mark`: does what a database is marked as fit whom a worker texts?"""

    mark: str | None
    marked_address: str | None
    mismatch: str | None
    """Why not, and what to do."""
    unknown: tuple[UUID, ...]
    """Businesses that the worker texts and the database does not have."""


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
        "mark",
        "runner",
    ]
    name: str
    business_id: UUID | None
    texts: int | None
    oldest: Instant | None
    next_at: Instant | None
    told: str | None
    why_code: KnownCode = Field(None, description="Why texts are held or ended, for programs.")
    unreadable: tuple[str, ...] = Field((), description="The parts that cannot be read.")


class Pruned(Value):
    """What `prune_sms_history` deleted."""

    texts: int
    attempts: int
    runs: int
