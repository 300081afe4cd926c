"""What follows from a provider's report about an accepted text. Decides, and does nothing.

A text that a carrier lost may be sent again, as a new message, which costs again. That happens only if no other message
of it has arrived or may still arrive. Every check is made anew when it is claimed. Trouble of its sender costs it no
attempt: it waits until that is mended, or until the sender's day turns over.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, assert_never
from uuid import UUID

from pydantic import Field

from smsretry.instants import Instant
from smsretry.retry.backoff import nth
from smsretry.retry.decision import Arrived, Defer, GiveUp, LookAgain
from smsretry.retry.models import Value
from smsretry.retry.outcome import Refusal
from smsretry.retry.profile import DEFAULT, Profile
from smsretry.vocabulary import DeliveryStatus, WhyCode

FIRST_LOOK: Final = timedelta(minutes=5)
"""How long the provider has to report by itself, which costs neither side a request."""
LOOKS: Final = (
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(hours=1),
    timedelta(hours=4),
    timedelta(hours=12),
)
"""After the first look, the second …; the last repeats."""
SILENT_LOOK: Final = timedelta(hours=1)
"""The longest wait for the next look when the provider said nothing: that does not show how long the message takes."""
LOOKED_LONG_ENOUGH: Final = timedelta(days=3)
"""A carrier that has said nothing by then will say nothing: some give no receipts at all."""
RESEND_DELAYS: Final = (timedelta(minutes=30), timedelta(hours=2), timedelta(hours=6))
"""After a message that did not arrive. A phone that is off or a carrier in trouble takes its time, and a late report of
delivery stops the next message. Providers advise half an hour for some such troubles, and hours for others."""
MENDING_DELAYS: Final = (timedelta(minutes=30), timedelta(hours=2), timedelta(hours=6), timedelta(hours=12))
"""After a message whose sender must be mended. Nothing but a message shows whether it is, and each costs: a text of a
sender that nobody mends is sent six times again in its life of 48 hours."""
SLOWER_DELAYS: Final = (timedelta(minutes=2), timedelta(minutes=10), timedelta(minutes=30), timedelta(hours=2))
"""After a message that was one too many at its moment."""
SLOW_FOR: Final = timedelta(minutes=1)
"""How long its sender then sends nothing: carriers count by the minute."""
LAST_TRY: Final = timedelta(minutes=10)
"""How long before its end a text is tried once more whose sender was to be mended."""
GIVEN_UP_LOOK: Final = timedelta(hours=1)
"""When a message that was given up is looked up once more: a carrier may deliver it all the same."""
OTHER_LOOK: Final = timedelta(minutes=15)
"""When to look again while another message of the same text is under way."""
ASK_AGAIN: Final = timedelta(minutes=5)
"""When a text is due again if the provider could not be asked about its lost message."""
RECORD_AGAIN: Final = timedelta(seconds=30)
"""When a text is due again if its arrival could not be recorded."""
FINAL: Final[frozenset[DeliveryStatus]] = frozenset({"delivered", "read"})
FAILURES: Final[frozenset[DeliveryStatus]] = frozenset({"undelivered", "failed", "canceled"})


class OpenDelivery(Value):
    """A message whose delivery is open, in our charge until the lease runs out."""

    attempt_id: UUID
    looks: int = Field(description="How often it was looked up: the fence.")
    retry_id: UUID
    business_id: UUID
    customer_id: UUID | None = Field(description="None: deleted since, like the send log.")
    send_log_id: UUID | None
    sid: str = Field(validation_alias="twilio_sid", description="The provider's id of it.")
    account: str | None = Field(
        None, validation_alias="sent_account", description="That it went out from. None: the environment's."
    )
    sent_by: str | None = Field(None, repr=False, description="The messaging service or number that it went out from.")
    accepted_at: Instant
    delivery_status: DeliveryStatus | None = Field(description="What was reported last.")
    delivery_code: int | None
    failures: int = Field(description="Messages of the text that did not arrive, including this one.")
    excused: int = Field(0, description="Others that did not arrive, for trouble of their sender's: not in `failures`.")
    attempt_count: int
    max_attempts: int
    expires_at: Instant | None
    settled: bool = Field(description="Its row did not end with this message, so nothing follows from a failure.")
    may_have_arrived: bool = Field(description="Another message of the text has arrived, or may still arrive.")
    claimed_at: Instant
    day_turns_at: Instant | None = Field(None, description="When the carriers' day turns over.")


@dataclass(frozen=True, slots=True)
class Report:
    """What the provider says of a message."""

    status: DeliveryStatus
    refusal: Refusal | None = None
    """Why it did not arrive, if the provider says so."""


@dataclass(frozen=True, slots=True)
class NotKept:
    """The account has no message with this id: it was deleted there, or an older version sent it from another one."""


@dataclass(frozen=True, slots=True)
class Denied:
    """The provider lets nobody here ask about this account's messages: its credentials are wrong or missing, or it is
    not active. That says nothing about a message, nor about other accounts."""


Word = Report | NotKept | Denied | None
"""What the provider says of a message. None: it could not be asked, or did not say how far the message has come."""


@dataclass(frozen=True, slots=True)
class Close:
    """Nothing follows: it was delivered, another message of the text counts, or it is too late."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """The provider said nothing final for long enough."""


@dataclass(frozen=True, slots=True)
class SendAgain:
    """It did not arrive, for a reason that passes: the text is due again after `delay`."""

    delay: timedelta
    why: str
    why_code: WhyCode = "undelivered"
    counted: bool = True
    """Whether it was an attempt and a failed delivery. Not if the trouble is its sender's."""
    held: bool = False
    """Whether it waits for something that a person can mend."""
    slows: timedelta | None = None
    """How long its sender is to send nothing."""


