"""What a look after deliveries came to, and how it is told. Of a number nothing is in it, nor of a body."""

from collections import Counter
from collections.abc import Iterator

from smsretry.desk.pages.answers import Page
from smsretry.desk.pages.markdown import feed, listed, page, plain, table
from smsretry.desk.pages.outcomes import TextEvent, related
from smsretry.desk.pages.run_report import TOLD_IN_FULL, RunEvent
from smsretry.desk.questions.queue_status import Standing
from smsretry.sending.summary import DeliverySummary, FollowedUp


def events_of(summary: DeliverySummary) -> Iterator[RunEvent]:
    """What somebody may want to be told of at once."""
    if given_up := summary.counts["undelivered"]:
        yield RunEvent("sms.queue.dead-letters", {"texts": given_up})
    if blamed := [one for one in summary.followed if one.blames_sender]:
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
        related=related(people),
        payload={"why": one.why, "code": one.code, "sid": message.sid, "failures": message.failures},
    )


def followed_up(summary: DeliverySummary) -> Page:
    """What a run came to: the numbers, by what did not arrive and why, and the first texts."""
    lost = [one for one in summary.followed if one.came_to in ("undelivered", "retried", "error")]
    by_why = Counter((one.came_to, one.why) for one in lost)
    return Page(
        "idle" if summary.idle else summary.numbers,
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
