"""What follows from a provider's report about an accepted text. Decides, and does nothing.

A text that a carrier lost may be sent again, as a new message, which costs again. That happens only if no other message
of it has arrived or may still arrive. Every check is made anew when it is claimed. Trouble of its sender costs it no
attempt: it waits until that is mended, or until the sender's day turns over.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias, assert_never
from uuid import UUID

from pydantic import Field

from smsretry.instants import Instant
from smsretry.retry.backoff import RESEND_DELAYS, nth
from smsretry.retry.decision import Fail, Hold, Retry
from smsretry.retry.models import Value
from smsretry.retry.outcome import Refusal
from smsretry.retry.profile import DEFAULT, Profile
from smsretry.vocabulary import DeliveryStatus

ASK_DELAYS: Final = tuple(
    timedelta(minutes=minutes) for minutes in (5, 15, 60, 240, 720)
)
"""After a message was asked about once, twice …; the last repeats."""
ASKED_LONG_ENOUGH: Final = timedelta(days=3)
"""A carrier that has said nothing by then will say nothing: some give no receipts at all."""
MAY_ARRIVE_ASK: Final = timedelta(minutes=15)
"""When to ask again about a message that may still arrive: it was given up, or another one of its text waits for it."""
FINAL: Final[frozenset[DeliveryStatus]] = frozenset(
    {"delivered", "partially_delivered", "read"}
)
FAILURES: Final[frozenset[DeliveryStatus]] = frozenset(
    {"undelivered", "failed", "canceled"}
)


class OpenDelivery(Value):
    """A message whose delivery is open, in our charge until the lease runs out."""

    attempt_id: UUID
    asks: int
    """How often it was asked about. Its fence, too: each claim raises it."""
    retry_id: UUID
    business_id: UUID
    customer_id: UUID | None
    """None: deleted since, like the send log."""
    send_log_id: UUID | None
    sid: str = Field(validation_alias="twilio_sid")
    """The provider's id of it."""
    account: str | None = Field(None, validation_alias="sent_account")
    """That it went out from. None: nobody wrote it down."""
    accepted_at: Instant
    delivery_status: DeliveryStatus | None
    """What was reported last."""
    delivery_code: int | None
    failures: int
    """Messages of the text that did not arrive, including this one."""
    excused: int = 0
    """Other messages of it that trouble of their sender kept from arriving: not in `failures`."""
    attempt_count: int
    max_attempts: int
    expires_at: Instant | None
    moved_on: bool
    """Its row did not end with this message, so nothing follows from a failure."""
    may_have_arrived: bool
    """Another message of the text has arrived, or may still arrive."""
    claimed_at: Instant
    day_ends_at: Instant | None = None
    """When the carriers' day turns over."""


Silence: TypeAlias = Literal["not kept", "denied", "unanswered"]
"""Why the provider does not say how far a message has come.

not kept: the account has none with this id; it was deleted there, or went out from another one. denied: nobody here may
ask about this account, which says nothing of others. unanswered: it could not be asked, or gave no clear answer.
"""
_SILENCES: Final[dict[str, str]] = {
    "not kept": "The provider has no such message: it was deleted there, or it is another account's",
    "denied": "The provider lets nobody here ask about this account's messages: check its credentials and state",
    "unanswered": "The provider could not be asked",
}


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What the provider says of a message."""

    status: DeliveryStatus | Silence
    refusal: Refusal | None = None
    """Why it did not arrive, if the provider says so."""
    at: datetime | None = None
    """When that came about, by the provider's clock."""

    @property
    def has_arrived(self) -> bool:
        """Whether the message has arrived."""
        return self.status in FINAL

    @property
    def has_failed(self) -> bool:
        """Whether it did not arrive, as far as is known now."""
        return self.status in FAILURES

    @property
    def says_nothing(self) -> bool:
        """Whether nothing is known of the message, whoever is to blame for that."""
        return self.status in ("denied", "unanswered")

    @property
    def description(self) -> str:
        """The report in words for people."""
        return _SILENCES.get(self.status, f"The provider says {self.status}")

    @property
    def blames_the_sender(self) -> bool:
        """Whether our account, our sender or our words, which a person can mend, kept it from arriving."""
        return self.refusal is not None and self.refusal.level in ("account", "content")


