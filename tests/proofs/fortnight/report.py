"""A whole fortnight, and its table."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from smsretry.local.stack import Stack
from smsretry.retry.profile import DEFAULT, Profile
from tests.proofs.fortnight.checks import KINDS, Verdict, judge
from tests.proofs.fortnight.people import Town
from tests.proofs.fortnight.reasons import unexplained
from tests.proofs.fortnight.simulation import Record, live
from tests.proofs.fortnight.stories import Story, collect
from tests.proofs.fortnight.town import invent
from tests.support.stacks import running_stack

AUTUMN: Final = datetime(2026, 10, 29, 12, tzinfo=UTC)
"""A Thursday. Clocks change in America on Sunday 1 November; closed are Election Day (Pennsylvania) on the 3rd, and
Veterans Day and Armistice Day on the 11th."""


@dataclass(frozen=True, slots=True)
class Report:
    """What came of it, and what the checks say."""

    numbers: dict[str, object]
    verdict: Verdict

    def __str__(self) -> str:
        rule = "─" * 46
        lines = [f"{name:<34}{value!s:>12}" for name, value in self.numbers.items()]
        found = [f"{kind:<34}{self.verdict[kind]:>12}" for kind in KINDS]
        return "\n".join([rule, *lines, rule, *found, rule])


def fortnight(*, texts: int, days: int = 14, seed: str = "1", start: datetime = AUTUMN) -> Report:
    """The long run, on a stack of its own."""
    with running_stack() as stack:
        return run(stack, invent(texts, days=days, start=start, seed=seed))


def run(stack: Stack, town: Town, *, profile: Profile = DEFAULT) -> Report:
    """On an empty stack: let the time go by, then judge."""
    record = live(stack, town, profile=profile)
    stories = collect(stack, town, record)
    verdict = judge(town, record, stories)
    verdict.found["unexplained"] += unexplained(stories, record)
    return Report(_numbers(town, record, stories, verdict), verdict)


def _numbers(town: Town, record: Record, stories: list[Story], verdict: Verdict) -> dict[str, object]:
    status = Counter(story.row["status"] for story in stories)
    why = Counter(wait.why_code for wait in record.waits)
    ended = Counter(story.row["why_code"] for story in stories if story.row["status"] != "completed")
    outcomes = Counter(attempt["outcome"] for story in stories for attempt in story.attempts)
    return {
        "from": f"{town.start:%Y-%m-%d}",
        "days": town.days,
        "texts": len(stories),
        "people": len(town.customers),
        "  in so many sets of zones and rules": len({customer.who for customer in town.customers}),
        "completed": status["completed"],
        "failed": status["failed"],
        "cancelled": status["cancelled"],
        "still waiting": status["pending"],
        "deferred for quiet hours": why["quiet_hours"],
        "deferred for a daily cap": why["daily_cap"],
        "requests to Twilio": sum(outcomes.values()),
        "  refused": outcomes["rejected"],
        "  in doubt for a while": sum(bool(a["settled_by"] == "reconcile") for s in stories for a in s.attempts),
        "people who opted out": len({s.text.customer.id for s in stories if s.opted_out_at}),
        "  texts cancelled for it": ended["opted_out"],
        "refused or held": sum(_refused_or_held(s) for s in stories),
        "asked whether it was on time": verdict.judged,
        "runs of the worker": record.passes,
        "took, s": round(record.seconds),
    }


def _refused_or_held(story: Story) -> bool:
    """Whether it was never tried for a reason of its own, or waits for a person, or did so to its end."""
    row = story.row
    expired = (row["last_error"] or "").startswith("Expired before it could be sent. ")
    return bool(row["held_since"] or expired or (row["status"] == "failed" and not story.attempts))
