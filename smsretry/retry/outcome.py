"""What became of one request to send a text: four outcomes.

Sending has no idempotency key, so "unknown" is an outcome of its own and never a failure. An adapter reads its
provider's answer and says which of the four it is; nothing here knows a provider.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Literal, TypeAlias

from smsretry.vocabulary import OutcomeName

RefusalKind: TypeAlias = Literal[
    "refused_for_now",
    "rate_limited",
    "day_spent",
    "quiet_hours",
    "refused",
    "opted_out",
    "account_refused",
]
"""What a refusal means for the text, and why it waits or has failed: a `WhyCode`.

refused_for_now: it may go out later. rate_limited: later, and slower. day_spent: a carrier takes no more of this sender
before its day turns over. quiet_hours: not at this hour, by the provider's own rule. refused: never, unchanged.
opted_out: never, because the recipient said so. account_refused: nothing is wrong with this text; somebody must mend
the account or the sender, or the provider itself.
"""

RefusalLevel: TypeAlias = Literal[
    "account", "carrier", "content", "provider", "recipient", "request"
]
"""The scope of a refusal."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a provider took no message, in words that hold for every provider."""

    kind: RefusalKind
    why: str
    """Why, for people; holds no phone number and no body."""
    code: int | None = None
    """The provider's own code: a label to show and to store, read by nobody here."""
    level: RefusalLevel = "request"
    certain: bool = True
    """Whether an `account_refused` surely concerns the account. If not, it may concern this destination alone."""
    about: Literal["country", "number"] | None = None
    """The destination that an uncertain `account_refused` is about. None: every one."""
    phone_status: str | None = None
    """A lasting fault of the number, as `customers.phone_status`: `invalid` or `not_mobile`."""
    to_do: str | None = None
    """Advice for a person, if there is more to say than for its level."""

    @property
    def retryable(self) -> bool:
        """May the same text, unchanged, go out later?"""
        return self.kind not in ("refused", "opted_out")

    @property
    def advice(self) -> str:
        """Its reason, and what to do."""
        return f"{self.why}. {self.to_do}" if self.to_do else self.why


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider took the message and named it. It is not delivered yet."""

    name: ClassVar[OutcomeName] = "accepted"
    sid: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The provider answered that it did not create the message."""

    name: ClassVar[OutcomeName] = "rejected"
    refusal: Refusal
    retry_after: timedelta | None = None
    """How long it asks us to wait, if it says so."""


@dataclass(frozen=True, slots=True)
class NotSent:
    """The request never reached the provider. `why` is one of our own phrases."""

    name: ClassVar[OutcomeName] = "not_sent"
    why: str


@dataclass(frozen=True, slots=True)
class InDoubt:
    """The message may or may not exist. `why` is one of our own phrases."""

    name: ClassVar[OutcomeName] = "in_doubt"
    why: str


Outcome = Accepted | Rejected | NotSent | InDoubt