AfterDelivery = LookAgain | Close | Unknown | SendAgain | GiveUp

_NOT_KEPT: Final = "The provider has no such message: it was deleted there, or it is another account's"


def after_delivery(message: OpenDelivery, word: Word, *, profile: Profile = DEFAULT) -> AfterDelivery:
    """What follows from the provider's word on a message.

    If the provider no longer keeps the message, an earlier report of failure still holds: the caller passes it on.
    """
    if isinstance(word, Report) and word.status in FINAL:
        return Close()
    if isinstance(word, Report) and word.status in FAILURES:
        return _after_failure(message, word, profile)
    if message.claimed_at >= message.accepted_at + LOOKED_LONG_ENOUGH:
        return Close() if message.delivery_status in FAILURES else Unknown()
    match word:
        case Report(status):
            why = f"The provider says {status}"
        case NotKept():
            why = _NOT_KEPT
        case Denied():
            why = "The provider lets nobody here ask about this account's messages: check its credentials and its state"
        case None:
            why = "The provider could not be asked"
    after, failed = _next_look(message), is_silence(word)
    return LookAgain(min(after, SILENT_LOOK) if failed else after, failed=failed, why=why, why_code="delivery_open")


def is_silence(word: Word) -> bool:
    """Whether the provider said nothing about the message, whoever is to blame for that."""
    return word is None or isinstance(word, Denied)


def _after_failure(message: OpenDelivery, report: Report, profile: Profile) -> AfterDelivery:
    if message.settled:
        return _watched(message)
    expired = message.expires_at is not None and message.claimed_at >= message.expires_at
    if message.may_have_arrived and not expired:
        why = "Another message of this text may still arrive"
        return LookAgain(OTHER_LOOK, failed=False, why=why, why_code="delivery_open")
    if message.may_have_arrived:
        return Close()
    refusal = report.refusal or Refusal("permanent", f"the provider reports it {report.status}, and not why")
    why = f"Not delivered: {refusal.text}"
    match refusal.kind:
        case "account" | "day_spent":
            return _after_trouble_of_sender(message, refusal, why)
        case "rate_limit" if refusal.level != "recipient":
            return _after_trouble_of_sender(message, refusal, why)
        case "transient" | "rate_limit":
            return _after_loss(message, refusal, why, profile)
        case "permanent" | "opted_out":
            opted_out = refusal.kind == "opted_out"
            return GiveUp(
                why, "opted_out" if opted_out else "undelivered", refusal.code, opted_out, refusal.phone_status
            )
        case _:
            assert_never(refusal.kind)


