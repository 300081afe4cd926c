"""What to do with a text, as values. Each knows its fate, its reason and what it changes.

`before`, `after`, `doubt` and `delivery` make them, `sending` acts on them, and the queue's adapter alone makes columns
of them. `why` is for people, and never holds a phone number or a body. `why_code` says the same to programs.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from smsretry.retry.backoff import HELD_LOOK
from smsretry.retry.models import Claim, ItemResult
from smsretry.vocabulary import (
    DeliveryStatus,
    Fate,
    Reason,
    RowStatus,
    SettledBy,
    WhyCode,
)


@dataclass(frozen=True, slots=True)
class Cap:
    """The most texts that a recipient may have from one business within `before.CAP_WINDOW`."""

    texts: int
    description: str
    """The cap in words for people."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send it, unless `send_before` has come when the request leaves."""

    send_before: datetime
    valid_until: datetime
    """When the provider must drop it: the closing of the window, or its expiry."""
    rule: str
    """The quiet-hours rule it is sent under, stored with the attempt."""
    cap: Cap | None = None
    """The daily cap, where a rule has one."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The fields of every decision but `Send`."""

    fate: ClassVar[Fate]
    row_status: ClassVar[RowStatus] = "pending"
    """The status of the row from then on."""
    is_held: ClassVar[bool] = False
    """Whether it waits for something that a person can mend."""
    why: str
    why_code: WhyCode | None = None
    """None: there is nothing to explain, because it was sent."""
    code: int | None = None
    """The provider's error code, if it is the reason."""

    def due_after(self, at: datetime) -> datetime | None:  # noqa: ARG002 - those that wait go by it
        """When the text is due again, if this was decided at `at`. None: it has ended, or its due time stays."""
        return None

    def result(self, claim: Claim, *, due_at: datetime | None = None) -> ItemResult:
        """The result of the claim, once recorded. `due_at`: when it is due again, by the queue."""
        return ItemResult(
            retry_id=claim.id,
            fate=self.fate,
            why=self.why,
            code=self.code,
            due_at=due_at or self.due_after(claim.claimed_at),
            why_code=self.why_code,
        )


@dataclass(
    frozen=True,
    slots=True,
    kw_only=True,
)
class Waits(Decision):
    """The text is due again, or looked at again, after a time."""

    due_in: timedelta

    def due_after(self, at: datetime) -> datetime:
        return at + self.due_in


@dataclass(
    frozen=True,
    slots=True,
    kw_only=True,
)
class Complete(Decision):
    """The text went out."""

    fate = "Sent"
    row_status = "completed"
    sid: str | None
    """The provider's id of the message. None: only the send log says that there was one."""
    by: SettledBy = "response"
    """The source of that knowledge."""


@dataclass(
    frozen=True,
    slots=True,
    kw_only=True,
)
class Defer(Decision):
    """Wait for a reason that is no failure. Costs no attempt."""

    fate = "Deferred"
    due_at: datetime
    for_window: bool = False
    """Whether it waits for a permitted hour, or for room in a day. That starts none of its 48 hours."""

    def due_after(self, at: datetime) -> datetime:  # noqa: ARG002 - it is a moment
        return self.due_at


@dataclass(
    frozen=True,
    slots=True,
    kw_only=True,
)
class Hold(Waits):
    """Wait for something that a person can mend, and say what. It is looked at again, and goes on once that is mended.

    For a text in doubt, a person must decide whether it went out.
    """

    fate = "Held"
    is_held = True
    due_in: timedelta = HELD_LOOK
    refused_for: str | None = None
    """The refusal that one text of its sender tries for all."""
    ambiguous: tuple[str, ...] = ()
    """Messages that may be the text in doubt, which the queue adds to `why`. If all of them turn out to be others',
    it is not held."""


@dataclass(frozen=True, slots=True)
class GiveBack(Decision):
    """Back to the queue as if it had never been claimed."""

    fate = "GivenBack"


@dataclass(
    frozen=True,
    slots=True,
    kw_only=True,
)
class Retry(Waits):
    """Send it again."""

    fate = "RetryScheduled"
    reason: Reason | None = "twilio_error"
    """None: the row keeps its reason."""
    counted: bool = False
    """Whether it costs one of the text's attempts."""


@dataclass(
    frozen=True,
    slots=True,
    kw_only=True,
)
class LookAgain(Waits):
    """Nobody knows what became of it. Nothing is sent, and evidence is looked for."""

    fate = "InDoubt"
    look_failed: bool = False
    """Whether a look could not be made, which says nothing and does not count."""


@dataclass(frozen=True, slots=True)
class Fail(Decision):
    """No further try."""

    fate = "Failed"
    row_status = "failed"
    opted_out: bool = False
    """Whether the recipient has told the provider to stop."""
    phone_status: str | None = None
    """A lasting fault of the number, as `customers.phone_status`."""


@dataclass(frozen=True, slots=True)
class Cancel(Decision):
    """The text is no longer wanted."""

    fate = "Cancelled"
    row_status = "cancelled"


@dataclass(
    frozen=True,
    slots=True,
    kw_only=True,
)
class Arrived(Decision):
    """A message of it that was reported lost has arrived after all, so nothing is sent.

    The row waits, until the report of that message completes it.
    """

    fate = "Sent"
    sid: str
    status: DeliveryStatus


NoSend = Defer | Hold | GiveBack | Fail | Cancel | Arrived
"""The decisions that may follow instead of a send."""
BeforeSend = Send | Defer | Hold | Fail | Cancel
AfterSend = Complete | Retry | Hold | Fail | LookAgain
AfterLook = Complete | LookAgain | Retry | Hold
