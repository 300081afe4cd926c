"""A run of each scheduled flow for a person: its name on the list of runs, its page, and what it announces."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import Final
from uuid import UUID

from smsretry.desk.pages.markdown import IDLE
from smsretry.desk.pages.outcomes import Color, Event, ProcessedText, about, badge
from smsretry.desk.questions.explanation import Explanation
from smsretry.desk.questions.queue_status import QueueStatus
from smsretry.desk.questions.told import Heading, Told
from smsretry.retry.answers import InterruptedRun
from smsretry.sending.scheduled import Queueing
from smsretry.sending.summary import DeliverySummary, RunSummary, numbers

SHOWN_IN_FULL: Final = 20
"""How many texts that need a person one page shows in full."""
_SHOWN: Final = 200
"""How many others a page shows."""
_NAME_LENGTH: Final = 80
"""Of what is wrong, in a run's name."""
_ORDER: Final = ("sent", "failed", "held", "errors", "in doubt", "cancelled", "lost", "waiting")
"""The order of the numbers in a run's name."""
_WAITING: Final = ("deferred", "retrying", "given back")
"""These go on by themselves, and are one number."""
_FIRST: Final[tuple[Color, ...]] = ("red", "orange", "green", "violet", "grey")


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


def _counts(run: RunSummary) -> str:
    counts = Counter[str]()
    for name, count in run.counts.items():
        counts["waiting" if name in _WAITING else name] += count
    return numbers(counts, _ORDER)


def badge_of_many(processed: Sequence[ProcessedText]) -> tuple[str, Color]:
    """What a list shows for several texts: their counts, and the color of the one that needs a person most."""
    run = RunSummary.of(results=[one.result for one in processed])
    return _counts(run), min((badge(one)[1] for one in processed), key=_FIRST.index)


def of_texts(
    run: RunSummary,
    processed: Sequence[ProcessedText],
    *,
    interrupted: Sequence[InterruptedRun] = (),
    was_stopped: bool = False,
    status: QueueStatus | None = None,
    explain: Callable[[UUID], Iterable[Explanation]] = lambda _: (),
) -> Report:
    """A run that sent texts.

    Args:
        processed: the texts that it took.
        interrupted: earlier ones that died.
        was_stopped: whether all sending was stopped before it.
        status: the queue as it is now.
        explain: explains the texts of a row. Asked for as the page is written.
    """
    idle = run.idle and not interrupted
    shown = f"recovered {run.recovered}" if run.recovered and not run.claimed else _counts(run)
    many = 0 if run.stopped_because else len(run.stopped_senders)
    stopped = f"{many} sender{'s' if many > 1 else ''} stopped" if many else ""
    # Idle runs are found by their name, and deleted.
    staging = f"staging: {run.texts_only}" if run.texts_only and not idle else ""
    name = _named(shown or (IDLE if idle else "nothing to send"), run.stopped_because, staging, stopped)
    return Report(
        name, idle, list(_news(run, processed, was_stopped, status)), _page(run, processed, interrupted, explain)
    )


def _named(numbers: str, stopped_because: str | None, *first: str) -> str:
    """Numbers, and before them what is wrong."""
    stopped = f"stopped: {shorten(stopped_because, _NAME_LENGTH, placeholder=' …')}" if stopped_because else ""
    return " · ".join(filter(None, (*first, stopped, numbers)))


