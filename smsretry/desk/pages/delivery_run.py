"""What a run of `sync-delivery-status` came to: its page and its events, without phone numbers and message bodies."""

from collections import Counter
from collections.abc import Iterator, Sequence

from smsretry.desk.pages.answers import IDLE, Page
from smsretry.desk.pages.markdown import outline, page, plain
from smsretry.desk.pages.outcomes import TextEvent
from smsretry.desk.pages.run_report import SHOWN_IN_FULL, RunEvent, about_texts
from smsretry.desk.questions.queue_status import QueueStatus
from smsretry.sending.summary import DeliverySummary, FollowedUp


def events_of(summary: DeliverySummary, status: QueueStatus | None) -> Iterator[RunEvent]:
    """What a person may want to know at once."""
    if given_up := [one for one in summary.followed if one.came_to == "undelivered"]:
        yield RunEvent("sms.queue.dead-letters", {"texts": len(given_up), **_about(given_up)})
    if blamed := [one for one in summary.followed if one.blames_sender]:
        yield RunEvent("sms.queue.sender-blamed", {"texts": len(blamed), **_about(blamed)})
    if status and status.delivery_dropped:
        yield RunEvent("sms.queue.delivery-dropped", {"why": status.delivery_dropped})


def _about(texts: Sequence[FollowedUp]) -> dict[str, str]:
    return about_texts((one.code for one in texts), (one.message.customer_id for one in texts))


def text_events(summary: DeliverySummary) -> Iterator[TextEvent]:
    """An event for each text that did not arrive. The others are only counted."""
    yield from (_event(one) for one in summary.followed if one.came_to in ("undelivered", "retried", "held"))


def _event(one: FollowedUp) -> TextEvent:
    message = one.message
    return TextEvent(
        name=f"sms.text.{one.came_to}",
        subject=f"text.{message.retry_id}",
        shown=one.came_to,
        people={"customer": message.customer_id, "business": message.business_id, "send-log": message.send_log_id},
        payload={"why": one.why, "code": one.code, "sid": message.sid, "failures": message.failures},
    )


def delivery_page(summary: DeliverySummary) -> Page:
    """What a run came to: the numbers, what did not arrive by reason, and the first texts."""
    lost = [one for one in summary.followed if one.came_to in ("undelivered", "retried", "held", "error")]
    reasons = Counter((one.came_to, one.why) for one in lost)
    lines = [f"{texts} {came_to}: {why}" for (came_to, why), texts in reasons.most_common(50)]
    lines += [f"row {one.message.retry_id}: {one.came_to}, {one.why}" for one in lost[:SHOWN_IN_FULL]]
    return Page(IDLE if summary.idle else summary.numbers, str(summary), page(f"# {plain(summary)}", outline(lines)))
