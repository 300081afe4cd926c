"""A run of each scheduled flow for a person: its name on the list of runs, its page, and what it announces."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import Final, get_args
from uuid import UUID

from smsretry.desk.actions.requests import ExplainText
from smsretry.desk.pages.markdown import IDLE
from smsretry.desk.pages.outcomes import Color, Event, OfQueue, ProcessedText
from smsretry.desk.questions.blocks import Block, Heading, Remedy
from smsretry.desk.questions.explanation import Explanation
from smsretry.desk.questions.queue_status import QueueStatus
from smsretry.retry.answers import InterruptedRun
from smsretry.sending.scheduled import Queueing
from smsretry.sending.summary import DeliverySummary, RunSummary, numbers

SHOWN_IN_FULL: Final = 20
"""How many texts that need a person one page shows in full."""
_SHOWN: Final = 200
"""How many others a page shows."""
_NAME_LENGTH: Final = 80
"""Characters of what is wrong, in a run's name."""
_ORDER: Final = (
    "sent",
    "failed",
    "held",
    "errored",
    "in doubt",
    "cancelled",
    "lost",
    "waiting",
)
"""The order of the numbers in a run's name. waiting: they go on by themselves."""


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a run shows of itself."""

    name: str
    """Its numbers, and before them what is wrong."""
    idle: bool
    """Whether nothing was done, so that nothing needs to be shown."""
    events: Sequence[Event]
    """What a person may want to know at once."""
    page: Iterable[Block]


def badge_of_many(processed: Sequence[ProcessedText]) -> tuple[str, Color]:
    """What a list shows for several texts: their counts, and the color of the one that needs a person most."""
    run = RunSummary.of(results=[text.result for text in processed])
    return _numbers(run), min(
        (text.color for text in processed), key=get_args(Color).index
    )


def of_texts(
    run: RunSummary,
    processed: Sequence[ProcessedText],
    *,
    interrupted: Sequence[InterruptedRun] = (),
    status: QueueStatus | None = None,
    explain: Callable[[UUID], Iterable[Explanation]] = lambda _: (),
) -> RunReport:
    """A run that sent texts.

    Args:
        processed: the texts that it took.
        interrupted: earlier ones that died, or that the database has forgotten.
        status: the queue as it is now.
        explain: explains the texts of a row. Asked for as the page is written.
    """
    idle = run.idle and not interrupted
    headline = (
        f"{run.recovered} recovered"
        if run.recovered and not run.claimed
        else _numbers(run)
    )
    sender_count = 0 if run.stopped_because else len(run.stopped_senders)
    stopped = (
        f"{sender_count} sender{'s' if sender_count > 1 else ''} stopped"
        if sender_count
        else ""
    )
    # Idle runs are found by their name, and deleted.
    staging = f"staging: {run.texts_only}" if run.texts_only and not idle else ""
    name = _named(
        headline or (IDLE if idle else "nothing to send"),
        run.stopped_because,
        staging,
        "the database was restored" if run.restored else "",
        stopped,
    )
    page = _page(run, processed, interrupted, explain)
    return RunReport(name, idle, list(_news(run, processed, status)), page)


def _numbers(run: RunSummary) -> str:
    waiting = run.deferred + run.retrying + run.given_back
    return numbers(Counter({**run.counts, "waiting": waiting}), _ORDER)


def _named(headline: str, stopped_because: str | None, *prefixes: str) -> str:
    """Numbers, and before them what is wrong."""
    stopped = (
        f"stopped: {shorten(stopped_because, _NAME_LENGTH, placeholder=' …')}"
        if stopped_because
        else ""
    )
    return " · ".join(filter(None, (*prefixes, stopped, headline)))


def _news(
    run: RunSummary, processed: Sequence[ProcessedText], status: QueueStatus | None
) -> Iterator[Event]:
    for stopped in run.stopped:
        if stopped.is_news and stopped.concerns_all:
            yield _of_queue("sending-stopped", why=stopped.why)
        elif stopped.is_news:
            yield _of_queue("sender-stopped", sender=stopped.what, why=stopped.why)
    for late in status.late if status else ():
        if late.name == "due" and status:
            minutes = int(status.overdue_seconds // 60)
            yield _of_queue("backlog", minutes=minutes, texts=late.texts)
        elif late.name == "words":
            yield _of_queue("words-unread", people=late.texts)
    # In staging they are only shown: nobody waits for them. That production is taken for staging is always told.
    loud = [
        text
        for text in processed
        if not run.texts_only or text.result.why_code == "mark_mismatch"
    ]
    yield from _alert(
        "held",
        [
            text.result.detail
            for text in loud
            if text.result.fate == "Held" and not text.claim.held
        ],
    )
    yield from _alert(
        "dead-letters",
        [text.result.detail for text in loud if text.result.fate == "Failed"],
    )


def _alert(event_name: OfQueue, whys: Sequence[str]) -> Iterator[Event]:
    """How many texts there are, and why most of them are."""
    if whys:
        commonest = Counter(whys).most_common(1)[0][0]
        yield _of_queue(event_name, texts=len(whys), why=commonest)


def _of_queue(event_name: OfQueue, **payload: object) -> Event:
    return Event("queue", event_name, payload)


def _page(
    run: RunSummary,
    processed: Sequence[ProcessedText],
    interrupted: Sequence[InterruptedRun],
    explain: Callable[[UUID], Iterable[Explanation]],
) -> Iterator[Block]:
    yield _numbers(run) or "No text was taken"
    yield str(run)
    yield from map(str, interrupted)
    needing = [text for text in processed if text.color == "red"]
    yield from [Heading("These need a person")] if needing else []
    for text in needing[:SHOWN_IN_FULL]:
        yield (
            f"{text.badge}, ",
            _story(text.claim.id, text.claim.masked),
            f": {text.result.detail}",
        )
        for explanation in explain(text.claim.id):
            yield f"  For {explanation.text.business or 'a business without a name'}. Next: {explanation.next}"
            yield from (("  You can: ", remedy) for remedy in explanation.remedies)
    if remaining := len(needing[SHOWN_IN_FULL:]):
        yield f"And {remaining} more: the red ones among this run's task runs."


def _story(text: object, words: str) -> Remedy:
    """These words, which lead to its story."""
    return Remedy.see(ExplainText, {"id": str(text)}, words)


def of_scheduled(queueing: Queueing) -> RunReport:
    """A run that queued scheduled sends, with those that did not become a text. The id of one is its send log's."""
    events = [
        Event(
            f"send-log.{send.scheduled_id}",
            send.result,
            {"why": send.why, "why_code": send.why_code},
            f"{send.result} · scheduled send",
            {"customer": send.customer_id, "business": send.business_id},
        )
        for send in queueing.sends
        if send.result not in ("queued", "later")
    ]
    idle = not queueing.sends and not queueing.stopped_because
    return _of_others(
        queueing.numbers, queueing.numbers, queueing.stopped_because, idle, events
    )


