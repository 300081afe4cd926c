"""A run of each scheduled flow for a person: its name on the list of runs, its page, and what it announces."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from textwrap import shorten
from typing import Final, get_args
from uuid import UUID

from smsretry.desk.pages.markdown import IDLE
from smsretry.desk.pages.outcomes import Color, Event, OfQueue, ProcessedText
from smsretry.desk.questions.blocks import Block, Heading, Remedy, counted
from smsretry.desk.questions.explanation import Explanation
from smsretry.desk.questions.queue_status import QueueStatus
from smsretry.desk.questions.records import NAMELESS
from smsretry.retry.answers import InterruptedRun
from smsretry.sending.scheduled import Queueing
from smsretry.sending.summary import DeliverySummary, RunSummary, numbers
from smsretry.vocabulary import Fate

SHOWN_IN_FULL: Final = 20
"""How many texts that need a person one page shows in full."""
_SHOWN: Final = 200
"""How many others a page shows."""
_NAME_LENGTH: Final = 80
"""Characters of what is wrong, in a run's name."""
_WAITING: Final = ("deferred", "retrying", "given back")
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


_ANNOUNCED: Final[Sequence[tuple[OfQueue, Fate]]] = (
    ("held", "Held"),
    ("dead-letters", "Failed"),
)
"""What a run announces of texts that came to this."""


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
    senders = counted(len(run.stopped_senders), "sender")
    problems = (
        # An idle run is found by its name, and deleted.
        f"staging: {run.texts_only}" if run.texts_only and not idle else "",
        "a restore from a backup" if run.restored else "",
        _stopped(run.why_stopped)
        or (f"{senders} stopped" if run.stopped_senders else ""),
    )
    counts = _counts(run) or (IDLE if idle else "nothing to send")
    if run.recovered and not run.claimed:
        counts = f"{run.recovered} recovered"
    # In staging nobody waits for these texts. That production is taken for staging is always announced.
    results = [
        text.result
        for text in processed
        if (not run.texts_only or text.result.why_code == "mark_mismatch")
        and not (text.claim.held and text.result.fate == "Held")
    ]
    alerts = [
        _alert(
            kind,
            [
                (result.why_code, result.why)
                for result in results
                if result.fate == fate
            ],
        )
        for kind, fate in _ANNOUNCED
    ]
    return RunReport(
        name=" · ".join(filter(None, (*problems, counts))),
        idle=idle,
        events=[*_events_of_queue(run, status), *filter(None, alerts)],
        page=_page(run, processed, interrupted, explain),
    )


def _counts(run: RunSummary) -> str:
    counts = Counter(run.counts)
    counts["waiting"] = sum(counts[word] for word in _WAITING)
    return numbers(counts, _COUNTS_SHOWN)


def _stopped(because: str | None) -> str:
    words = shorten(because or "", _NAME_LENGTH, placeholder=" …")
    return f"stopped: {words}" if because else ""


def _events_of_queue(run: RunSummary, status: QueueStatus | None) -> Iterator[Event]:
    """What a person may want to know at once of all sending, of senders, and of what is late."""
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


def _alert(kind: OfQueue, mishaps: Sequence[tuple[object, str]]) -> Event | None:
    """How many texts there are, and why: by the reason's code, the rarest first, in the words of most of its texts."""
    reasons = defaultdict[object, Counter[str]](Counter)
    for code, why in mishaps:
        reasons[code][why] += 1
    counts = sorted(
        (words.total(), words.most_common(1)[0][0]) for words in reasons.values()
    )
    whys = [f"{texts} × {why}" if len(counts) > 1 else why for texts, why in counts]
    payload = {"texts": len(mishaps), "why": "; ".join(whys)}
    return Event("queue", kind, payload) if mishaps else None


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
        link = Remedy.story(text.claim.id, text.claim.masked)
        yield f"{text.badge}, ", link, f": {text.result.why}"
        for explanation in explain(text.claim.id):
            yield f"  For {explanation.text.business or NAMELESS}. Next: {explanation.next}"
            yield from (("  You can: ", remedy) for remedy in explanation.remedies)
    if remaining := len(red_texts[SHOWN_IN_FULL:]):
        yield f"And {remaining} more: the red ones among this run's task runs."


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
    return _report(queueing.numbers, queueing.why_stopped, events)


def of_deliveries(summary: DeliverySummary) -> RunReport:
    """A run that looked after accepted texts, with those that did not arrive."""
    mishaps = [
        text
        for text in summary.followed
        if text.came_to in ("undelivered", "retried", "held", "error")
    ]
    events = [
        Event(
            subject=f"text.{text.message.retry_id}",
            kind=text.came_to,
            payload={"why": text.why, "code": text.code, "sid": text.message.sid},
            feed_text=text.came_to,
            people={
                "customer": text.message.customer_id,
                "business": text.message.business_id,
                "send-log": text.message.send_log_id,
            },
        )
        for text in mishaps
    ]
    lost = [text for text in mishaps if text.came_to == "undelivered"]
    blaming = [text for text in mishaps if text.blames_sender]
    alerts = (
        _alert("dead-letters", [(text.code, text.why) for text in lost]),
        _alert("sender-blamed", [(text.code, text.why) for text in blaming]),
    )
    report = _report(summary.numbers, summary.why_stopped, events, str(summary))
    return replace(report, events=(*filter(None, alerts), *events))


def _report(
    counts: str, stopped: str | None, events: Sequence[Event], headline: str = ""
) -> RunReport:
    """A run that sent nothing, with a line for each event."""
    page: list[Block] = [headline or counts or IDLE]
    for event in events[:_SHOWN]:
        link = Remedy.story(event.subject.partition(".")[2], event.kind)
        page.append((link, f": {event.payload['why']}"))
    if len(events) > _SHOWN:
        page.append(f"And {len(events) - _SHOWN} more")
    name = " · ".join(filter(None, (_stopped(stopped), counts or IDLE)))
    return RunReport(name, not (counts or stopped), events, page)
