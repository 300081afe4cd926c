"""A run for a person: its name on the list of runs, its page, and what it announces. Of each of the scheduled flows."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, get_args
from uuid import UUID

from smsretry.desk.pages.markdown import IDLE, FormAddress, Page, markdown
from smsretry.desk.pages.outcomes import Color, ProcessedText, TextEvent, badge
from smsretry.desk.questions.explanation import Explanation
from smsretry.desk.questions.queue_status import QueueStatus
from smsretry.desk.questions.told import Heading, Told
from smsretry.retry.answers import InterruptedRun, Recovered, ScheduledSend
from smsretry.retry.models import Finding
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
"""The order of the numbers in a run's name. Any other comes last."""
_WAITING: Final = ("deferred", "retrying", "given back")
"""These go on by themselves, and are one number."""
_FIRST: Final[tuple[Color, ...]] = ("red", "orange", "green", "violet")


@dataclass(frozen=True, slots=True)
class RunEvent:
    """What one run announces about the whole queue."""

    name: str
    payload: dict[str, str | int]


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
    colors = {badge(one)[1] for one in processed}
    return _counts(run) or "nothing", next((color for color in _FIRST if color in colors), "grey")


def _counts(run: RunSummary) -> str:
    counts = Counter[str]()
    for name, count in run.counts.items():
        counts["waiting" if name in _WAITING else name] += count
    places = {name: place for place, name in enumerate(_ORDER)}
    return " · ".join(f"{name} {counts[name]}" for name in sorted(counts, key=lambda name: places.get(name, 99)))