def of_deliveries(summary: DeliverySummary) -> RunReport:
    """A run that looked after accepted texts, with those that did not arrive."""
    mishaps = [
        message
        for message in summary.followed
        if message.came_to in ("undelivered", "retried", "held", "error")
    ]
    events = [
        Event(
            f"text.{message.message.retry_id}",
            message.came_to,
            {"why": message.detail, "code": message.code, "sid": message.message.sid},
            message.came_to,
            {
                "customer": message.message.customer_id,
                "business": message.message.business_id,
                "send-log": message.message.send_log_id,
            },
        )
        for message in mishaps
    ]
    alerts = (
        *_alert(
            "dead-letters",
            [message.detail for message in mishaps if message.came_to == "undelivered"],
        ),
        *_alert(
            "sender-blamed",
            [message.detail for message in mishaps if message.blames_sender],
        ),
    )
    idle = summary.idle and not summary.stopped_because
    return _of_others(
        summary.numbers, str(summary), summary.stopped_because, idle, events, alerts
    )


def _of_others(
    summary_text: str,
    headline: str,
    stopped: str | None,
    idle: bool,
    events: Sequence[Event],
    alerts: Sequence[Event] = (),
) -> RunReport:
    """Report a run, with a line for each event and alert."""
    lines = [
        (
            _story(event.subject.partition(".")[2], event.kind),
            f": {event.payload['why']}",
        )
        for event in events
    ]
    ending = [f"And {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    page: list[Block] = [headline or IDLE, *lines[:_SHOWN], *ending]
    return RunReport(
        _named(summary_text or IDLE, stopped), idle, (*alerts, *events), page
    )
