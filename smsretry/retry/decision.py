"""What to do now, as values. `policy` makes them, `pipeline` acts on them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from smsretry.words import Reason


@dataclass(frozen=True, slots=True)
class Send:
    """Send it, if that is still before `send_before` when the request leaves."""

    send_before: datetime
    valid_until: datetime
    """When Twilio must let go of it: the closing of the window, or its expiry."""
    rule: str
    """The quiet-hours rule it is sent under, kept with the attempt."""
    daily_cap: int | None = None
    """How many texts the recipient may have in 24 hours, where a rule says so."""


@dataclass(frozen=True, slots=True)
class Defer:
    """Wait for a reason that is no failure. Costs no attempt."""

    until: datetime
    reason: Reason
    why: str


@dataclass(frozen=True, slots=True)
class End:
    """End the row before any send: given up (`failed`) or no longer wanted (`cancelled`)."""

    status: Literal["failed", "cancelled"]
    why: str


BeforeSend = Send | Defer | End


@dataclass(frozen=True, slots=True)
class Complete:
    """It was accepted."""

    sid: str


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after `delay`. `counted`: a send was really made, so it counts against the cap."""

    delay: timedelta
    reason: Reason
    why: str
    code: int | None
    counted: bool


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No further try."""

    why: str
    code: int | None
    opted_out: bool = False
    """The recipient has told Twilio to stop."""
    phone_status: str | None = None
    """What is wrong with the number for good, as `customers.phone_status`."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Unknown whether it went out: hold it back from sending until there is evidence."""

    why: str


AfterSend = Complete | Retry | GiveUp | Doubt


@dataclass(frozen=True, slots=True)
class Settle:
    """There is evidence that Twilio accepted it. `sid`: None when only the send log says so."""

    sid: str | None
    by: Literal["callback", "reconcile"]


@dataclass(frozen=True, slots=True)
class LookAgain:
    """No evidence yet. `failed`: the look could not be made, which says nothing."""

    after: timedelta
    failed: bool


@dataclass(frozen=True, slots=True)
class Resend:
    """Looked for often and long enough: it did not go out, and may be sent again."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Likewise, but a person is to decide."""

    why: str


AfterLook = Settle | LookAgain | Resend | Hold
