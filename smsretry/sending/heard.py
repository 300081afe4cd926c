"""What a provider tells of its own accord: what became of a message, and a text that somebody sent us."""

from dataclasses import dataclass, field
from uuid import UUID


@dataclass(frozen=True, slots=True)
class StatusReport:
    """How far a message has come."""

    attempt_id: UUID | None
    """The attempt that the address names. None: the message is found by its id."""
    message_id: str
    status: str
    """The provider's word for it."""
    code: int | None
    """The provider's error code."""
    account: str
    """The account that has the message, and signed this."""


@dataclass(frozen=True, slots=True)
class IncomingText:
    """Somebody texted one of our senders."""

    message_id: str
    phone: str = field(repr=False)
    body: str | None = field(repr=False)
    keyword: str | None
    """What the provider took it for: STOP, START or HELP. None: it did not say."""
    to: str | None = field(repr=False)
    """The number of ours that it was sent to."""
    service: str | None
    """The messaging service of that number."""
    account: str
    """The account that has the message."""


@dataclass(frozen=True, slots=True)
class NotTaken:
    """What was posted is not taken. `why` is a sentence for the owner, and quotes nothing that was posted."""

    http_status: int
    why: str


Heard = StatusReport | IncomingText