@dataclass(frozen=True, slots=True)
class AskAgain:
    """Nothing final is known of the message, and the provider is asked again."""

    why: str
    ask_in: timedelta


@dataclass(frozen=True, slots=True)
class Close:
    """Nothing follows: it was delivered, another message of the text counts, or it is too late."""

    unknown: bool = False
    """Whether the provider said nothing final for long enough."""


AfterDelivery = AskAgain | Close | Retry | Hold | Fail


def after_delivery(
    message: OpenDelivery, report: DeliveryReport, *, profile: Profile = DEFAULT
) -> AfterDelivery:
    """What follows from the provider's report on a message.

    If the provider no longer keeps the message, an earlier report of failure still holds: the caller passes it on.
    """
    if report.has_arrived:
        return Close()
    if report.has_failed and not message.moved_on:
        return _after_failure(message, report, profile)
    if message.claimed_at >= message.accepted_at + ASKED_LONG_ENOUGH:
        ever_failed = report.has_failed or message.delivery_status in FAILURES
        return Close(unknown=not ever_failed)
    ask_in = nth(ASK_DELAYS, max(message.asks - 1, 0))
    if report.has_failed:  # which was acted on before
        return AskAgain("It did not arrive; a late delivery would still count", ask_in)
    return AskAgain(report.description, ask_in)


def _after_failure(
    message: OpenDelivery, report: DeliveryReport, profile: Profile
) -> AfterDelivery:
    expired = (
        message.expires_at is not None and message.claimed_at >= message.expires_at
    )
    if message.may_have_arrived:
        if expired:
            return Close()
        return AskAgain("Another message of this text may still arrive", MAY_ARRIVE_ASK)
    refusal = report.refusal or Refusal(
        "refused", f"the provider reports it {report.status}, and not why"
    )
    why = f"Not delivered: {refusal.why}"
    match refusal.kind:
        case "rate_limited" if refusal.level != "recipient":
            return _after_trouble_of_sender(message, refusal)
        case "account_refused" | "day_spent":
            return _after_trouble_of_sender(message, refusal)
        case "quiet_hours":
            # A claim knows where the customer is, and until when it waits: `before.before_sending_again`.
            return Retry(why, "quiet_hours", refusal.code, due_in=MAY_ARRIVE_ASK)
        case "refused_for_now" | "rate_limited":
            return _after_loss(message, refusal, why, profile)
        case "refused":
            return Fail(
                why, "undelivered", refusal.code, phone_status=refusal.phone_status
            )
        case "opted_out":
            return Fail(why, "opted_out", refusal.code, opted_out=True)
        case _:
            assert_never(refusal.kind)


def _after_loss(
    message: OpenDelivery, refusal: Refusal, why: str, profile: Profile
) -> Retry | Fail:
    if (
        message.failures > profile.delivery_retries
        or message.attempt_count >= message.max_attempts
    ):
        why += f"; sent {message.failures} times" if message.failures > 1 else ""
        return Fail(why, "undelivered", refusal.code)
    delay = nth(RESEND_DELAYS, max(message.failures - 1, 0))
    if message.expires_at and message.claimed_at + delay >= message.expires_at:
        return Fail(
            f"{why}; it expires before it could be sent again",
            "undelivered",
            refusal.code,
        )
    return Retry(
        why,
        "undelivered",
        refusal.code,
        due_in=delay,
        counted=True,
    )


def _after_trouble_of_sender(message: OpenDelivery, refusal: Refusal) -> Retry | Hold:
    """The message was fine. The text waits, which costs no attempt, and ends only by its expiry."""
    time_left = timedelta.max
    if message.expires_at:
        time_left = max(message.expires_at - message.claimed_at, timedelta(0))
    delay = min(nth(RESEND_DELAYS, message.excused), time_left)
    why = f"Not delivered: {refusal.advice}"
    why_code, code = refusal.kind, refusal.code
    if refusal.kind == "account_refused":
        return Hold(why, why_code, code, due_in=delay)
    if refusal.kind == "day_spent" and message.day_ends_at:
        delay = min(message.day_ends_at - message.claimed_at, time_left)
    return Retry(why, why_code, code, due_in=delay)