@dataclass(frozen=True, slots=True)
class RunReport:
    """Everything that is known about a run when its work is done."""

    summary: RunSummary
    processed: Sequence[ProcessedText]
    recovered: Sequence[Recovered]
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
        run = self.summary
        recovered = "" if run.claimed or not run.recovered else f"recovered {run.recovered}"
        return _counts(run) or recovered or (IDLE if self.idle else "nothing to send")

    @property
    def name(self) -> str:
        """The numbers; before them why sending stopped, if it did, or how many businesses' own senders have."""
        many = len(self.summary.stopped_senders)
        stopped = f"{many} sender{'s' if many > 1 else ''} stopped · " if many else ""
        stopped = f"stopped: {self.summary.stopped_because} · " if self.summary.stopped_because else stopped
        if self.summary.texts_only and not self.idle:  # idle runs are found by their name, and deleted
            stopped = f"staging: {self.summary.texts_only} · {stopped}"
        space = _NAME_LENGTH - len(self.numbers)
        return f"{stopped if len(stopped) <= space else stopped[: space - 4] + '… · '}{self.numbers}"

    def events(self) -> Iterator[RunEvent]:
        """What a person may want to know at once."""
        run, status = self.summary, self.after or self.before
        if run.circuit_open and not self.circuit_was_open:
            yield RunEvent("sms.queue.circuit-opened", {"why": run.stopped_because or ""})
        if self.circuit_closed:
            yield RunEvent("sms.queue.circuit-closed", {})
        for stopped in run.stopped_senders:
            if stopped.is_news:
                yield RunEvent("sms.queue.sender-stopped", {"sender": stopped.sender, "why": stopped.why})
        for sender in run.resumed_senders:
            yield RunEvent("sms.queue.sender-works", {"sender": sender})
        if status and status.overdue_seconds > status.late_seconds:
            minutes, texts = int(status.overdue_seconds // 60), status.queue.get("due", 0)
            yield RunEvent("sms.queue.backlog", {"minutes": minutes, "texts": texts})
        held = [one for one in self._alarming("Held") if not one.claim.held]
        for name, needing in (("held", held), ("dead-letters", self._alarming("Failed"))):
            if needing:
                about = [(one.result.code, one.claim.customer_id) for one in needing if one.result]
                yield RunEvent(f"sms.queue.{name}", about_texts(about))

    def _alarming(self, fate: str) -> list[ProcessedText]:
        """The texts of this fate that are announced. In staging they are only shown: nobody waits for them.

        That texts wait because production is taken for staging is announced everywhere.
        """
        loud = self.summary.texts_only is None
        results = [(one.result, one) for one in self.processed if one.result]
        return [one for of, one in results if of.fate == fate and (loud or of.why_code == "mark_mismatch")]

    def markdown(self, explanations: Sequence[Explanation], forms: FormAddress) -> str:
        """The page. `explanations`: of texts that need a person, at most `SHOWN_IN_FULL` of them."""
        return markdown(self._tell({one.text.retry_id: one for one in explanations}), forms)

    def _tell(self, explanations: Mapping[UUID, Explanation]) -> Iterator[Told]:
        yield self.numbers
        yield str(self.summary)
        yield from map(str, self.interrupted)
        needing = [one for one in self.processed if one.needs_person]
        if needing:
            yield Heading("These need a person")
        for one in needing[:SHOWN_IN_FULL]:
            claim, explanation = one.claim, explanations.get(one.claim.id)
            yield f"{badge(one)[0]}, {claim.masked}: {one.why}"
            yield f"  row {claim.id}, customer {claim.customer_id}"
            if explanation:
                yield f"  For {explanation.text.business or f'business {claim.business_id}'}. Next: {explanation.next}"
                yield from (("  You can: ", lever) for lever in explanation.levers)
        if more := len(needing[SHOWN_IN_FULL:]):
            yield f"And {more} more: the red ones among this run's task runs."
        before, after = self.before, self.after
        if before and after:
            yield Heading("The queue")
            numbers = {"all": (before.depth, after.depth)}
            numbers |= {state: (before.queue.get(state, 0), after.queue.get(state, 0)) for state in after.STATES}
            shown = [(name.replace("_", " "), *both) for name, both in numbers.items() if name == "all" or any(both)]
            yield from (f"{name}: {was} before, {now} now" for name, was, now in shown)


# Scheduled sends


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
    told = [name]
    for send in others[:_SHOWN]:
        told.append(f"scheduled send {send.scheduled_id}: {send.result}, {send.why or 'no reason was kept'}")
        told.append(f"  customer {send.customer_id}, business {send.business_id}")
    if not others or len(others) > _SHOWN:
        told.append(f"{len(others) - _SHOWN} more did not become texts" if others else "Each became a text.")
    return Page(name, name, markdown(told))


def scheduled_event(send: ScheduledSend) -> TextEvent:
    """The event of a scheduled send that did not become a text: ids, and why. Its id is its send log's."""
    return TextEvent(
        name=f"sms.scheduled.{send.result}",
        subject=f"send-log.{send.scheduled_id}",
        shown=f"{send.result} · scheduled send",
        people={"customer": send.customer_id, "business": send.business_id},
        payload={"outcome": send.result, "why": send.why, "why_code": send.why_code},
    )


# Deliveries


def delivery_page(summary: DeliverySummary) -> Page:
    """What a run came to: the numbers, what did not arrive by reason, and the first texts."""
    lost = [one for one in summary.followed if one.came_to in ("undelivered", "retried", "held", "error")]
    reasons = Counter((one.came_to, one.why) for one in lost)
    told = [str(summary), *(f"{texts} {came_to}: {why}" for (came_to, why), texts in reasons.most_common(50))]
    told += [f"row {one.message.retry_id}: {one.came_to}, {one.why}" for one in lost[:SHOWN_IN_FULL]]
    return Page(IDLE if summary.idle else summary.numbers, str(summary), markdown(told))


def delivery_events(summary: DeliverySummary, status: QueueStatus | None) -> Iterator[RunEvent | TextEvent]:
    """What a person may want to know at once, and an event for each text that did not arrive."""
    followed = summary.followed
    given_up = [one for one in followed if one.came_to == "undelivered"]
    blamed = [one for one in followed if one.blames_sender]
    for name, texts in (("dead-letters", given_up), ("sender-blamed", blamed)):
        if texts:
            about = about_texts((one.code, one.message.customer_id) for one in texts)
            yield RunEvent(f"sms.queue.{name}", about)
    if status and status.delivery_dropped:
        yield RunEvent("sms.queue.delivery-dropped", {"why": status.delivery_dropped})
    for one in followed:
        if one.came_to in ("undelivered", "retried", "held"):
            text = one.message
            yield TextEvent(
                name=f"sms.text.{one.came_to}",
                subject=f"text.{text.retry_id}",
                shown=one.came_to,
                people={"customer": text.customer_id, "business": text.business_id, "send-log": text.send_log_id},
                payload={"why": one.why, "code": one.code, "sid": text.sid, "failures": text.failures},
            )


# The doctor


def doctor_page(findings: Sequence[Finding]) -> Page:
    """What it found: what is bad first, then the warnings, then what is in order."""
    bad = [one for one in findings if not one.ok]
    warnings = [one for one in findings if one.ok and one.advice]
    fine = [one for one in findings if one.ok and not one.advice]
    name = f"bad {len(bad)} · warnings {len(warnings)} · ok {len(fine)}"
    told: list[Told] = [name, "Seen from where the runs happen: their environment, their network, their clock."]
    for title, found in (("🔴 Bad", bad), ("🟠 Warnings", warnings), ("🟢 In order", fine)):
        told += [Heading(title), *map(_finding, found)] if found else []
    lines = [*(f"bad  {_finding(one)}" for one in bad), *(f"warn {_finding(one)}" for one in warnings)]
    return Page(name, name, markdown(told), (name, *lines))


def _finding(finding: Finding) -> str:
    return f"{finding.subject}: {finding.advice}" if finding.advice else finding.subject
