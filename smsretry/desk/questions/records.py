"""Rows of the database's answers: what the story of a text and a preview are made of."""

from collections.abc import Iterator
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

from pydantic import ConfigDict, Field, model_validator

from smsretry.instants import Instant
from smsretry.retry.models import Claim, KnownCode, Value
from smsretry.vocabulary import MessageClass, TextState


class Step(Value):
    """What happened to a text or its customer, from a send to what a person did.

    A field that SQL adds is kept under its name. To show one more, add it there, and its words in `history`.
    """

    model_config = ConfigDict(extra="allow")

    at: Instant
    what: str = Field(
        description="In a word: the outcome of a send, how far its message came, an event."
    )
    send: int | None = Field(None, description="Which send of the text it is about.")
    source: str | None = Field(
        None, description="Where the consent came from, as the application wrote it."
    )
    settled_by: str | None = Field(
        None, description="How that is known, if not by the answer to the send."
    )
    until: Instant | None = Field(None, description="Until when the text then waited.")
    since: Instant | None = Field(
        None, description="Since when a worker had it that it was taken back from."
    )
    last_at: Instant | None = Field(
        None, description="When it last happened, of several times in a row."
    )
    because: str | None = None
    """Why, in words that were kept with it."""
    why_code: KnownCode = None
    """Why, in a stored word."""


RecordState: TypeAlias = TextState | Literal["not_queued"]
"""not_queued: it is the application's own, and nothing says that it was sent."""
WAITING: Final = frozenset[RecordState]({"scheduled", "due", "waiting", "held"})
"""The states of a text of which it can be predicted what becomes of it."""
NAMELESS: Final = "a business without a name"


class TextRecord(Value):
    """A row of `explain_sms`: a text, a scheduled send that is none yet, or what the application sent itself.

    The title of a column is its line below the story, with {} for the value. To show one more, add it to the SQL and
    here.
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
    expires_at: Instant | None = Field(
        None, description="When it is of no more use; a planned text's own limit."
    )
    planned_for: Instant | None = Field(
        None, description="When it was to go out, if it was planned."
    )
    first_due_at: Instant | None = None
    attempts: int = 0
    max_attempts: int = 3
    consent: str | None = None
    consent_at: Instant | None = None
    consent_source: str | None = None
    opted_out_since: Instant | None = None
    needs_start: bool = Field(
        False,
        description="Whether the provider blocks the number until it texts START.",
    )
    stop_sid: str | None = Field(
        None,
        description="SID of a text of theirs that may mean stop, and is not read yet.",
    )
    phone_status: str | None = None
    steps: tuple[Step, ...] = Field((), description="In order.")
    can: tuple[str, ...] = Field(
        (),
        description="What the database lets a person do: words of the command `texts`.",
    )
    customer_id: UUID | None = Field(None, title="customer {}")
    business_id: UUID | None = Field(None, title="business {}")
    sender: str | None = Field(
        None, title="sender {}", description="What it goes out from, as people see it."
    )
    sender_name: str | None = Field(None, description="What names that in a command.")
    send_log_id: UUID | None = Field(None, title="send log {}")
    send_log_status: str | None = Field(None, title="its send log says {}")
    sid: str | None = Field(None, title="its send log has the message {}")
    why_code: KnownCode = Field(None, title="why, in a word: {}")

    def identity(self) -> Iterator[str]:
        """The ids and words by which links, forms and programs know it."""
        yield f"{self.kind} {self.retry_id}"
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if field.title and value not in (None, self.retry_id):
                yield field.title.format(value)


class NamedBusiness(Value):
    """A row of `sms_businesses`."""

    business_id: UUID
    business: str | None


class WaitingText(Claim):
    """A row of `preview_sms_retries`: a text that waits, and what beginning its send would find now."""

    refused: str | None = Field(None, description="Why its customer may not be texted.")
    refused_code: KnownCode = Field(None, description="The same in a word.")
    refused_held: bool = Field(False, description="Whether a person can mend that.")
    stopped: str | None = Field(
        None,
        description="Why sending, or its sender, is stopped: one text of each run tries.",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in_claim(cls, row: dict[str, Any]) -> dict[str, Any]:
        """Add to the row what a claim at this moment would have."""
        return {
            **row,
            "claimed_at": row.get("asked_at"),
            "sender": row.get("sender") or row.get("default_sender"),
        }
