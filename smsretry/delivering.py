"""What becomes of accepted texts: ask how far each has come, decide, and act on it.

An application without a webhook learns of deliveries by this alone, and one with a webhook of the callbacks that were
lost. Failures that a webhook recorded are decided about here, too, so that one place has the rules.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, assert_never

from smsretry.errors import SmsRetryError
from smsretry.ports import DeliveryServices
from smsretry.retry.decision import GiveUp, LookAgain, Retry
from smsretry.retry.delivery import FINAL, Close, OpenDelivery, Unknown, after_delivery, blames_the_sender

CameTo: TypeAlias = Literal[
    "delivered", "undelivered", "retried", "on its way", "unknown", "not asked", "settled elsewhere", "error"
]
"""What one look came to.

undelivered: it did not arrive and is not sent again. retried: it did not arrive and is queued again. not asked: Twilio
did not say. settled elsewhere: by a callback or another run, or another message of the text counts.
"""
_TOLD: Final[tuple[CameTo, ...]] = (
    "delivered", "undelivered", "retried", "on its way", "unknown", "not asked", "settled elsewhere", "error"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FollowedUp:
    """A message that was looked after."""

    message: OpenDelivery
    came_to: CameTo
    why: str = ""
    code: int | None = None
    blames_sender: bool = False
    """It did not arrive because of our account, our sender or our words."""


@dataclass(frozen=True, slots=True)
class DeliverySummary:
    """What a run came to."""

    followed: Sequence[FollowedUp]

    @property
    def counts(self) -> Counter[CameTo]:
        """By what they came to."""
        return Counter(one.came_to for one in self.followed)

    @property
    def idle(self) -> bool:
        """Whether no delivery was open."""
        return not self.followed

    @property
    def needs_somebody(self) -> bool:
        """Whether something is broken: a look failed, or Twilio answered none of many."""
        asked = self.counts
        return asked["error"] > 0 or (asked["not asked"] == len(self.followed) > 0)

    def __str__(self) -> str:
        told = [f"{name} {self.counts[name]}" for name in _TOLD if self.counts[name]]
        return " · ".join(told) or "no delivery is open"


def sync_deliveries(services: DeliveryServices, *, limit: int) -> DeliverySummary:
    """Look after up to `limit` messages whose delivery is open, longest waiting first."""
    with ThreadPoolExecutor(services.concurrency) as pool:
        return DeliverySummary(
            [one for batch in _claims(services, limit) for one in pool.map(lambda m: follow(m, services), batch)]
        )


def _claims(services: DeliveryServices, limit: int) -> Iterator[list[OpenDelivery]]:
    while limit > 0 and (claimed := services.records.claim_deliveries(limit)):
        yield claimed
        limit -= len(claimed)


def follow(message: OpenDelivery, services: DeliveryServices) -> FollowedUp:
    """See one message to what follows. A failure that was reported is asked about once more: it may have arrived."""
    report = services.reports.report_of(message.twilio_sid)
    decision = after_delivery(message, report, profile=services.profile)
    try:
        answer = services.records.follow(message, report, decision)
    except SmsRetryError as error:
        return FollowedUp(message, "error", str(error))
    if answer != "applied":
        return FollowedUp(message, "settled elsewhere")
    code = report.refusal.code if report and report.refusal else None
    blamed = isinstance(decision, GiveUp) and report is not None and blames_the_sender(report)
    match decision:
        case Close():
            came_to: CameTo = "delivered" if report and report.status in FINAL else "settled elsewhere"
            return FollowedUp(message, came_to)
        case LookAgain(_, failed, why):
            return FollowedUp(message, "not asked" if failed else "on its way", why)
        case Unknown():
            return FollowedUp(message, "unknown")
        case Retry(_, _, why, _, _, _):
            return FollowedUp(message, "retried", why, code)
        case GiveUp(why, _, _, _):
            return FollowedUp(message, "undelivered", why, code, blamed)
        case _:
            assert_never(decision)
