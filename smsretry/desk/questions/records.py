"""Rows of the database's answers: what the story of a text and a preview are made of."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

from pydantic import ConfigDict, model_validator

from smsretry.instants import Instant
from smsretry.retry.models import Claim, KnownCode, Value
from smsretry.vocabulary import MessageClass, TextState, WhyCode


class Step(Value):
    """What happened to a text or its customer, from a send to what a person did.

    A field that SQL adds is kept under its name. To show one more, add it there, and its words in `history`.
    """

    model_config = ConfigDict(extra="allow")

    at: Instant
    what: str
    """In a word: the outcome of a send, how far its message came, an event."""
    send: int | None = None
    """Which send of the text it is about."""
    source: str | None = None
    """Where the consent came from, as the application wrote it."""
    settled_by: str | None = None
    """How that is known, if not by the answer to the send."""
    until: Instant | None = None
    """The end of the wait that followed."""
    since: Instant | None = None
    """When the worker from which it was taken back had begun."""
    last_at: Instant | None = None
    """When it last happened, of several times in a row."""
    because: str | None = None
    """Why, in words that were kept with it."""
    why_code: KnownCode = None
    """Why, in a stored word."""


RecordState: TypeAlias = TextState | Literal["not_queued"]
"""not_queued: it is the application's own, and nothing says that it was sent."""
WAITING: Final = frozenset[RecordState]({"scheduled", "due", "waiting", "held"})
"""The states of a text of which it can be predicted what becomes of it."""
NAMELESS: Final = "a business without a name"
_IDENTITY: Final = {
    "customer_id": "customer {}",
    "business_id": "business {}",
    "sender": "sender {}",
    "send_log_id": "send log {}",
    "send_log_status": "its send log says {}",
    "sid": "its send log has the message {}",
    "why_code": "why, in a word: {}",
}
"""The columns of a text by which links, forms and programs know it, in words for people."""


class TextRecord(Value):
    """A row of `explain_sms`: a text, a scheduled send that is none yet, or what the application sent itself.

    To show a column below the story, add it to the SQL, here and to `_IDENTITY`.
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
    expires_at: Instant | None = None
    """When it is of no more use; a planned text's own limit."""
    planned_for: Instant | None = None
    """When it was to go out, if it was planned."""
    first_due_at: Instant | None = None
    needs_person: bool = False
    """Whether it waits for a person."""
    attempts: int = 0
    max_attempts: int = 3
    consent: str | None = None
    consent_at: Instant | None = None
    consent_source: str | None = None
    opted_out_since: Instant | None = None
    needs_start: bool = False
    """Whether the provider blocks the number until it texts START."""
    stop_sid: str | None = None
    """SID of a text of theirs that may mean stop, and is not read yet."""
    phone_status: str | None = None
    steps: tuple[Step, ...] = ()
    """In order."""
    can: tuple[str, ...] = ()
    """What the database lets a person do: words of the command `texts`."""
    customer_id: UUID | None = None
    business_id: UUID | None = None
    sender: str | None = None
    """What it goes out from, as people see it."""
    sender_name: str | None = None
    """What names that in a command."""
    send_log_id: UUID | None = None
    send_log_status: str | None = None
    sid: str | None = None
    why_code: KnownCode = None

    def identity(self) -> Iterator[str]:
        """The row's id, and the columns of `_IDENTITY` that have another value."""
        yield f"{self.kind} {self.retry_id}"
        for column, words in _IDENTITY.items():
            value = getattr(self, column)
            if value not in (None, self.retry_id):
                yield words.format(value)


class NamedBusiness(Value):
    """A row of `sms_businesses`."""

    business_id: UUID
    business: str | None


class WaitingText(Claim):
    """A row of `preview_sms_retries`: a text that waits, and what beginning its send would find now."""

    refused: str | None = None
    """Why its customer may not be texted."""
    refused_code: KnownCode = None
    """The same in a word."""
    refused_held: bool = False
    """Whether a person can mend that."""
    reached_at: tuple[Instant, ...] = ()
    """When texts may have reached the number lately, the newest first."""
    stopped: str | None = None
    """Why sending, or its sender, is stopped: one text of each run tries."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in_claim(cls, row: dict[str, Any]) -> dict[str, Any]:
        """Add to the row what a claim at this moment would have."""
        return {
            **row,
            "claimed_at": row.get("asked_at"),
            "sender": row.get("sender") or row.get("default_sender"),
        }


Course: TypeAlias = Literal["go out", "wait longer", "held", "end"]
"""What a text is predicted to do."""


class Prediction(Value):
    """What the next runs will make of a text, if nobody says or mends anything meanwhile."""

    course: Course
    at: datetime
    """When that will be."""
    why: str = ""
    """Why it does not go out, or what it waits for until it goes out."""
    why_code: WhyCode | None = None
    until: datetime | None = None
    """The end of a longer wait. None: nobody knows."""
    state: str | None = None
    """The US state whose stop holds it."""
