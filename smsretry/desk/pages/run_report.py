"""One run for a person: its name on the runs list, and its page."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from smsretry.desk.pages.answers import IDLE, action_links
from smsretry.desk.pages.markdown import FormAddress, outline, page, plain
from smsretry.desk.pages.outcomes import Color, ProcessedText, badge
from smsretry.desk.questions.explanation import Explanation
from smsretry.desk.questions.queue_status import QueueStatus
from smsretry.retry.answers import InterruptedRun, Recovered
from smsretry.sending.summary import RunSummary

SHOWN_IN_FULL: Final = 20
"""How many texts that need a person one page shows in full."""
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


def about_texts(codes: Iterable[int | None], customers: Iterable[UUID | None]) -> dict[str, str]:
    """For an alert: the provider's codes, and the ids of the first customers."""
    ids = list(dict.fromkeys(str(one) for one in customers if one))
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return {
        "codes": ", ".join(str(code) for code in sorted({code for code in codes if code})),
        "customers": f"{', '.join(ids[:_NAMED])}{more}",
    }


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
    return " · ".join(f"{name} {counts[name]}" for name in sorted(counts, key=_place))


def _place(name: str) -> int:
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)


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
        fates = [(one.result.fate, one) for one in self.processed if one.result]
        if held := [one for fate, one in fates if fate == "Held" and not one.claim.held and self._alarms(one)]:
            yield RunEvent("sms.queue.held", {"texts": len(held), **_about(held)})
        if dead := [one for fate, one in fates if fate == "Failed" and self._alarms(one)]:
            yield RunEvent("sms.queue.dead-letters", {"texts": len(dead), **_about(dead)})

    def _alarms(self, processed: ProcessedText) -> bool:
        """Whether a text that needs a person is announced. In staging it is only shown: nobody waits for it.

        That texts wait because production is taken for staging is announced everywhere.
        """
        code = processed.result.why_code if processed.result else None
        return self.summary.texts_only is None or code == "mark_mismatch"

    def markdown(self, explanations: Sequence[Explanation], forms: FormAddress) -> str:
        """The page. `explanations`: of texts that need a person, at most `SHOWN_IN_FULL` of them."""
        return page(
            f"# {plain(self.numbers)}",
            f"**{plain(self.summary)}**",
            outline(map(str, self.interrupted)),
            self._needing_person({one.text.retry_id: one for one in explanations}, forms),
            self._queue(),
        )

    def _needing_person(self, explanations: Mapping[UUID, Explanation], forms: FormAddress) -> str:
        """The texts that need a person: all that is known of the first ones, and the number of the others."""
        needing = [one for one in self.processed if one.needs_person]
        if not needing:
            return ""
        entries = [_entry(one, explanations.get(one.claim.id), forms) for one in needing[:SHOWN_IN_FULL]]
        more = len(needing) - len(entries)
        others = f"And {more} more: the red ones among this run's task runs." if more else ""
        return page("## These need a person", "\n".join(entries), others)

    def _queue(self) -> str:
        before, after = self.before, self.after
        if before is None or after is None:
            return ""
        states = {state: (before.queue.get(state, 0), after.queue.get(state, 0)) for state in after.STATES}
        numbers = {"all": (before.depth, after.depth), **{name: texts for name, texts in states.items() if any(texts)}}
        lines = (f"{name.replace('_', ' ')}: {was} before, {now} now" for name, (was, now) in numbers.items())
        return page("## The queue", outline(lines))


def _about(texts: Sequence[ProcessedText]) -> dict[str, str]:
    codes = [one.result.code for one in texts if one.result]
    return about_texts(codes, [one.claim.customer_id for one in texts])


def _entry(processed: ProcessedText, explanation: Explanation | None, forms: FormAddress) -> str:
    """One text, with what happens next and what a person can do. What happened is left to `sms-explain`."""
    claim = processed.claim
    lines = [f"row {claim.id}", f"customer {claim.customer_id}, {claim.masked}", f"business {claim.business_id}"]
    if explanation:
        _, *lines = explanation.lines(history=False)
    links = action_links(explanation, forms) if explanation else {}
    heading = f"- **{badge(processed)[0]}**, {plain(claim.masked)}: {plain(processed.why)}"
    return f"{heading}\n{outline((f' {line}' for line in lines), links)}"
