"""All tries, and what they came to."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from tests.proofs.interrupts.plans import Plan
from tests.proofs.interrupts.tries import Outcome, attempt


@dataclass(frozen=True, slots=True)
class Report:
    """What was counted."""

    outcomes: Sequence[Outcome]

    @property
    def left_running(self) -> int:
        """Tries after which a process still ran."""
        return sum(bool(outcome.running) for outcome in self.outcomes)

    @property
    def clean(self) -> bool:
        """Whether every promise was kept."""
        return not any(self._broken().values())

    def __str__(self) -> str:
        started = Counter(outcome.plan.kind for outcome in self.outcomes)
        first = sum(outcome.before_our_first_line for outcome in self.outcomes)
        slowest = max((outcome.seconds for outcome in self.outcomes), default=0)
        told: dict[str, object] = {"tries": len(self.outcomes), **{f"  {kind}": n for kind, n in started.items()}}
        told |= {"  ended before Ctrl-C": sum(outcome.code in (0, 1) for outcome in self.outcomes)}
        told |= {"  in Python's own start": first, "slowest end": f"{slowest:.1f} s", **self._broken()}
        return "\n".join(f"{name:<32}{value:>8}" for name, value in told.items())

    def details(self) -> list[str]:
        """Of each try that broke a promise."""
        bad = [outcome for outcome in self.outcomes if not Report([outcome]).clean]
        return [
            f"{outcome.plan}: exit {outcome.code}, running {outcome.running}, lost {outcome.lost}, "
            f"left {outcome.left_behind}\n{outcome.output[-1500:]}{outcome.guard_log[-500:]}"
            for outcome in bad
        ]

    def _broken(self) -> dict[str, int]:
        return {
            "left running": self.left_running,
            "deleted that was not theirs": sum(len(outcome.lost) for outcome in self.outcomes),
            "tracebacks": sum(outcome.traceback for outcome in self.outcomes),
            "said more than once to have ended": sum(outcome.output.count("Stopped.") > 1 for outcome in self.outcomes),
            "left in the temporary directory": sum(bool(outcome.left_behind) for outcome in self.outcomes),
            "did not end": sum(outcome.code is None for outcome in self.outcomes),
            "wrong exit code": sum(not outcome.code_is_right for outcome in self.outcomes),
        }


def run(tries: Sequence[Plan], *, jobs: int, mended: bool = True) -> Report:
    """Make all tries, `jobs` at a time."""
    with ThreadPoolExecutor(jobs) as pool:
        return Report(list(pool.map(partial(attempt, mended=mended), tries)))
