"""One run for its reader: the name on the runs list, and the page behind it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from smsretry.desk.pages.charts import bars
from smsretry.desk.pages.form_links import Forms, levers
from smsretry.desk.pages.markdown import feed, listed, page, plain, run_page, table
from smsretry.desk.pages.outcomes import Color, Seen, badge
from smsretry.desk.questions.explanation import Story
from smsretry.desk.questions.queue_status import Standing
from smsretry.retry.answers import InterruptedRun, Recovered
from smsretry.sending.summary import RunSummary

TOLD_IN_FULL: Final = 20
"""Texts that need a person, of which one page tells in full."""
_NAME_LENGTH: Final = 120
_ORDER: Final = ("sent", "failed", "held", "errors", "in doubt", "cancelled", "lost", "waiting")
"""The numbers of a run's name, as far as it matters which comes first."""
_WAITING: Final = ("deferred", "retrying", "given back")
"""What goes on by itself is one number."""
_FIRST: Final[tuple[Color, ...]] = ("red", "orange", "green", "violet")


@dataclass(frozen=True, slots=True)
class RunEvent:
    """What one run announces of the whole queue."""

    name: str
    payload: dict[str, str | int]


def badge_of_many(seen: Sequence[Seen]) -> tuple[str, Color]:
    """What a list shows of several texts: their numbers, and the color of what needs somebody most."""
    results = [one.result for one in seen if one.result]
    run = RunSummary.of(results=results, errors=len(seen) - len(results))
    colors = {badge(one)[1] for one in seen}
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
    """Everything that is known of a run when its work is done."""

    summary: RunSummary
    seen: Sequence[Seen]
    recovered: Sequence[Recovered]
    interrupted: Sequence[InterruptedRun]
    circuit_was_open: bool
    circuit_closed: bool
    before: Standing | None
    after: Standing | None

    @property
    def idle(self) -> bool:
        """Nothing was done, and nothing need be told."""
        return self.summary.idle and not self.interrupted

    @property
    def numbers(self) -> str:
        """`sent 24 · failed 2 · waiting 11`, or `idle`."""
        run = self.summary
        recovered = "" if run.claimed or not run.recovered else f"recovered {run.recovered}"
        return _counts(run) or recovered or ("idle" if self.idle else "nothing to send")

    @property
    def name(self) -> str:
        """The numbers; before them why sending stopped, if it did."""
        stopped = f"stopped: {self.summary.stopped_because} · " if self.summary.stopped_because else ""
        room = _NAME_LENGTH - len(self.numbers)
        return f"{stopped if len(stopped) <= room else stopped[: room - 4] + '… · '}{self.numbers}"

    def events(self) -> Iterator[RunEvent]:
        """What somebody may want to be told of at once."""
        run, standing = self.summary, self.after or self.before
        if run.circuit_open and not self.circuit_was_open:
            yield RunEvent("sms.queue.circuit-opened", {"why": run.stopped_because or ""})
        if self.circuit_closed:
            yield RunEvent("sms.queue.circuit-closed", {})
        if standing and standing.overdue_seconds > standing.late_seconds:
            minutes, texts = int(standing.overdue_seconds // 60), standing.queue.get("due", 0)
            yield RunEvent("sms.queue.backlog", {"minutes": minutes, "texts": texts})
        if held := sum(bool(s.result and s.result.fate == "Held") and not s.claim.held for s in self.seen):
            yield RunEvent("sms.queue.held", {"texts": held})
        if dead := sum(bool(s.result and s.result.fate == "Failed") for s in self.seen):
            yield RunEvent("sms.queue.dead-letters", {"texts": dead})

    def markdown(self, stories: Sequence[Story], forms: Forms) -> str:
        """The page. `stories`: of texts that need a person, at most `TOLD_IN_FULL` of them."""
        needing = [seen for seen in self.seen if seen.needs_person]
        return page(
            f"# {plain(self.numbers)}",
            f"**{plain(self.summary)}**",
            listed(f"{plain(run)}: [its page]({run_page(run.id)})" for run in self.interrupted),
            self._picture(),
            _needing(needing, stories, forms),
            self._queue(),
        )

    def _picture(self) -> str:
        counts = [(name, count) for name, count in self.summary.counts.items() if name != "lost"]
        return f"![what the texts came to]({bars(counts, title='texts of this run')})" if counts else ""

    def _queue(self) -> str:
        before, after = self.before, self.after
        if before is None or after is None:
            return ""
        states = [state for state in after.STATES if state in before.queue or state in after.queue]
        rows = [
            [state.replace("_", " "), str(before.queue.get(state, 0)), str(after.queue.get(state, 0))]
            for state in states
        ]
        total = ["all", str(before.depth), str(after.depth)]
        return page("## The queue", table(["texts", "before", "after"], [*rows, total]))


def _needing(needing: Sequence[Seen], stories: Sequence[Story], forms: Forms) -> str:
    """The texts that need a person: all that is known of the first ones, and the number of the others."""
    if not needing:
        return ""
    known = {story.text.retry_id: story for story in stories}
    entries = [_entry(seen, known.get(seen.claim.id), forms) for seen in needing[:TOLD_IN_FULL]]
    more = len(needing) - len(entries)
    others = f"And {more} more: the red ones among this run's task runs." if more else ""
    return page("## These need a person", "\n".join(entries), others)


def _entry(seen: Seen, story: Story | None, forms: Forms) -> str:
    """One text as a list within a list, which fits any window; a table of ids does not."""
    claim = seen.claim
    business = plain(story.text.business) if story and story.text.business else str(claim.business_id)
    attempts = story.text.attempts if story else claim.attempt_count
    told = [
        f"text {feed('text', claim.id, str(claim.id))}",
        f"customer {feed('customer', claim.customer_id, str(claim.customer_id))} {claim.masked}"
        f" of {feed('business', claim.business_id, business)}",
        f"{attempts} of {claim.max_attempts} attempts were counted",
    ]
    if story:
        told += [f"next: {plain(story.next)}", *(f"you can: {line}" for line in levers(story, forms))]
    return "\n".join([f"- **{badge(seen)[0]}**: {plain(seen.why)}", *(f"    - {line}" for line in told)])
