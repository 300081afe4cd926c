"""A run of each scheduled flow for a person: its name on the list of runs, its page, and what it announces."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import Final, get_args
from uuid import UUID

from smsretry.desk.actions.requests import WhichText
from smsretry.desk.pages.markdown import IDLE
from smsretry.desk.pages.outcomes import Color, Event, OfQueue, ProcessedText
from smsretry.desk.questions.explanation import Explanation
from smsretry.desk.questions.queue_status import QueueStatus
from smsretry.desk.questions.told import Heading, Lever, Told
from smsretry.retry.answers import InterruptedRun
from smsretry.sending.scheduled import Queueing
from smsretry.sending.summary import DeliverySummary, RunSummary, numbers

SHOWN_IN_FULL: Final = 20
"""How many texts that need a person one page shows in full."""
_SHOWN: Final = 200
"""How many others a page shows."""
_NAME_LENGTH: Final = 80
"""Of what is wrong, in a run's name."""
_ORDER: Final = (
    "sent",
    "failed",
    "held",
    "errors",
    "in doubt",
    "cancelled",
    "lost",
    "waiting",
)
"""The order of the numbers in a run's name. waiting: they go on by themselves."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a run shows of itself."""

    name: str
    """Its numbers, and before them what is wrong."""
    idle: bool
    """Whether nothing was done, so that nothing needs to be shown."""
    events: Sequence[Event]
    """What a person may want to know at once."""
    page: Iterable[Told]


def badge_of_many(processed: Sequence[ProcessedText]) -> tuple[str, Color]:
    """What a list shows for several texts: their counts, and the color of the one that needs a person most."""
    run = RunSummary.of(results=[one.result for one in processed])
    return _numbers(run), min(
        (one.color for one in processed), key=get_args(Color).index
    )


def of_texts(
    run: RunSummary,
    processed: Sequence[ProcessedText],
    *,
    interrupted: Sequence[InterruptedRun] = (),
    status: QueueStatus | None = None,
    explain: Callable[[UUID], Iterable[Explanation]] = lambda _: (),
) -> Report:
    """A run that sent texts.

    Args:
        processed: the texts that it took.
        interrupted: earlier ones that died, or that the database has forgotten.
        status: the queue as it is now.
        explain: explains the texts of a row. Asked for as the page is written.
    """
    idle = run.idle and not interrupted
    shown = (
        f"recovered {run.recovered}"
        if run.recovered and not run.claimed
        else _numbers(run)
    )
    many = 0 if run.stopped_because else len(run.stopped_senders)
    stopped = f"{many} sender{'s' if many > 1 else ''} stopped" if many else ""
    # Idle runs are found by their name, and deleted.
    staging = f"staging: {run.texts_only}" if run.texts_only and not idle else ""
    name = _named(
        shown or (IDLE if idle else "nothing to send"),
        run.stopped_because,
        staging,
        "the database was restored" if run.restored else "",
        stopped,
    )
    page = _page(run, processed, interrupted, explain)
    return Report(name, idle, list(_news(run, processed, status)), page)


def _numbers(run: RunSummary) -> str:
    waiting = run.deferred + run.retrying + run.given_back
    return numbers(Counter({**run.counts, "waiting": waiting}), _ORDER)


def _named(shown: str, stopped_because: str | None, *first: str) -> str:
    """Numbers, and before them what is wrong."""
    stopped = (
        f"stopped: {shorten(stopped_because, _NAME_LENGTH, placeholder=' …')}"
        if stopped_because
        else ""
    )
    return " · ".join(filter(None, (*first, stopped, shown)))


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
        one
        for one in processed
        if not run.texts_only or one.result.why_code == "mark_mismatch"
    ]
    yield from _alert(
        "held",
        [
            one.result.detail
            for one in loud
            if one.result.fate == "Held" and not one.claim.held
        ],
    )
    yield from _alert(
        "dead-letters",
        [one.result.detail for one in loud if one.result.fate == "Failed"],
    )


def _alert(what: OfQueue, whys: Sequence[str]) -> Iterator[Event]:
    """How many texts there are, and why most of them are."""
    if whys:
        why = Counter(whys).most_common(1)[0][0]
        yield _of_queue(what, texts=len(whys), why=why)


def _of_queue(what: OfQueue, **payload: object) -> Event:
    return Event("queue", what, payload)


def _page(
    run: RunSummary,
    processed: Sequence[ProcessedText],
    interrupted: Sequence[InterruptedRun],
    explain: Callable[[UUID], Iterable[Explanation]],
) -> Iterator[Told]:
    yield _numbers(run) or "No text was taken"
    yield str(run)
    yield from map(str, interrupted)
    needing = [one for one in processed if one.color == "red"]
    yield from [Heading("These need a person")] if needing else []
    for one in needing[:SHOWN_IN_FULL]:
        yield (
            f"{one.badge}, ",
            _story(one.claim.id, one.claim.masked),
            f": {one.result.detail}",
        )
        for explanation in explain(one.claim.id):
            yield f"  For {explanation.text.business or 'a business without a name'}. Next: {explanation.next}"
            yield from (("  You can: ", lever) for lever in explanation.levers)
    if more := len(needing[SHOWN_IN_FULL:]):
        yield f"And {more} more: the red ones among this run's task runs."


def _story(text: object, words: str) -> Lever:
    """These words, which lead to its story."""
    return Lever.see(WhichText, {"id": str(text)}, words)


def of_scheduled(done: Queueing) -> Report:
    """A run that queued scheduled sends, with those that did not become a text. The id of one is its send log's."""
    others = [
        Event(
            f"send-log.{send.scheduled_id}",
            send.result,
            {"why": send.why, "why_code": send.why_code},
            f"{send.result} · scheduled send",
            {"customer": send.customer_id, "business": send.business_id},
        )
        for send in done.sends
        if send.result not in ("queued", "later")
    ]
    idle = not done.sends and not done.stopped_because
    return _of_others(done.numbers, done.numbers, done.stopped_because, idle, others)


def of_deliveries(summary: DeliverySummary) -> Report:
    """A run that looked after accepted texts, with those that did not arrive."""
    lost = [
        one
        for one in summary.followed
        if one.came_to in ("undelivered", "retried", "held", "error")
    ]
    others = [
        Event(
            f"text.{one.message.retry_id}",
            one.came_to,
            {"why": one.detail, "code": one.code, "sid": one.message.sid},
            one.came_to,
            {
                "customer": one.message.customer_id,
                "business": one.message.business_id,
                "send-log": one.message.send_log_id,
            },
        )
        for one in lost
    ]
    alerts = (
        *_alert(
            "dead-letters", [one.detail for one in lost if one.came_to == "undelivered"]
        ),
        *_alert("sender-blamed", [one.detail for one in lost if one.blames_sender]),
    )
    idle = summary.idle and not summary.stopped_because
    return _of_others(
        summary.numbers, str(summary), summary.stopped_because, idle, others, alerts
    )


def _of_others(
    shown: str,
    headline: str,
    stopped: str | None,
    idle: bool,
    others: Sequence[Event],
    alerts: Sequence[Event] = (),
) -> Report:
    """With an event and a line for each of these."""
    lines = [
        (_story(one.subject.partition(".")[2], one.what), f": {one.payload['why']}")
        for one in others
    ]
    more = [f"And {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    page: list[Told] = [headline or IDLE, *lines[:_SHOWN], *more]
    return Report(_named(shown or IDLE, stopped), idle, (*alerts, *others), page)
