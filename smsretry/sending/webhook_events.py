"""What a provider tells of its own accord: what became of a message, and a text that somebody sent us.

The fields have the names of the parameters by which the database records them.
"""

from dataclasses import dataclass, field
from uuid import UUID


@dataclass(frozen=True, slots=True)
class StatusReport:
    """How far a message has come."""

    attempt_id: UUID | None
    """The attempt that the address names. None: the message is found by its id."""
    twilio_sid: str
    """The provider's id of the message."""
    delivery_status: str
    """The provider's word for it."""
    error_code: int | None
    account_sid: str
    """The account that has the message, and signed this."""


@dataclass(frozen=True, slots=True)
class IncomingText:
    """Somebody texted one of our senders."""

    twilio_sid: str
    """The provider's id of the message."""
    phone: str = field(repr=False)
    body: str | None = field(repr=False)
    opt_out_type: str | None
    """The provider's reading: STOP, START or HELP. None: it did not say."""
    to_number: str | None = field(repr=False)
    """The number of ours that it was sent to."""
    messaging_service_sid: str | None
    """The messaging service that received it. None: the number belongs to none."""
    account_sid: str
    """The account that has the message."""


@dataclass(frozen=True, slots=True)
class RejectedPost:
    """The post is refused. `why` is a sentence for the owner, and quotes nothing that was posted."""

    http_status: int
    why: str


WebhookEvent = StatusReport | IncomingText
