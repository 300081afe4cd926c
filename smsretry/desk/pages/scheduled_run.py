"""What a run of scheduled sends came to, in the words of its name, its page and its events."""

from collections import Counter
from collections.abc import Sequence
from typing import Final, get_args

from smsretry.desk.pages.answers import Page
from smsretry.desk.pages.markdown import feed, page, plain, table
from smsretry.desk.pages.outcomes import TextEvent, related
from smsretry.retry.answers import ScheduledSend
from smsretry.vocabulary import ScheduledResult

_SHOWN: Final = 200
"""Rows of the page's table."""


def numbers(sends: Sequence[ScheduledSend]) -> str:
    """Such as `queued 12 · cancelled 1`, or `idle`."""
    counts = Counter(send.result for send in sends)
    return " · ".join(f"{result} {counts[result]}" for result in get_args(ScheduledResult) if counts[result]) or "idle"


def not_queued(sends: Sequence[ScheduledSend]) -> list[ScheduledSend]:
    """Those that became no text now, and say why."""
    return [send for send in sends if send.result not in ("queued", "later")]


def queued(sends: Sequence[ScheduledSend]) -> Page:
    """What became of the scheduled sends whose time was near. What is told one by one became no text."""
    told, others = numbers(sends), not_queued(sends)
    rows = [
        [
            feed("send-log", send.scheduled_id, str(send.scheduled_id)),
            feed("customer", send.customer_id, str(send.customer_id)),
            feed("business", send.business_id, str(send.business_id)),
            send.result,
            plain(send.why or ""),
        ]
        for send in others[:_SHOWN]
    ]
    more = f"{len(others) - _SHOWN} more became no text." if len(others) > _SHOWN else ""
    headings = ["scheduled send", "customer", "business", "result", "why"]
    return Page(told, told, page(f"# {told}", table(headings, rows) if rows else "Each became a text.", more))


def event_of(send: ScheduledSend) -> TextEvent:
    """What is announced of a scheduled send that became no text: ids, and why. Its id is its send log's."""
    people = {"customer": send.customer_id, "business": send.business_id}
    return TextEvent(
        name=f"sms.scheduled.{send.result}",
        resource={
            "prefect.resource.id": f"sms.send-log.{send.scheduled_id}",
            "prefect.resource.name": f"{send.result} · scheduled send",
        },
        related=related(people),
        payload={"outcome": send.result, "why": send.why, "why_code": send.why_code},
    )