def _after_loss(message: OpenDelivery, refusal: Refusal, why: str, profile: Profile) -> SendAgain | GiveUp:
    if message.failures > profile.delivery_retries or message.attempt_count >= message.max_attempts:
        why += f"; sent {message.failures} times" if message.failures > 1 else ""
        return GiveUp(why, "undelivered", refusal.code)
    delay = nth(RESEND_DELAYS, max(message.failures - 1, 0))
    if message.expires_at and message.claimed_at + delay >= message.expires_at:
        return GiveUp(f"{why}; it expires before it could be sent again", "undelivered", refusal.code)
    return SendAgain(delay, why)


def _after_trouble_of_sender(message: OpenDelivery, refusal: Refusal, why: str) -> SendAgain:
    """The message was fine. The text waits and costs nothing; only its end ends it, when it is claimed after that."""
    left = max(message.expires_at - message.claimed_at, timedelta(0)) if message.expires_at else timedelta.max
    why += f". {refusal.to_do}" if refusal.to_do else ""
    if refusal.kind == "day_spent":
        turns = (message.day_turns_at or message.claimed_at + timedelta(days=1)) - message.claimed_at
        return SendAgain(min(turns, left), why, refusal.why_code, counted=False)
    if refusal.kind == "rate_limit":
        delay = min(nth(SLOWER_DELAYS, message.excused), left)
        return SendAgain(delay, why, refusal.why_code, counted=False, slows=SLOW_FOR)
    delay = min(nth(MENDING_DELAYS, message.excused), left - LAST_TRY if left > LAST_TRY else left)
    return SendAgain(delay, why, refusal.why_code, counted=False, held=True)


def _watched(message: OpenDelivery) -> LookAgain | Close:
    """What follows when the failure was acted on before: a late delivery still counts."""
    if message.claimed_at >= message.accepted_at + LOOKED_LONG_ENOUGH:
        return Close()
    why = "It did not arrive; a late delivery would still count"
    return LookAgain(_next_look(message), failed=False, why=why, why_code="undelivered")


def _next_look(message: OpenDelivery) -> timedelta:
    return nth(LOOKS, max(message.looks - 1, 0))


def look_before(resend: timedelta) -> timedelta:
    """When to look once more at a message that another one will follow after this time."""
    return resend * 0.8


def blames_the_sender(report: Report) -> bool:
    """Whether our account, our sender or our words, which a person can mend, kept a message from arriving."""
    return report.refusal is not None and report.refusal.level in ("account", "content")


def before_sending_again(said: Mapping[str, Word], *, at: datetime) -> Arrived | Defer | None:
    """What follows from the provider's word on each lost message of a text. None: it is sent again.

    A carrier may call a message lost and deliver it later. Perhaps no callback said so, and nobody has looked.
    """
    for sid, word in said.items():
        if isinstance(word, Report) and word.status in FINAL:
            why = f"Arrived after all, as {sid}; that could not be recorded yet"
            return Arrived(sid, word.status, Defer(at + RECORD_AGAIN, None, why, "delivery_open", ages=True))
    for sid, word in said.items():
        if is_silence(word):
            why = f"It was lost as {sid}, and the provider could not be asked whether it arrived after all"
            return Defer(at + ASK_AGAIN, None, why, "delivery_open", ages=True)
        if isinstance(word, Report) and word.status not in FAILURES:
            why = f"It was lost as {sid}, and now the provider says {word.status}: it may still arrive"
            return Defer(at + OTHER_LOOK, None, why, "delivery_open", ages=True)
    return None


def asked_too_long(at: datetime) -> Defer:
    """Where the text waits if the provider took so long to answer that the send may no longer be permitted."""
    why = "The provider took very long to say what became of an earlier message of this text, so it is asked once more"
    return Defer(at + ASK_AGAIN, None, why, "delivery_open", ages=True)
