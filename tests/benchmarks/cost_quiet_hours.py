"""What one check costs, and what importing it costs. By hand: `python -m tests.benchmarks.cost_quiet_hours`."""

import subprocess
import sys
import time
import timeit
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from smsretry.quiet_hours.check import check_quiet_hours
from smsretry.quiet_hours.openings import _changes

DAY = datetime(2027, 1, 12, 18, 30, tzinfo=UTC)
NIGHT = datetime(2027, 1, 13, 5, 30, tzinfo=UTC)
NEW_YEAR = datetime(2027, 1, 1, 18, 30, tzinfo=UTC)
CASES: list[tuple[str, datetime, dict[str, Any]]] = [
    ("known zone, day", DAY, {"timezone": "America/New_York", "phone": "+12125550123"}),
    ("known zone, night", NIGHT, {"timezone": "America/New_York", "phone": "+12125550123"}),
    ("known zone, Louisiana, holiday", NEW_YEAR, {"timezone": "America/Chicago", "phone": "+12255550123"}),
    ("area code, one zone, night", NIGHT, {"timezone": None, "phone": "+12125550123"}),
    ("area code, two zones and the business's, day", DAY, {"phone": "+18505550123", "fallback": "America/Denver"}),
    ("area code, two zones and the business's, night", NIGHT, {"phone": "+18505550123", "fallback": "America/Denver"}),
    ("area code 867, six zones, night", NIGHT, {"phone": "+18675550123"}),
    ("unknown area code, every US zone, day", DAY, {"phone": "+13285550123"}),
    ("unknown area code, every US zone, night", NIGHT, {"phone": "+13285550123"}),
    ("a number in France, day", DAY, {"phone": "+33612345678"}),
]


def first_of_a_day(at: datetime, case: Mapping[str, Any]) -> float:
    """The middle of 99 checks that have to read the clocks: later ones of the same day, zones and rules need not."""
    arguments = {"timezone": None, **case}

    def check() -> float:
        _changes.cache_clear()
        began = time.perf_counter()
        check_quiet_hours(at=at, **arguments)
        return (time.perf_counter() - began) * 1e6

    return median(check() for _ in range(99))


def microseconds(at: datetime, case: Mapping[str, Any], *, next_closing: bool = False) -> tuple[float, float]:
    """The best and the middle of nine rounds, the instant a little later every time.

    Args:
        at: the first instant to ask about.
        case: the other arguments of the check.
        next_closing: whether the next window's closing is asked for, too.
    """
    arguments = {"timezone": None, **case}
    moments = [at + timedelta(seconds=second) for second in range(500)]

    def round_() -> None:
        for moment in moments:
            check = check_quiet_hours(at=moment, **arguments)
            if next_closing:
                _ = check.next_closes_at

    round_()
    times = [spent / len(moments) * 1e6 for spent in timeit.repeat(round_, number=1, repeat=9)]
    return min(times), median(times)


def import_milliseconds(statement: str) -> float:
    """How long a fresh interpreter takes for a statement, without its own start."""
    script = f"import time; t = time.perf_counter(); {statement}; print((time.perf_counter() - t) * 1000)"
    answers = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True) for _ in "12345"
    ]
    return min(float(answer.stdout) for answer in answers)


def main() -> None:
    """Print the table."""
    for name, at, case in CASES:
        best, middle = microseconds(at, case)
        first = first_of_a_day(at, case)
        print(f"{name:60} {best:7.1f} µs best {middle:7.1f} µs median {first:7.0f} µs the first of a day")
    for name, at, case in CASES[1], CASES[8]:
        best, middle = microseconds(at, case, next_closing=True)
        print(f"{name + ', and the next closing':60} {best:7.1f} µs best {middle:7.1f} µs median")
    for names in ("check_quiet_hours", "send_sms"):
        print(f"from smsretry import {names}: {import_milliseconds(f'from smsretry import {names}'):.0f} ms")
    holidays = "from smsretry.quiet_hours.calendars import holidays_in"
    first = import_milliseconds(f"{holidays}; holidays_in('US-LA', 2027)") - import_milliseconds(holidays)
    print(f"the first holiday looked up: {first:.0f} ms, once a process")


if __name__ == "__main__":
    main()
