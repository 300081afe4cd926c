"""How late texts go out on the deployed schedule. By hand: `python -m tests.benchmarks.punctual`.

For some minutes texts are queued one by one while `flows.serve` runs the flow every minute. Every other one is due at
once, the others a minute later, as retries are. Late is what Twilio's stand-in took after its due time. The first
minute's are left out: the run before them found nothing to wait for and ended, so they wait for the next one.
"""

import subprocess
import sys
import time
from datetime import datetime, timedelta
from statistics import median, quantiles

from tests.benchmarks.rig import DAY, Rig, rig
from tests.benchmarks.table import show
from tests.support.options import parser

AHEAD = 60
"""Seconds from the queueing of every other text to its due time."""


def queue(at: Rig, minutes: float, per_second: float) -> dict[str, datetime]:
    """Queue texts for so long, and a minute before; when each number's is due."""
    due: dict[str, datetime] = {}
    began = time.monotonic()
    for number in range(int((minutes + 1) * 60 * per_second)):
        time.sleep(max(began + number / per_second - time.monotonic(), 0))
        due_at = at.stack.now() + timedelta(seconds=number % 2 * AHEAD)
        phone = f"+1212{5550000 + number}"
        at.queue("shop", phone, due_at=due_at)
        due[phone] = due_at
    return due


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
        late = {
            entry.to: (entry.accepted_at - due[entry.to]).total_seconds()
            for entry in at.entries
        }
    assert late.keys() == due.keys()
    steady = [late[phone] for phone in list(due)[int(60 * options.per_second) :]]
    rows = [
        [name, len(kind), median(kind), quantiles(kind, n=100)[98], max(kind)]
        for name, kind in (
            ("due at once", steady[::2]),
            ("queued a minute ahead", steady[1::2]),
        )
    ]
    show(
        f"{options.per_second:g} texts a second for {options.minutes:g} minutes: seconds late",
        ["", "texts", "median", "p99", "worst"],
        rows,
    )


if __name__ == "__main__":
    main()
