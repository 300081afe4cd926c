"""The rules on when a text may go out, each with its id and source: federal, the states', other countries'.

Engineering guidance from the cited sources, not legal advice; a row of low confidence is used in its strict reading.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import time
from functools import cache
from typing import Final, TypeAlias

from smsretry import data

Day: TypeAlias = tuple[tuple[int, int], ...]
"""Half-open spans in minutes after midnight, in order."""
Week: TypeAlias = tuple[Day, Day, Day, Day, Day, Day, Day]
"""Monday first."""

DAY_NAMES: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_NAME: Final = "|".join(DAY_NAMES)
_ENTRY: Final = re.compile(rf"(?:({_NAME})(?:-({_NAME}))? )?([0-9]{{2}}:[0-9]{{2}})-([0-9]{{2}}:[0-9]{{2}})")


@dataclass(frozen=True, slots=True)
class Rule:
    """When one rule permits a text."""

    rule_id: str
    week: Week
    source: str
    calendar: str | None = None
    """`US-LA`: nothing on that state's holidays."""
    daily_cap: int | None = None
    """Texts to one person in 24 hours, at most."""

    @property
    def cap_text(self) -> str:
        """The cap in words, for people and for the record."""
        return f"Daily cap: {self.daily_cap} texts in 24 hours to one person ({self.rule_id})"


def _minutes(clock: time) -> int:
    return clock.hour * 60 + clock.minute


def daily(opens: time, closes: time) -> Week:
    """The same span every day; `time(0)` as closing means midnight at its end."""
    day: Day = ((_minutes(opens), _minutes(closes) or 1440),)
    return (day,) * 7


def parse_week(text: str) -> Week:
    """A business's own hours, as `businesses.sms_hours` holds them.

    `09:00-18:00` for every day, or days with theirs: `Mon-Fri 09:00-18:00, Sat 10:00-12:00, Sat 13:00-16:00`; a day
    that is not named is closed. `24:00` is the day's end.

    Raises:
        ValueError: it says nothing of the kind.
    """
    try:
        return _parse_week(text)
    except ValueError as error:
        raise ValueError(f"{error}; write hours such as Mon-Fri 09:00-18:00, Sat 10:00-16:00") from None


def _parse_week(text: str) -> Week:
    spans: dict[int, list[tuple[int, int]]] = {day: [] for day in range(7)}
    for entry in text.split(","):
        match = _ENTRY.fullmatch(entry.strip())
        if match is None:
            raise ValueError(f"{entry.strip()[:40]!r} is no span of hours")
        opens, closes = _clock(match[3]), _clock(match[4])
        if opens >= closes:
            raise ValueError(f"{entry.strip()[:40]!r} closes before it opens")
        for day in _days(match[1], match[2]):
            spans[day].append((opens, closes))
    mon, tue, wed, thu, fri, sat, sun = (tuple(_joined(sorted(spans[day]))) for day in range(7))
    return (mon, tue, wed, thu, fri, sat, sun)


def _clock(text: str) -> int:
    return 1440 if text == "24:00" else _minutes(time.fromisoformat(text))


def _days(first: str | None, last: str | None) -> range:
    if first is None:
        return range(7)
    start, end = DAY_NAMES.index(first), DAY_NAMES.index(last or first)
    if start > end:
        raise ValueError(f"{first}-{last} runs backwards: the week begins on Monday")
    return range(start, end + 1)


def _joined(spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Spans that touch or overlap, as one."""
    start, end = spans[0] if spans else (0, 0)
    for opens, closes in spans:
        if opens > end:
            yield start, end
            start = opens
        end = max(end, closes)
    if spans:
        yield start, end


FEDERAL: Final = Rule("federal", daily(time(8), time(21)), "47 CFR 64.1200(c)(1); 16 CFR 310.4(c)")


US_STATES: Final = frozenset(row["state"] for row in data.table("us_quiet_hours"))
"""Two-letter codes; with DC and PR."""


@cache
def state_rules() -> dict[str, Rule]:
    """The states that ask for more than the federal rule does."""
    ids = {row["state"]: row["rule_id"] for row in data.table("state_rule_ids")}
    rows = {row["state"]: row for row in data.table("us_quiet_hours")}
    return {
        state: Rule(
            rule_id,
            _week(rows[state]),
            f"{rows[state]['statute_citation']} (confidence {rows[state]['confidence']})",
            None if rows[state]["holidays_banned"] == "no" else f"US-{state}",
            int(cap.partition(" ")[0]) if (cap := rows[state]["daily_cap"]) else None,
        )
        for state, rule_id in ids.items()
    }


@cache
def country_rules() -> dict[str, Rule]:
    return {
        row["country"]: Rule(
            row["rule_id"], _week(row), f"{row['source']} (confidence {row['confidence']})", row["holidays"] or None
        )
        for row in data.table("country_windows")
    }


def _week(row: dict[str, str]) -> Week:
    weekday, saturday, sunday = (_day(row, name) for name in ("weekday", "saturday", "sunday"))
    return (weekday, weekday, weekday, weekday, weekday, saturday, sunday)


def _day(row: dict[str, str], name: str) -> Day:
    opens, closes = row[f"{name}_start"], row[f"{name}_end"]
    return ((_minutes(time.fromisoformat(opens)), _minutes(time.fromisoformat(closes))),) if opens else ()
