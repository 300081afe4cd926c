"""What a run of scheduled sends came to: its name, its page and its events."""

from collections import Counter
from collections.abc import Sequence
from typing import Final, get_args

from smsretry.desk.pages.answers import IDLE, Page
from smsretry.desk.pages.markdown import outline, page
from smsretry.desk.pages.outcomes import TextEvent
from smsretry.retry.answers import ScheduledSend
from smsretry.vocabulary import ScheduledResult

_SHOWN: Final = 200
"""Sends that the page shows."""


def numbers(sends: Sequence[ScheduledSend]) -> str:
    """Such as `queued 12 · cancelled 1`, or `idle`."""
    counts = Counter(send.result for send in sends)
    return " · ".join(f"{result} {counts[result]}" for result in get_args(ScheduledResult) if counts[result]) or IDLE


def not_queued(sends: Sequence[ScheduledSend]) -> list[ScheduledSend]:
    """Those that did not become a text, and say why."""
    return [send for send in sends if send.result not in ("queued", "later")]


def scheduled_page(sends: Sequence[ScheduledSend]) -> Page:
    """What became of the scheduled sends whose time was near. Those that did not become a text are shown one by one."""
    name, others = numbers(sends), not_queued(sends)
    lines = list[str]()
    for send in others[:_SHOWN]:
        lines.append(f"scheduled send {send.scheduled_id}: {send.result}, {send.why or 'no reason was kept'}")
        lines.append(f"  customer {send.customer_id}, business {send.business_id}")
    if len(others) > _SHOWN:
        lines.append(f"{len(others) - _SHOWN} more did not become texts")
    return Page(name, name, page(f"# {name}", outline(lines or ["Each became a text."])))


def event_of(send: ScheduledSend) -> TextEvent:
    """The event of a scheduled send that did not become a text: ids, and why. Its id is its send log's."""
    return TextEvent(
        name=f"sms.scheduled.{send.result}",
        subject=f"send-log.{send.scheduled_id}",
        shown=f"{send.result} · scheduled send",
        people={"customer": send.customer_id, "business": send.business_id},
        payload={"outcome": send.result, "why": send.why, "why_code": send.why_code},
    )
