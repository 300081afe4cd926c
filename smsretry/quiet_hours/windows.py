"""The one window that all the rules of a text leave open.

A rule is a week of half-open spans and, for some, a calendar of days on which nothing may go out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Final, get_args

from smsretry.quiet_hours.calendars import closed_days
from smsretry.quiet_hours.hours import Day, Week, hours_text
from smsretry.quiet_hours.rules import (
    ANYWHERE_ELSE,
    COUNTRY_RULES,
    EVERY_STATE,
    EVERY_STATES_RULES,
    FEDERAL,
    STATE_RULES,
    US_STATES,
    Names,
    Rule,
    lowest_cap,
    strictest,
)
from smsretry.vocabulary import MessageClass, RuleSet


@dataclass(frozen=True, slots=True)
class Window:
    """The hours that all the rules of one text permit."""

    rules: tuple[Rule, ...]
    week: Week
    text: str
    calendars: Names = ()
    """Nothing may go out on the holidays of these."""
    stopped: str | None = None
    """The state to which an operator has stopped all marketing texts."""
    cap: Rule | None = None
    """The rule that permits the fewest texts a day."""

    def spans(self, day: date) -> Day:
        """The spans of one calendar day."""
        if self.calendars and day in closed_days(self.calendars, day.year):
            return ()
        return self.week[day.weekday()]


FEDERAL_WINDOW: Final = Window(
    rules=(FEDERAL,),
    week=FEDERAL.week,
    text="08:00–21:00",
)


@lru_cache(maxsize=4096)
def window_of(
    country: str | None,
    states: Names,
    *,
    rules: RuleSet = "us_states",
    message_class: MessageClass = "marketing",
    own_window: Week | None = None,
    stopped_states: frozenset[str] = frozenset(),
) -> Window:
    """The window of a text to someone in these states, or with a number of this country.

    A business's own hours bind every text. A stop binds marketing texts, under either set of rules. `EVERY_STATE` among
    the states means that the state is unknown: then all their rules hold, and a stop of any of them.

    Raises:
        ValueError: `rules`, `message_class` or a stopped state is a word that this version does not know. Which rules
            or state it stands for would be a guess.
    """
    _check_word("rules", rules, get_args(RuleSet))
    _check_word("message_class", message_class, get_args(MessageClass))
    if unknown_states := sorted(stopped_states - US_STATES):
        raise ValueError(
            f"stopped_states has {unknown_states[0]!r}: use two letters of a US state or territory, such as LA"
        )
    applicable = [FEDERAL]
    if rules == "us_states" and message_class == "marketing":
        applicable += _place_rules(country, states)
    if own_window is not None:
        applicable.append(
            Rule(
                rule_id="own",
                week=own_window,
                source="the business's setting",
            )
        )
    stopped_state = None
    if message_class == "marketing":
        stopped_state = _stopped_state(states, stopped_states)
    common = strictest(
        applicable,
        rule_id="common",
        source="the rules of a text",
    )
    return Window(
        rules=tuple(applicable),
        week=common.week,
        text=_window_text(common.week, applicable),
        calendars=common.calendars,
        stopped=stopped_state,
        cap=lowest_cap(applicable),
    )


def _place_rules(country: str | None, states: Names) -> list[Rule]:
    """The states' own rules, and the custom of a number's country."""
    if EVERY_STATE in states:
        rules = [EVERY_STATES_RULES]
    else:
        rules = [STATE_RULES[state] for state in states if state in STATE_RULES]
    if country and country != "US":
        rules.append(COUNTRY_RULES.get(country, ANYWHERE_ELSE))
    return rules


def _stopped_state(states: Names, stopped_states: frozenset[str]) -> str | None:
    """The first state that has a stop. An unknown state may be any of them."""
    if EVERY_STATE in states:
        return min(stopped_states, default=None)
    return next((state for state in states if state in stopped_states), None)


def _check_word(name: str, word: str, words: Names) -> None:
    if word not in words:
        raise ValueError(f"{name} is {word!r}: use {' or '.join(words)}")


def _window_text(week: Week, rules: Iterable[Rule]) -> str:
    """The hours, followed by the rules when there are several."""
    hours = hours_text(week)
    ids = [rule.rule_id for rule in rules]
    return hours if len(ids) == 1 else f"{hours} ({', '.join(ids)})"
