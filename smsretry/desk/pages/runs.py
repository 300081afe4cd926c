"""A run for a person: its name on the list of runs, its page, and what it announces. Of each of the scheduled flows."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args
from uuid import UUID

from smsretry.desk.pages.markdown import IDLE
from smsretry.desk.pages.outcomes import Color, Event, ProcessedText, badge
from smsretry.desk.questions.answers import Answer
from smsretry.desk.questions.explanation import Explanation
from smsretry.desk.questions.queue_status import QueueStatus
from smsretry.desk.questions.told import Heading, Told
from smsretry.retry.answers import InterruptedRun, ScheduledSend
from smsretry.retry.models import Finding
from smsretry.sending.scheduled import Queueing
from smsretry.sending.summary import DeliverySummary, RunSummary
from smsretry.vocabulary import ScheduledResult

SHOWN_IN_FULL: Final = 20
"""How many texts that need a person one page shows in full."""
_SHOWN: Final = 200
"""Scheduled sends that a page shows."""
_NAME_LENGTH: Final = 120
_NAMED: Final = 5
"""Customers that an alert names."""
_ORDER: Final = ("sent", "failed", "held", "errors", "in doubt", "cancelled", "lost", "waiting")
"""The order of the numbers in a run's name."""
_WAITING: Final = ("deferred", "retrying", "given back")
"""These go on by themselves, and are one number."""
_FIRST: Final[tuple[Color, ...]] = ("red", "orange", "green", "violet", "grey")


def about_texts(texts: Iterable[tuple[int | None, UUID | None]]) -> dict[str, str | int]:
    """For an alert: how many texts, the provider's codes, and the ids of the first customers."""
    known = list(texts)
    ids = list(dict.fromkeys(str(customer) for _, customer in known if customer))
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    codes = ", ".join(str(code) for code in sorted({code for code, _ in known if code}))
    return {"texts": len(known), "codes": codes, "customers": f"{', '.join(ids[:_NAMED])}{more}"}


def badge_of_many(processed: Sequence[ProcessedText]) -> tuple[str, Color]:
    """What a list shows for several texts: their counts, and the color of the one that needs a person most."""
    results = [one.result for one in processed if one.result]
    run = RunSummary.of(results=results, errors=len(processed) - len(results))
    return _counts(run), min((badge(one)[1] for one in processed), key=_FIRST.index)


def _counts(run: RunSummary) -> str:
    counts = Counter[str]()
    for name, count in run.counts.items():
        counts["waiting" if name in _WAITING else name] += count
    return numbers(counts, _ORDER)


def numbers(counts: Mapping[Any, int], order: Sequence[str] = get_args(ScheduledResult)) -> str:
    """Such as `queued 12 · cancelled 1`."""
    return " · ".join(f"{name} {counts[name]}" for name in order if counts[name])


