"""How late texts go out on the deployed schedule. By hand: `python -m tests.benchmarks.punctual`.

For some minutes texts are queued one by one while `flows.serve` runs the flow every minute. Some are due at once, and
some a minute later, as retries are. Late is what Twilio's stand-in took after its due time. The first minute's are told
apart: the run before them found nothing to wait for and ended, so they wait for the next one. Its first text tells how
long after the schedule's second a run sends.
"""

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from statistics import median, quantiles

from tests.benchmarks.rig import DAY, Rig, rig
from tests.benchmarks.table import show
from tests.support.options import parser

AHEAD = 60
"""Seconds from the queueing of every other text to its due time."""
FIRST, AT_ONCE, QUEUED_AHEAD = (
    "the first minute",
    "due at once",
    "queued a minute ahead",
)


def queue(
    at: Rig, minutes: float, per_second: float
) -> dict[str, tuple[datetime, str]]:
    """Queue texts for so long, and a minute before; when each number's is due, and of which kind it is."""
    due: dict[str, tuple[datetime, str]] = {}
    began = time.monotonic()
    for number in range(int((minutes + 1) * 60 * per_second)):
        time.sleep(max(began + number / per_second - time.monotonic(), 0))
        phone, ahead = f"+1212{5550000 + number}", bool(number % 2)
        due_at = at.stack.now() + timedelta(seconds=AHEAD if ahead else 0)
        at.queue("shop", phone, due_at=due_at)
        steady = number >= 60 * per_second
        due[phone] = due_at, (QUEUED_AHEAD if ahead else AT_ONCE) if steady else FIRST
    return due


def lateness(
    at: Rig, due: Mapping[str, tuple[datetime, str]]
) -> dict[str, list[float]]:
    """Seconds by which each text was late, by its kind."""
    seconds_late: dict[str, list[float]] = {FIRST: [], AT_ONCE: [], QUEUED_AHEAD: []}
    for entry in at.entries:
        moment, kind = due[entry.to]
        seconds_late[kind].append((entry.accepted_at - moment).total_seconds())
    return seconds_late


def after_the_minute(at: Rig) -> float:
    """Seconds from the schedule's second to the first text of all."""
    earliest = min(entry.accepted_at for entry in at.entries)
    after_schedule = earliest - (
        at.stack.now() - datetime.now(UTC)
    )  # the stack's time is moved to a noon
    return after_schedule.second + after_schedule.microsecond / 1e6


def tell(name: str, late: Sequence[float]) -> list[object]:
    """One line of the table."""
    return [name, len(late), median(late), quantiles(late, n=100)[98], max(late)]


def main() -> None:
    """Measure, and print a table."""
    options = parser(__doc__, minutes=10.0, per_second=5.0).parse_args()
    with rig(prefect=True) as at:
        at.fill(0)
        at.stack.set_clock(DAY)
        runner = subprocess.Popen(
            [sys.executable, "-m", "flows.serve"],
            env=at.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            time.sleep(70)  # it has registered, and a minute has come
            due = queue(at, options.minutes, options.per_second)
            time.sleep(AHEAD + 65)
        finally:
            runner.terminate()
            runner.wait(60)
        late = lateness(at, due)
        assert sum(map(len, late.values())) == len(due)
        seconds = after_the_minute(at)
    rows = [tell(name, seconds) for name, seconds in late.items()]
    rows.append(
        tell("all after the first minute", [*late[AT_ONCE], *late[QUEUED_AHEAD]])
    )
    show(
        f"{options.per_second:g} texts a second for {options.minutes:g} minutes: seconds late",
        ["", "texts", "median", "p99", "worst"],
        rows,
    )
    sys.stdout.write(f"From the schedule's second to the first text: {seconds:.1f} s\n")


if __name__ == "__main__":
    main()
