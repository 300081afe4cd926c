"""What to do now, as values. `policy` makes them, `sending` acts on them, and the queue's adapter stores them.

`why` is always for people, and never holds a phone number or a body. `why_code` says the same to programs.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Literal

from smsretry.vocabulary import DeliveryStatus, Reason, WhyCode


@dataclass(frozen=True, slots=True)
class Cap:
    """The most texts that a recipient may have from one business within a span of time."""

    texts: int
    since: datetime
    """Texts that may have reached the recipient since then count."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send it, if that is still before `send_before` when the request leaves."""

    send_before: datetime
    valid_until: datetime
    """When the provider must drop it: the closing of the window, or its expiry."""
    rule: str
    """The quiet-hours rule it is sent under, stored with the attempt."""
    cap: Cap | None = None
    """The daily cap, where a rule has one."""
    expires_at: datetime | None = None
    """When it is of no more use, if that is not set yet. None: its life counts from the send on."""


@dataclass(frozen=True, slots=True)
class Defer:
    """Wait for a reason that is no failure. Costs no attempt."""

    until: datetime
    reason: Reason | None
    """None leaves the row's as it is."""
    why: str
    why_code: WhyCode
    window_closes_at: datetime | None = None
    """When the window closes that it waits for. None: not known, or it waits for no window."""
    ages: bool = False
    """Whether it might have gone out now, so that its life counts from now at the latest."""
    expires_at: datetime | None = None
    """As in `Send`, if it ages."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Wait for something that a person can mend. The row is looked at again, and goes on by itself once it is mended.

    For a text in doubt, a person must decide whether it went out.
    """

    why: str
    """What is wrong and what to do."""
    why_code: WhyCode
    look_in: timedelta
    ambiguous: tuple[str, ...] = ()
    """For a text in doubt: the messages that may be it, which the queue adds to `why`. If all of them turn out to be
    other texts', it is not held."""
    expires_at: datetime | None = None
    """As in `Send`, for a text that is not in doubt."""


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Back to the queue as if it had never been claimed."""

    why: str
    why_code: WhyCode
    expires_at: datetime | None = None
    """As in `Send`."""


@dataclass(frozen=True, slots=True)
class End:
    """End the row before any send: given up (`failed`) or no longer wanted (`cancelled`)."""

    status: Literal["failed", "cancelled"]
    why: str
    why_code: WhyCode


PutOff = Defer | Hold | GiveBack | End
BeforeSend = Send | Defer | Hold | End


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message of it that was reported lost has arrived after all: the row is completed, and nothing is sent."""

    sid: str
    status: DeliveryStatus
    meanwhile: Defer
    """How the row waits until that is recorded."""


@dataclass(frozen=True, slots=True)
class Complete:
    """It was accepted."""

    sid: str


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after `delay`. `counted`: a send was really made, so it counts against the limit of attempts."""

    delay: timedelta
    reason: Reason | None
    """None leaves the row's as it is."""
    why: str
    why_code: WhyCode
    code: int | None
    counted: bool
    account_refused: bool = False
    """The provider refused the account and not the text, so another business's text goes first next time."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No further try."""

    why: str
    why_code: WhyCode
    code: int | None
    opted_out: bool = False
    """The recipient has told the provider to stop."""
    phone_status: str | None = None
    """What is wrong with the number for good, as `customers.phone_status`."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """It is unknown whether it went out. Nothing is sent until there is evidence, first looked for after `look_in`."""

    why_code: ClassVar[WhyCode] = "in_doubt"
    why: str
    look_in: timedelta


AfterSend = Complete | Retry | GiveUp | Doubt


@dataclass(frozen=True, slots=True)
class Settle:
    """There is evidence that the provider accepted it. `sid` is None when only the send log says so."""

    sid: str | None
    by: Literal["callback", "reconcile"]


@dataclass(frozen=True, slots=True)
class LookAgain:
    """No evidence yet. `failed`: the look itself could not be made, which says nothing."""

    after: timedelta
    failed: bool
    why: str
    why_code: WhyCode


@dataclass(frozen=True, slots=True)
class Resend:
    """Looked for often and long enough: it may be sent again."""

    why: ClassVar[str] = "No evidence that it went out"
    why_code: ClassVar[WhyCode] = "no_evidence"


AfterLook = Settle | LookAgain | Resend | Hold