@dataclass(frozen=True, slots=True)
class RunReport:
    """Everything that is known about a run when its work is done."""

    summary: RunSummary
    processed: Sequence[ProcessedText]
    interrupted: Sequence[InterruptedRun]
    circuit_was_open: bool
    circuit_closed: bool
    before: QueueStatus | None
    after: QueueStatus | None

    @property
    def idle(self) -> bool:
        """Whether nothing was done, so that nothing needs to be shown."""
        return self.summary.idle and not self.interrupted

    @property
    def numbers(self) -> str:
        """`sent 24 · failed 2 · waiting 11`, or `idle`."""
        if self.summary.claimed or not self.summary.recovered:
            return _counts(self.summary) or (IDLE if self.idle else "nothing to send")
        return f"recovered {self.summary.recovered}"

    @property
    def name(self) -> str:
        """The numbers; before them why sending stopped, if it did, or how many businesses' own senders have."""
        run, many = self.summary, len(self.summary.stopped_senders)
        stopped = f"{many} sender{'s' if many > 1 else ''} stopped" if many else ""
        stopped = f"stopped: {run.stopped_because}" if run.stopped_because else stopped
        # Idle runs are found by their name, and deleted.
        staging = f"staging: {run.texts_only}" if run.texts_only and not self.idle else ""
        first = " · ".join(filter(None, (staging, stopped)))
        space = _NAME_LENGTH - len(f" · {self.numbers}")
        first = first if len(first) <= space else f"{first[: space - 1]}…"
        return f"{first} · {self.numbers}" if first else self.numbers

    @property
    def needing(self) -> list[ProcessedText]:
        """The texts that need a person."""
        return [one for one in self.processed if one.needs_person]

    def events(self) -> Iterator[Event]:
        """What a person may want to know at once."""
        run, status = self.summary, self.after or self.before
        if run.circuit_open and not self.circuit_was_open:
            yield Event("sms.queue.circuit-opened", {"why": run.stopped_because or ""})
        if self.circuit_closed:
            yield Event("sms.queue.circuit-closed", {})
        for stopped in run.stopped_senders:
            if stopped.is_news:
                yield Event("sms.queue.sender-stopped", {"sender": stopped.sender, "why": stopped.why})
        for sender in run.resumed_senders:
            yield Event("sms.queue.sender-works", {"sender": sender})
        if status and status.overdue_seconds > status.late_seconds:
            minutes, texts = int(status.overdue_seconds // 60), status.queue.get("due", 0)
            yield Event("sms.queue.backlog", {"minutes": minutes, "texts": texts})
        held = [one for one in self._alarming("Held") if not one.claim.held]
        for name, needing in (("held", held), ("dead-letters", self._alarming("Failed"))):
            if needing:
                about = [(one.result.code, one.claim.customer_id) for one in needing if one.result]
                yield Event(f"sms.queue.{name}", about_texts(about))

    def _alarming(self, fate: str) -> list[ProcessedText]:
        """The texts of this fate that are announced. In staging they are only shown: nobody waits for them.

        That texts wait because production is taken for staging is announced everywhere.
        """
        loud = self.summary.texts_only is None
        results = [(one.result, one) for one in self.processed if one.result]
        return [one for of, one in results if of.fate == fate and (loud or of.why_code == "mark_mismatch")]

    def tell(self, explanations: Iterable[Explanation] = ()) -> Iterator[Told]:
        """The page. `explanations`: of texts that need a person, at most `SHOWN_IN_FULL` of them."""
        explained = {one.text.retry_id: one for one in explanations}
        yield self.numbers
        yield str(self.summary)
        yield from map(str, self.interrupted)
        yield from [Heading("These need a person")] if self.needing else []
        for one in self.needing[:SHOWN_IN_FULL]:
            claim, explanation = one.claim, explained.get(one.claim.id)
            yield f"{badge(one)[0]}, {claim.masked}: {one.why}"
            yield f"  row {claim.id}, customer {claim.customer_id}"
            if explanation:
                yield f"  For {explanation.text.business or f'business {claim.business_id}'}. Next: {explanation.next}"
                yield from (("  You can: ", lever) for lever in explanation.levers)
        if more := len(self.needing[SHOWN_IN_FULL:]):
            yield f"And {more} more: the red ones among this run's task runs."
        before, after = self.before, self.after
        if before and after:
            yield Heading("The queue")
            yield f"all: {before.depth} before, {after.depth} now"
            for state in after.STATES:
                if any(both := (before.queue.get(state, 0), after.queue.get(state, 0))):
                    yield f"{state.replace('_', ' ')}: {both[0]} before, {both[1]} now"


# Scheduled sends


def scheduled_page(done: Queueing) -> Iterator[Told]:
    """What became of the scheduled sends whose time was near. Those that did not become a text are shown one by one."""
    others = _not_queued(done.sends)
    yield numbers(done.counts)
    for send in others[:_SHOWN]:
        yield f"scheduled send {send.scheduled_id}: {send.result}, {send.why or 'no reason was kept'}"
        yield f"  customer {send.customer_id}, business {send.business_id}"
    if more := len(others[_SHOWN:]):
        yield f"{more} more did not become texts"
    elif not others:
        yield "Each became a text."


def scheduled_events(sends: Sequence[ScheduledSend]) -> Iterator[Event]:
    """An event for each scheduled send that did not become a text: ids, and why. Its id is its send log's."""
    for send in _not_queued(sends):
        yield Event.about(
            f"send-log.{send.scheduled_id}",
            f"{send.result} · scheduled send",
            name=f"sms.scheduled.{send.result}",
            people={"customer": send.customer_id, "business": send.business_id},
            payload={"outcome": send.result, "why": send.why, "why_code": send.why_code},
        )


def _not_queued(sends: Sequence[ScheduledSend]) -> list[ScheduledSend]:
    return [send for send in sends if send.result not in ("queued", "later")]


# Deliveries


def delivery_page(summary: DeliverySummary) -> Iterator[Told]:
    """What a run came to: the numbers, what did not arrive by reason, and the first texts."""
    lost = [one for one in summary.followed if one.came_to in ("undelivered", "retried", "held", "error")]
    reasons = Counter((one.came_to, one.why) for one in lost)
    yield str(summary)
    yield from (f"{texts} {came_to}: {why}" for (came_to, why), texts in reasons.most_common(50))
    yield from (f"row {one.message.retry_id}: {one.came_to}, {one.why}" for one in lost[:SHOWN_IN_FULL])


def delivery_events(summary: DeliverySummary) -> Iterator[Event]:
    """What a person may want to know at once, and an event for each text that did not arrive."""
    given_up = [one for one in summary.followed if one.came_to == "undelivered"]
    blamed = [one for one in summary.followed if one.blames_sender]
    for name, texts in (("dead-letters", given_up), ("sender-blamed", blamed)):
        if texts:
            yield Event(f"sms.queue.{name}", about_texts((one.code, one.message.customer_id) for one in texts))
    for one in summary.followed:
        if one.came_to in ("undelivered", "retried", "held"):
            text = one.message
            yield Event.about(
                f"text.{text.retry_id}",
                one.came_to,
                name=f"sms.text.{one.came_to}",
                people={"customer": text.customer_id, "business": text.business_id, "send-log": text.send_log_id},
                payload={"why": one.why, "code": one.code, "sid": text.sid, "failures": text.failures},
            )


class Examined(Answer):
    """What the doctor found: what is bad first, then the warnings, then what is in order."""

    findings: tuple[Finding, ...]

    def tell(self) -> Iterator[Told]:
        bad = [one for one in self.findings if not one.ok]
        warnings = [one for one in self.findings if one.ok and one.advice]
        fine = [one for one in self.findings if one.ok and not one.advice]
        yield f"bad {len(bad)} · warnings {len(warnings)} · ok {len(fine)}"
        yield "Seen from where the runs happen: their environment, their network, their clock."
        for title, found in (("🔴 Bad", bad), ("🟠 Warnings", warnings), ("🟢 In order", fine)):
            yield from [Heading(title)] if found else []
            yield from (f"{one.subject}: {one.advice}" if one.advice else one.subject for one in found)
