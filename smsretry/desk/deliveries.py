"""What a look after deliveries came to, and how it is told. Of a number nothing is in it, nor of a body."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from smsretry.desk.markdown import feed, listed, page, plain, table
from smsretry.desk.outcomes import TextEvent
from smsretry.desk.pages import Page
from smsretry.desk.report import TOLD_IN_FULL, RunEvent
from smsretry.desk.standing import Standing
from smsretry.retry.delivery import OpenDelivery

CameTo: TypeAlias = Literal[
    "delivered",
    "undelivered",
    "retried",
    "on its way",
    "still undelivered",
    "unknown",
    "not asked",
    "settled elsewhere",
    "error",
]
"""What one look came to.

undelivered: it did not arrive and is not sent again. retried: it did not arrive and is queued again. still
undelivered: it was decided about, and a late delivery would still count. not asked: Twilio did not say, or the
database could not keep it for now. settled elsewhere: by a callback or another run.
"""
_TOLD: Final[tuple[CameTo, ...]] = get_args(CameTo)


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

    def events(self) -> Iterator[RunEvent]:
        """What somebody may want to be told of at once."""
        if blamed := [one for one in self.followed if one.blames_sender]:
            codes = ", ".join(str(code) for code in sorted({one.code or 0 for one in blamed}))
            yield RunEvent("sms.queue.sender-blamed", {"texts": len(blamed), "codes": codes})


def drop_event(standing: Standing | None) -> Iterator[RunEvent]:
    """That far fewer texts arrive than usual."""
    if standing and standing.delivery_dropped:
        yield RunEvent("sms.queue.delivery-dropped", {"why": standing.delivery_dropped})


def event_of_delivery(one: FollowedUp) -> TextEvent | None:
    """What is announced of a text that did not arrive. One that did is told by numbers: there is one for each text."""
    if one.came_to not in ("undelivered", "retried"):
        return None
    message = one.message
    people = {"customer": message.customer_id, "business": message.business_id, "send-log": message.send_log_id}
    return TextEvent(
        name=f"sms.text.{one.came_to}",
        resource={"prefect.resource.id": f"sms.text.{message.retry_id}", "prefect.resource.name": one.came_to},
        related=[
            {"prefect.resource.id": f"sms.{role}.{who}", "prefect.resource.role": role} for role, who in people.items()
        ],
        payload={"why": one.why, "code": one.code, "sid": message.twilio_sid, "failures": message.failures},
    )


def followed_up(summary: DeliverySummary) -> Page:
    """What a run came to: the numbers, by what did not arrive and why, and the first texts."""
    lost = [one for one in summary.followed if one.came_to in ("undelivered", "retried", "error")]
    by_why = Counter((one.came_to, one.why) for one in lost)
    return Page(
        "idle" if summary.idle else str(summary),
        str(summary),
        page(
            f"# {plain(summary)}",
            table(["texts", "what", "why"], [[str(n), what, plain(why)] for (what, why), n in by_why.most_common(50)])
            if lost
            else "",
            listed(
                f"{feed('text', one.message.retry_id, f'row {one.message.retry_id}')}: {one.came_to}, {plain(one.why)}"
                for one in lost[:TOLD_IN_FULL]
            ),
        ),
    )
