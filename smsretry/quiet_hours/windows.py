"""The one window that all the rules of a text leave open.

A rule is a week of half-open spans and, for some, a calendar of days on which nothing may go out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache, reduce
from typing import Final, get_args

from smsretry.quiet_hours.calendars import holidays_in
from smsretry.quiet_hours.hours import Day, Week, hours_text, in_common
from smsretry.quiet_hours.rules import ANYWHERE_ELSE, COUNTRY_RULES, FEDERAL, STATE_RULES, Rule
from smsretry.words import MessageClass, RuleSet


@dataclass(frozen=True, slots=True)
class Window:
    """What all the rules of one text permit."""

    rules: tuple[Rule, ...]
    week: Week
    text: str
    calendars: tuple[str, ...] = ()
    """Nothing may go out on the holidays of these."""
    stopped: str | None = None
    """The state to which an operator has stopped all marketing texts."""
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

    A business's own hours bind every text. A stop binds marketing texts, under either set of rules.

    Raises:
        ValueError: `rules` or `message_class` is a word that this version does not know. Which rules it stands for
            would be a guess.
    """
    _known("rules", rules, get_args(RuleSet))
    _known("message_class", message_class, get_args(MessageClass))
    applying = [FEDERAL]
    if rules == "us_states" and message_class == "marketing":
        applying += _of_place(country, states)
    if own is not None:
        applying.append(Rule("own", own, "the business's setting"))
    week = reduce(in_common, (rule.week for rule in applying))
    calendars = tuple(rule.calendar for rule in applying if rule.calendar)
    stops = stopped_states if message_class == "marketing" else frozenset()
    stopped = next((state for state in states if state in stops), None)
    caps = [rule for rule in applying if rule.daily_cap is not None]
    cap = min(caps, key=lambda rule: rule.daily_cap or 0, default=None)
    return Window(tuple(applying), week, _text(week, applying), calendars, stopped, cap)


def _of_place(country: str | None, states: tuple[str, ...]) -> list[Rule]:
    """The states' own rules, and the custom of a number's country."""
    found = [STATE_RULES[state] for state in states if state in STATE_RULES]
    if country not in (None, "US"):
        found.append(COUNTRY_RULES.get(country or "", ANYWHERE_ELSE))
    return found


def _known(name: str, word: str, words: tuple[str, ...]) -> None:
    if word not in words:
        raise ValueError(f"{name} is {word!r}: use {' or '.join(words)}")


def _text(week: Week, rules: Iterable[Rule]) -> str:
    """The hours, followed by the rules when there are several."""
    ids = [rule.rule_id for rule in rules]
    return hours_text(week) if len(ids) == 1 else f"{hours_text(week)} ({', '.join(ids)})"
