"""The one window that all the rules of a text leave open.

A rule is a week of half-open spans and, for some, a calendar of days on which nothing may go out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache, reduce
from typing import Final

from smsretry.quiet_hours.calendars import holidays_in
from smsretry.quiet_hours.rules import DAY_NAMES, FEDERAL, Day, Rule, Week, country_rules, state_rules
from smsretry.words import MessageClass, RuleSet


@dataclass(frozen=True, slots=True)
class Window:
    """What all the rules of one text permit."""

    rules: tuple[Rule, ...]
    week: Week
    text: str
    calendars: tuple[str, ...] = ()
    """Nothing on the holidays of these."""
    stopped: str | None = None
    """The state whose texts an operator has stopped."""
    cap: Rule | None = None
    """The rule that permits the fewest texts a day."""

    def spans(self, day: date) -> Day:
        """The spans of one calendar day."""
        for calendar in self.calendars:
            if day in holidays_in(calendar, day.year):
                return ()
        return self.week[day.weekday()]


FEDERAL_WINDOW: Final = Window((FEDERAL,), FEDERAL.week, "08:00–21:00")


@lru_cache(maxsize=4096)
def window_of(
    country: str | None,
    states: tuple[str, ...],
    *,
    rules: RuleSet = "us_states",
    message_class: MessageClass = "marketing",
    own: Week | None = None,
    stopped_states: frozenset[str] = frozenset(),
) -> Window:
    """The window of a text to someone in these states, or with a number of this country.

    A business's own window holds for every text; a stop holds for marketing, under either set of rules.
    """
    applying = [FEDERAL]
    if rules == "us_states" and message_class == "marketing":
        applying += [state_rules()[state] for state in states if state in state_rules()]
        if country not in (None, "US"):
            applying.append(country_rules().get(country or "", country_rules()["*"]))
    if own is not None:
        applying.append(Rule("own", own, "the business's setting"))
    week = reduce(_both, (rule.week for rule in applying))
    calendars = tuple(rule.calendar for rule in applying if rule.calendar)
    stopped = (
        next((state for state in states if state in stopped_states), None) if message_class == "marketing" else None
    )
    caps = [rule for rule in applying if rule.daily_cap is not None]
    cap = min(caps, key=lambda rule: rule.daily_cap or 0, default=None)
    return Window(tuple(applying), week, _text(week, applying), calendars, stopped, cap)


def _both(one: Week, other: Week) -> Week:
    mon, tue, wed, thu, fri, sat, sun = (_common(a, b) for a, b in zip(one, other, strict=True))
    return (mon, tue, wed, thu, fri, sat, sun)


def _common(one: Day, other: Day) -> Day:
    cuts = ((max(a, c), min(b, d)) for a, b in one for c, d in other)
    return tuple(sorted((start, end) for start, end in cuts if start < end))


def _text(week: Week, rules: Iterable[Rule]) -> str:
    """The hours, with the rules when there are several."""
    ids = [rule.rule_id for rule in rules]
    return hours_text(week) if len(ids) == 1 else f"{hours_text(week)} ({', '.join(ids)})"


def hours_text(week: Week) -> str:
    """`08:00–21:00`, or `Mon–Fri 09:00–18:00, Sat 10:00–17:00, Sun closed`."""
    runs: list[tuple[int, int, Day]] = []
    for number, day in enumerate(week):
        if runs and runs[-1][2] == day:
            runs[-1] = (runs[-1][0], number, day)
        else:
            runs.append((number, number, day))
    return ", ".join(f"{_run(first, last)}{_hours(day)}" for first, last, day in runs)


def _run(first: int, last: int) -> str:
    if (first, last) == (0, 6):
        return ""
    return f"{DAY_NAMES[first]} " if first == last else f"{DAY_NAMES[first]}–{DAY_NAMES[last]} "


def _hours(day: Day) -> str:
    return " and ".join(f"{a // 60:02}:{a % 60:02}–{b // 60:02}:{b % 60:02}" for a, b in day) or "closed"
