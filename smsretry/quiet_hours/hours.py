"""The hours of a week: reading, narrowing and writing them.

Everything here is half-open, `[opens, closes)`, and counts minutes after midnight on somebody's local clock.
"""

import re
from collections.abc import Iterable
from datetime import time
from typing import Final, TypeAlias

Span: TypeAlias = tuple[int, int]
"""From when to when, half-open, in minutes after midnight."""
Day: TypeAlias = tuple[Span, ...]
"""Spans in order."""
Week: TypeAlias = tuple[Day, ...]
"""Seven days, Monday first."""

DAY_NAMES: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
DAY_MINUTES: Final = 24 * 60
_NAME: Final = "|".join(DAY_NAMES)
_ENTRY: Final = (
    rf"(?:({_NAME})(?:-({_NAME}))? )?([0-9]{{2}}:[0-9]{{2}})-([0-9]{{2}}:[0-9]{{2}})"
)
"""Compiled on first use: that takes a millisecond, and few processes read hours."""


def parse_span(opens: str, closes: str) -> Span:
    """The minutes from `HH:MM` up to `HH:MM`; `24:00` is the day's end.

    Raises:
        ValueError: one of them is no time of day, or the span would end before it begins.
    """
    start = _minute_of_day(opens)
    end = _minute_of_day(closes)
    if start >= end:
        raise ValueError(f"'{opens}-{closes}' closes before it opens")
    return start, end


def parse_week(text: str) -> Week:
    """A business's own hours, as `businesses.sms_hours` holds them.

    `09:00-18:00` for every day, or different hours by day: `Mon-Fri 09:00-18:00, Sat 10:00-12:00, Sat 13:00-16:00`.
    A day that is not named is closed. `24:00` is the day's end.

    Raises:
        ValueError: the text cannot be read as hours. The message says how to write them.
    """
    spans: dict[int, list[Span]] = {day: [] for day in range(7)}
    try:
        for entry in text.split(","):
            days, hours = _parse_entry(entry.strip())
            for day in days:
                spans[day].append(hours)
    except ValueError as error:
        raise ValueError(
            f"{error}; write hours such as Mon-Fri 09:00-18:00, Sat 10:00-16:00"
        ) from None
    return tuple(_merge(spans[day]) for day in range(7))


def in_common(week: Week, other_week: Week) -> Week:
    """The hours that belong to both weeks."""
    pairs = zip(week, other_week, strict=True)
    return tuple(_common_spans(day, other_day) for day, other_day in pairs)


def hours_text(week: Week) -> str:
    """`08:00–21:00`, or `Mon–Fri 09:00–18:00, Sat 10:00–17:00, Sun closed`."""
    runs: list[tuple[int, int, Day]] = []
    for number, day in enumerate(week):
        if runs and runs[-1][2] == day:
            runs[-1] = (runs[-1][0], number, day)
        else:
            runs.append((number, number, day))
    return ", ".join(
        f"{_run_text(first_day, last_day)}{_day_text(day)}"
        for first_day, last_day, day in runs
    )


def _parse_entry(entry: str) -> tuple[range, Span]:
    match = re.fullmatch(_ENTRY, entry)
    if match is None:
        raise ValueError(f"{entry[:40]!r} is no span of hours")
    return _days(match[1], match[2]), parse_span(match[3], match[4])


def _minute_of_day(text: str) -> int:
    if text == "24:00":
        return DAY_MINUTES
    moment = time.fromisoformat(text)
    return moment.hour * 60 + moment.minute


def _days(first_day: str | None, last_day: str | None) -> range:
    if first_day is None:
        return range(7)
    start = DAY_NAMES.index(first_day)
    end = DAY_NAMES.index(last_day or first_day)
    if start > end:
        raise ValueError(
            f"{first_day}-{last_day} runs backwards: the week begins on Monday"
        )
    return range(start, end + 1)


def _merge(spans: Iterable[Span]) -> Day:
    """The spans in order. Those that touch or overlap become one."""
    merged: list[Span] = []
    for opens, closes in sorted(spans):
        if merged and opens <= merged[-1][1]:
            opens, end = merged.pop()
            closes = max(end, closes)
        merged.append((opens, closes))
    return tuple(merged)


def _common_spans(day: Day, other_day: Day) -> Day:
    spans = []
    for opens, closes in day:
        for other_opens, other_closes in other_day:
            start = max(opens, other_opens)
            end = min(closes, other_closes)
            if start < end:
                spans.append((start, end))
    return tuple(sorted(spans))


def _run_text(first_day: int, last_day: int) -> str:
    if last_day - first_day == len(DAY_NAMES) - 1:
        return ""
    if first_day == last_day:
        return f"{DAY_NAMES[first_day]} "
    return f"{DAY_NAMES[first_day]}–{DAY_NAMES[last_day]} "


def _day_text(day: Day) -> str:
    if not day:
        return "closed"
    return " and ".join(
        f"{_clock_text(opens)}–{_clock_text(closes)}" for opens, closes in day
    )


def _clock_text(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
