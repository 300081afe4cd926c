"""A run of each scheduled flow for a person: its name on the list of runs, its page, and what it announces."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
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
_COUNTS_SHOWN: Final = (
    "sent",
    "failed",
    "held",
    "errored",
    "in doubt",
    "cancelled",
    "claim lost",
    "waiting",
)
"""The counts in a run's name, in their order. A new fate gets its place here. waiting: they go on by themselves."""


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
    summary = RunSummary.of(results=[text.result for text in processed])
    colors = {text.color for text in processed}
    return _counts(summary), min(colors, key=get_args(Color).index)


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
    problems = list[str]()
    if run.texts_only and not idle:  # an idle run is found by its name, and deleted
        problems.append(f"staging: {run.texts_only}")
    if run.restored:
        problems.append("a restore from a backup")
    if run.stopped_because:
        problems.append(_stopped(run.stopped_because))
    elif senders := len(run.stopped_senders):
        problems.append(f"{senders} sender{'s' if senders > 1 else ''} stopped")
    counts = _counts(run)
    if run.recovered and not run.claimed:
        counts = f"{run.recovered} recovered"
    return RunReport(
        name=" · ".join([*problems, counts or (IDLE if idle else "nothing to send")]),
        idle=idle,
        events=list(_events(run, processed, status)),
        page=_page(run, processed, interrupted, explain),
    )


def _counts(run: RunSummary) -> str:
    waiting = run.deferred + run.retrying + run.given_back
    return numbers(Counter({**run.counts, "waiting": waiting}), _COUNTS_SHOWN)


def _stopped(because: str) -> str:
    return f"stopped: {shorten(because, _NAME_LENGTH, placeholder=' …')}"


def _events(
    run: RunSummary, processed: Sequence[ProcessedText], status: QueueStatus | None
) -> Iterator[Event]:
    """What a person may want to know at once."""
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
    # In staging nobody waits for these texts. That production is taken for staging is always announced.
    announced = [
        text
        for text in processed
        if not run.texts_only or text.result.why_code == "mark_mismatch"
    ]
    yield from _alert(
        "held",
        [
            (text.result.why_code, text.result.detail)
            for text in announced
            if text.result.fate == "Held" and not text.claim.held
        ],
    )
    yield from _alert(
        "dead-letters",
        [
            (text.result.why_code, text.result.detail)
            for text in announced
            if text.result.fate == "Failed"
        ],
    )


def _alert(event_name: OfQueue, whys: Sequence[tuple[object, str]]) -> Iterator[Event]:
    """How many texts there are, and why: by the reason's code, the rarest first, in the words of most of its texts."""
    reasons = defaultdict[object, Counter[str]](Counter)
    for code, why in whys:
        reasons[code][why] += 1
    counts = [(words.total(), words.most_common(1)[0][0]) for words in reasons.values()]
    counts.sort(key=itemgetter(0))
    if len(counts) == 1:
        yield _of_queue(event_name, texts=len(whys), why=counts[0][1])
    elif counts:
        why = "; ".join(f"{texts} × {words}" for texts, words in counts)
        yield _of_queue(event_name, texts=len(whys), why=why)


def _of_queue(event_name: OfQueue, **payload: object) -> Event:
    return Event("queue", event_name, payload)


def _page(
    run: RunSummary,
    processed: Sequence[ProcessedText],
    interrupted: Sequence[InterruptedRun],
    explain: Callable[[UUID], Iterable[Explanation]],
) -> Iterator[Block]:
    yield _counts(run) or "No text was taken"
    yield str(run)
    yield from map(str, interrupted)
    red_texts = [text for text in processed if text.color == "red"]
    if red_texts:
        yield Heading("These need a person")
    for text in red_texts[:SHOWN_IN_FULL]:
        link = _link_to_story(str(text.claim.id), text.claim.masked)
        yield f"{text.badge}, ", link, f": {text.result.detail}"
        for explanation in explain(text.claim.id):
            yield f"  For {explanation.text.business or 'a business without a name'}. Next: {explanation.next}"
            yield from (("  You can: ", remedy) for remedy in explanation.remedies)
    if remaining := len(red_texts[SHOWN_IN_FULL:]):
        yield f"And {remaining} more: the red ones among this run's task runs."


def _link_to_story(text: str, words: str) -> Remedy:
    return Remedy.see(ExplainText, {"id": text}, words)


def of_scheduled(queueing: Queueing) -> RunReport:
    """A run that queued scheduled sends, with those that did not become a text. The id of one is its send log's."""
    events = [
        Event(
            subject=f"send-log.{send.scheduled_id}",
            kind=send.result,
            payload={"why": send.why, "why_code": send.why_code},
            feed_text=f"{send.result} · scheduled send",
            people={"customer": send.customer_id, "business": send.business_id},
        )
        for send in queueing.sends
        if send.result not in ("queued", "later")
    ]
    idle = not queueing.sends and not queueing.stopped_because
    return _report(
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
            subject=f"text.{message.message.retry_id}",
            kind=message.came_to,
            payload={
                "why": message.detail,
                "code": message.code,
                "sid": message.message.sid,
            },
            feed_text=message.came_to,
            people={
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
            [
                (message.code, message.detail)
                for message in mishaps
                if message.came_to == "undelivered"
            ],
        ),
        *_alert(
            "sender-blamed",
            [
                (message.code, message.detail)
                for message in mishaps
                if message.blames_sender
            ],
        ),
    )
    idle = summary.idle and not summary.stopped_because
    return _report(
        summary.numbers, str(summary), summary.stopped_because, idle, events, alerts
    )


def _report(
    counts: str,
    headline: str,
    stopped_because: str | None,
    idle: bool,
    events: Sequence[Event],
    alerts: Sequence[Event] = (),
) -> RunReport:
    """A run that sent nothing, with a line for each event."""
    page: list[Block] = [headline or IDLE]
    for event in events[:_SHOWN]:
        link = _link_to_story(event.subject.partition(".")[2], event.kind)
        page.append((link, f": {event.payload['why']}"))
    if len(events) > _SHOWN:
        page.append(f"And {len(events) - _SHOWN} more")
    problems = [_stopped(stopped_because)] if stopped_because else []
    name = " · ".join([*problems, counts or IDLE])
    return RunReport(name, idle, (*alerts, *events), page)
