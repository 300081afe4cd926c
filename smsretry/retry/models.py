"""The values that travel through the system. Frozen; phone number and body never show in their repr."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Self, TypeAlias, get_args
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from smsretry.instants import Instant, on_clock
from smsretry.privacy import masked
from smsretry.vocabulary import Fate, MessageClass, WhyCode

KnownCode: TypeAlias = Annotated[
    WhyCode | None,
    BeforeValidator(lambda code: code if code in get_args(WhyCode) else None),
]
"""A code as read. One that this version does not know reads as none, so that a newer database stops no worker."""


class Value(BaseModel):
    # hide_input: a validation error would quote the row, phone number included.
    model_config = ConfigDict(
        frozen=True, hide_input_in_errors=True, extra="ignore", defer_build=True
    )


@dataclass(frozen=True, slots=True)
class SenderId:
    """The origin of a text: a messaging service or a number, in an account of the provider's."""

    account: str | None = None
    """None: that of the environment."""
    sent_by: str | None = field(default=None, repr=False)
    """None: that of the environment; of a list, any."""


@dataclass(frozen=True, slots=True)
class AssignedSender(SenderId):
    """The sender of a claimed text, as `smsretry.senders` has it. Its account and address never change."""

    id: UUID | None = None
    """None: it is that of the environment, and no run has told the database yet."""
    segments_per_second: float | None = None
    """None: as fast as the provider takes them."""
    why_paused: str | None = None
    """Why its texts wait. None: it sends."""
    spent_until: Instant | None = None
    """When the day turns over, or has, that it has used. None: it has some left."""
    whose: str | None = None
    """The name of a business that it texts for."""


class LostMessage(Value):
    """A message of a claimed text that did not arrive."""

    sid: str
    account: str | None = None
    """That it went out from. None: nobody wrote it down."""


class Attempt(Value):
    """The send that a text is in doubt about, as it was made."""

    begun_at: Instant
    phone: str | None = Field(repr=False)
    """The number that it went to, as it was stored."""
    body: str | None = Field(repr=False)
    account: str | None = None
    """The sender's. None: nobody wrote it down."""
    sent_by: str | None = Field(repr=False)
    """The sender: a messaging service or a number of ours."""
    other_bodies: tuple[str, ...] = Field((), repr=False)
    """Bodies of other sends to that number of which nobody knows what became."""

    @property
    def private(self) -> tuple[str | None, ...]:
        """What no message may quote."""
        return (self.phone, self.body, *self.other_bodies)


class Claim(Value):
    """One claimed row: a text owed to a person, in our charge until the lease runs out."""

    id: UUID
    business_id: UUID
    send_log_id: UUID | None
    customer_id: UUID | None
    claim_no: int
    claimed_at: Instant
    """The database's clock when the row was claimed."""
    scheduled_for: Instant
    attempt_count: int
    max_attempts: int
    sender: Annotated[
        AssignedSender, BeforeValidator(lambda sender: sender or AssignedSender())
    ] = AssignedSender()
    stopped_states: tuple[str, ...] = ()
    """US states to which an operator lets no marketing text go."""
    in_doubt_since: Instant | None
    reconcile_count: int
    """If it is in doubt, the looks that were made."""
    attempt: Attempt | None = None
    """If it is in doubt, and what was sent is on record."""
    known_sid: str | None
    """The provider's id of the text, if its send log has one."""
    log_says_sent: bool
    """Whether its send log says that it was sent."""
    held: bool
    """It waits for something that a person can fix."""
    why: str | None
    """What it waits for."""
    expires_at: Instant | None
    """None until the first moment it might have gone out."""
    send_log_found: bool
    customer_found: bool
    body: str | None = Field(repr=False)
    longest_body: int | None = None
    """The most characters it may have; a longer body is cut to one more."""
    channel: str | None
    """Its send log's; only `sms` is a text's."""
    phone: str | None = Field(repr=False)
    fingerprint: str | None = Field(repr=False)
    """Of what a decision is made from: number, zones, hours, cap, words, class, stops, sender."""
    timezone: str | None
    business_timezone: str | None
    business_hours: str | None
    """The business's own hours for texts: `hours.parse_week`."""
    business_cap: int | None = None
    """The business's own cap of texts a person a day."""
    message_class: MessageClass
    lost_messages: tuple[LostMessage, ...] = ()
    """Newest first."""
    due_since: Instant | None = None
    """Since when it might have gone out, apart from quiet hours."""

    @property
    def masked(self) -> str:
        """The number's last digits; none if it has no number."""
        return masked(self.phone)

    @property
    def private(self) -> tuple[str | None, ...]:
        """What no message may quote."""
        sent = self.attempt.private if self.attempt else ()
        return (self.phone, self.body, *sent)


class ItemResult(Value):
    """The result of one claim of one row, small enough to show and to store."""

    retry_id: UUID
    fate: Fate
    why: str = ""
    """Why, in words without phone number or body."""
    code: int | None = None
    """The provider's error code."""
    due_at: Instant | None = None
    """When the row is due again."""
    why_code: KnownCode = None
    """Why, for programs. None: it was sent."""

    @classmethod
    def claim_lost(cls, claim: Claim) -> Self:
        """The result of a claim that another worker has by now."""
        why = "The claim was lost: another worker has the row, nothing was changed"
        return cls(
            retry_id=claim.id,
            fate="ClaimLost",
            why=why,
            why_code="claim_lost",
        )

    @classmethod
    def error(cls, claim: Claim, why: str) -> Self:
        """The result of a claim whose processing raised. Recovery takes the row back, unless a bug has ended it."""
        return cls(
            retry_id=claim.id,
            fate="Error",
            why=why,
        )

    def __str__(self) -> str:
        return (
            f"{self.why} — next at {on_clock(self.due_at)}" if self.due_at else self.why
        )


class Finding(Value):
    """One line of `smsretry doctor`."""

    subject: str
    ok: bool
    advice: str | None = None

    @property
    def word(self) -> str:
        """bad, or else warn if there is advice, or else ok."""
        if not self.ok:
            return "bad"
        return "warn" if self.advice else "ok"

    def __str__(self) -> str:
        return f"{self.subject}: {self.advice}" if self.advice else self.subject


class Text(Value):
    """A request to the provider."""

    attempt_id: UUID
    sender: SenderId
    to: str = Field(repr=False)
    body: str = Field(repr=False)
    valid_for: timedelta
    """How long the provider may keep it in its own queue."""
    message_class: MessageClass = "marketing"


class Sighting(Value):
    """One message in the provider's list, from the sender that was asked about."""

    sid: str
    to: str | None = Field(repr=False)
    """None: the list does not tell the whole number."""
    body: str = Field(repr=False)
    """Without words that the provider is known to add."""
    created_at: Instant
    """To the second."""


class Look(Value):
    """The provider's list, and its clock's lead over the database's."""

    sightings: tuple[Sighting, ...]
    clock_ahead: timedelta = timedelta(0)
    lacks: str | None = None
    """A flaw of the list: a message may be missing, so it proves no absence."""
    unread: str | None = None
    """Why the list could not be read, so that it proves nothing."""