def _news(
    run: RunSummary, processed: Sequence[ProcessedText], was_stopped: bool, status: QueueStatus | None
) -> Iterator[Event]:
    if run.circuit_open and not was_stopped:
        yield Event("sms.queue.circuit-opened", {"why": run.stopped_because or ""})
    for stopped in run.stopped_senders:
        if stopped.is_news:
            yield Event("sms.queue.sender-stopped", {"sender": stopped.sender, "why": stopped.why})
    if status and status.overdue_seconds > status.late_seconds:
        minutes, texts = int(status.overdue_seconds // 60), status.queue.get("due", 0)
        yield Event("sms.queue.backlog", {"minutes": minutes, "texts": texts})
    # In staging they are only shown: nobody waits for them. That production is taken for staging is always told.
    loud = [one for one in processed if not run.texts_only or one.result.why_code == "mark_mismatch"]
    yield from _alert("held", [one.result.detail for one in loud if one.result.fate == "Held" and not one.claim.held])
    yield from _alert("dead-letters", [one.result.detail for one in loud if one.result.fate == "Failed"])


def _alert(name: str, whys: Sequence[str]) -> Iterator[Event]:
    """How many texts there are, and why most of them are."""
    if whys:
        yield Event(f"sms.queue.{name}", {"texts": len(whys), "why": Counter(whys).most_common(1)[0][0]})


def _page(
    run: RunSummary,
    processed: Sequence[ProcessedText],
    interrupted: Sequence[InterruptedRun],
    explain: Callable[[UUID], Iterable[Explanation]],
) -> Iterator[Told]:
    yield _counts(run) or "No text was taken"
    yield str(run)
    yield from map(str, interrupted)
    needing = [one for one in processed if one.needs_person]
    yield from [Heading("These need a person")] if needing else []
    for one in needing[:SHOWN_IN_FULL]:
        claim = one.claim
        yield f"{badge(one)[0]}, {claim.masked}: {one.result.detail}"
        yield f"  row {claim.id}, customer {claim.customer_id}"
        for explanation in explain(claim.id):
            yield f"  For {explanation.text.business or f'business {claim.business_id}'}. Next: {explanation.next}"
            yield from (("  You can: ", lever) for lever in explanation.levers)
    if more := len(needing[SHOWN_IN_FULL:]):
        yield f"And {more} more: the red ones among this run's task runs."


def of_scheduled(done: Queueing) -> Report:
    """A run that queued scheduled sends: an event and a line for each that did not become a text."""
    others = [send for send in done.sends if send.result not in ("queued", "later")]
    # The id of a scheduled send is its send log's.
    events = [
        about(
            f"send-log.{send.scheduled_id}",
            f"{send.result} · scheduled send",
            name=f"sms.scheduled.{send.result}",
            people={"customer": send.customer_id, "business": send.business_id},
            payload={"outcome": send.result, "why": send.why, "why_code": send.why_code},
        )
        for send in others
    ]
    lines = [
        f"scheduled send {send.scheduled_id}: {send.result}, {send.why or 'no reason was kept'}" for send in others
    ]
    told = done.numbers or IDLE
    idle = not done.sends and not done.stopped_because
    return Report(_named(told, done.stopped_because), idle, events, _listed(told, lines))


def of_deliveries(summary: DeliverySummary) -> Report:
    """A run that looked after accepted texts: an event and a line for each that did not arrive."""
    lost = [one for one in summary.followed if one.came_to in ("undelivered", "retried", "held", "error")]
    events = [
        *_alert("dead-letters", [one.why for one in lost if one.came_to == "undelivered"]),
        *_alert("sender-blamed", [one.why for one in lost if one.blames_sender]),
    ]
    for one in lost:
        text = one.message
        event = about(
            f"text.{text.retry_id}",
            one.came_to,
            name=f"sms.text.{one.came_to}",
            people={"customer": text.customer_id, "business": text.business_id, "send-log": text.send_log_id},
            payload={"why": one.why, "code": one.code, "sid": text.sid, "failures": text.failures},
        )
        events.append(event)
    lines = [f"row {one.message.retry_id}: {one.came_to}, {one.why}" for one in lost]
    name = _named(summary.numbers or IDLE, summary.stopped_because)
    return Report(name, summary.idle and not summary.stopped_because, events, _listed(str(summary), lines))


def _listed(headline: str, lines: Sequence[str]) -> Iterator[Told]:
    yield headline
    yield from lines[:_SHOWN]
    if more := len(lines[_SHOWN:]):
        yield f"And {more} more"
