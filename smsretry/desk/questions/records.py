"""The rows of the database's answers that a text's story and a preview are made of."""

from collections.abc import Iterator
from typing import Literal, TypeAlias
from uuid import UUID

from pydantic import Field

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
    worker_died: bool
    run_id: UUID | None
    delivery: str | None
    delivery_code: int | None
    delivery_at: Instant | None
    sender: str | None = Field(None, description="What it went out from, as people see it.")


class EventRecord(Value):
    """An event of a text's story, or of its customer's: what was waited for, what changed, what a person did."""

    at: Instant
    code: str
    who: str | None = Field(None, description="smsretry, the application, or the name that a person gave.")
    because: str | None = None
    why_code: KnownCode = None
    until: Instant | None = Field(None, description="Until when the text then waited.")
    since: Instant | None = Field(None, description="Since when a worker had it that it was taken back from.")
    times: int = Field(1, description="How often it happened in a row, for the same reason.")
    last_at: Instant | None = Field(None, description="When it happened last. None: at `at`.")
    was: str | None = Field(None, description="A customer's consent, or the last four digits of a number.")
    became: str | None = None
    source: str | None = Field(None, description="Where the consent came from, as the application wrote it.")


class TextSender(Value):
    """What a text goes out from."""

    id: UUID
    shown: str = Field(description="As people see it: a number's last four digits.")
    name: str = Field(description="Names it in a command.")

    def __str__(self) -> str:
        return self.shown


RecordState: TypeAlias = TextState | Literal["not_queued"]
"""not_queued: it is the application's own, and nothing says that it was sent."""


class TextRecord(Value):
    """A row of `explain_sms`: a text, a scheduled send that is none yet, or what the application sent itself.

    A column with a title is shown below the story in these words. To show one more, add it to the SQL and here.
    """

    kind: Literal["row", "scheduled send", "send log"] = "row"
    retry_id: UUID
    state: RecordState
    since: Instant
    message_class: MessageClass
    queued_at: Instant
    asked_at: Instant
    business: str | None = None
    number: str | None = None
    timezone: str | None = None
    business_timezone: str | None = None
    why: str | None = None
    code: int | None = None
    next_at: Instant | None = None
    expires_at: Instant | None = Field(None, description="When it is of no more use; a planned text's own limit.")
    planned_for: Instant | None = Field(None, description="When it was to go out, if it was planned.")
    first_due_at: Instant | None = None
    attempts: int = 0
    max_attempts: int = 3
    consent: str | None = None
    consent_at: Instant | None = None
    consent_source: str | None = None
    opted_out_since: Instant | None = None
    needs_start: bool = Field(False, description="Whether the provider blocks the number until it texts START.")
    stop_sid: str | None = Field(None, description="SID of a text of theirs that may mean stop, and is not read yet.")
    phone_status: str | None = None
    history: tuple[AttemptRecord, ...] = ()
    events: tuple[EventRecord, ...] = ()
    can: tuple[str, ...] = Field((), description="What the database lets a person do: words of the door `texts`.")
    customer_id: UUID | None = Field(None, title="customer {}")
    business_id: UUID | None = Field(None, title="business {}")
    sender: TextSender | None = Field(None, title="sender {}")
    send_log_id: UUID | None = Field(None, title="send log {}")
    send_log_status: str | None = Field(None, title="its send log says {}")
    sid: str | None = Field(None, title="its send log has the message {}")
    why_code: KnownCode = Field(None, title="why, in a word: {}")

    def shown(self) -> Iterator[str]:
        """What links, forms and programs know it by."""
        yield f"{self.kind} {self.retry_id}"
        for name, field in type(self).model_fields.items():
            if field.title and (value := getattr(self, name)) not in (None, self.retry_id):
                yield field.title.format(value)


class WaitingText(Claim):
    """A row of `preview_sms_retries`: a text that waits, and what beginning its send would find now."""

    refused: str | None = Field(None, description="Why its customer may not be texted.")
    stopped: str | None = Field(None, description="Why sending, or its sender, is stopped: one text of each run tries.")
