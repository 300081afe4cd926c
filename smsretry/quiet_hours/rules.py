"""Rules about when a text may go out: the federal one, the states' and other countries', each with its id and source.

Engineering guidance from the cited sources, not legal advice. Where sources disagree, the tables hold the strictest
reading, and `confidence` says how sure it is.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Final, TypeAlias, TypeVar

from smsretry import data
from smsretry.quiet_hours.hours import Day, Week, in_common, parse_span

Row: TypeAlias = Mapping[str, str]
Names: TypeAlias = tuple[str, ...]
"""Names of zones, states or calendars."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Rule:
    """When one rule permits a text."""

    rule_id: str
    week: Week
    source: str
    calendars: Names = ()
    """`US-LA`: nothing on that state's holidays."""
    daily_cap: int | None = None
    """The most texts that one person may get in 24 hours."""

    @property
    def cap_text(self) -> str:
        """The cap in words, for people and for the record."""
        plural = "" if self.daily_cap == 1 else "s"
        return f"Daily cap: {self.daily_cap} text{plural} in 24 hours to one person ({self.rule_id})"


FEDERAL: Final = Rule(
    rule_id="federal",
    week=((parse_span("08:00", "21:00"),),) * 7,
    source="47 CFR 64.1200(c)(1); 16 CFR 310.4(c)",
)


def read_state_rules(rows: Iterable[Row]) -> dict[str, Rule | None]:
    """Each US state's own rule from the rows of `us_quiet_hours.tsv`, or None where only the federal rule holds.

    Raises:
        ValueError: a row differs from the federal rule and has no `rule_id`, or it cannot be read. The message names
            the file and the row, and says what to do.
    """
    return _parse_table("us_quiet_hours", "state", rows, _state_rule)


def read_country_rules(rows: Iterable[Row]) -> dict[str, Rule]:
    """The rule of each country abroad from the rows of `country_windows.tsv`. `*` is every country without a row.

    Raises:
        ValueError: a row cannot be read. The message names the file and the row, and says what to do.
    """
    return _parse_table("country_windows", "country", rows, _country_rule)


def strictest(rules: Collection[Rule], *, rule_id: str, source: str) -> Rule:
    """One rule that permits what all of these permit: their common hours, no holiday of any, the lowest daily cap."""
    cap = lowest_cap(rules)
    return Rule(
        rule_id=rule_id,
        week=reduce(in_common, (rule.week for rule in rules)),
        source=source,
        calendars=tuple(calendar for rule in rules for calendar in rule.calendars),
        daily_cap=cap.daily_cap if cap else None,
    )


def lowest_cap(rules: Iterable[Rule]) -> Rule | None:
    """The rule that permits the fewest texts a day. None: no rule has a cap."""
    caps = [rule for rule in rules if rule.daily_cap is not None]
    return min(
        caps,
        key=lambda rule: rule.daily_cap or 0,
        default=None,
    )


def _parse_table(
    file: str, key: str, rows: Iterable[Row], parse: Callable[[Row], _T]
) -> dict[str, _T]:
    parsed: dict[str, _T] = {}
    for row in rows:
        place = f"smsretry/data/{file}.tsv, row {row[key]}"
        if row[key] in parsed:
            raise ValueError(f"{place}: there are two such rows; keep one")
        try:
            parsed[row[key]] = parse(row)
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from None
    return parsed


def _state_rule(row: Row) -> Rule | None:
    source = f"{row['statute_citation']} (confidence {row['confidence']})"
    rule = Rule(
        rule_id=row["rule_id"],
        week=_week(row),
        source=source,
        calendars=_state_calendars(row),
        daily_cap=_daily_cap(row),
    )
    if rule.rule_id:
        return rule
    if (rule.week, rule.calendars, rule.daily_cap) != (FEDERAL.week, (), None):
        example = f"us-{row['state'].lower()}-<section of the statute>"
        raise ValueError(
            f"hours, holidays or cap differ from the federal rule: give the row a rule_id, {example}"
        )
    return None


def _country_rule(row: Row) -> Rule:
    if not row["rule_id"]:
        raise ValueError(
            "rule_id is empty: give the rule an id, by which records name it"
        )
    source = f"{row['source']} (confidence {row['confidence']})"
    calendar = row["holidays"]
    return Rule(
        rule_id=row["rule_id"],
        week=_week(row),
        source=source,
        calendars=(calendar,) if calendar else (),
    )


def _state_calendars(row: Row) -> Names:
    match row["holidays_banned"]:
        case "no":
            return ()
        case "yes" | "list":
            return (f"US-{row['state']}",)
        case word:
            raise ValueError(f"holidays_banned is {word!r}: write no, yes or list")


def _daily_cap(row: Row) -> int | None:
    cap = row["daily_cap"]
    if not cap:
        return None
    number = cap.partition(" ")[0]
    if number.isdecimal():
        return int(number)
    raise ValueError(
        f"daily_cap is {cap!r}: begin it with the number of texts, or leave it empty"
    )


def _week(row: Row) -> Week:
    weekdays = (_day(row, "weekday"),) * 5
    return (*weekdays, _day(row, "saturday"), _day(row, "sunday"))


def _day(row: Row, name: str) -> Day:
    opens = row[f"{name}_start"]
    closes = row[f"{name}_end"]
    if opens and closes:
        return (parse_span(opens, closes),)
    if opens or closes:
        raise ValueError(
            f"{name}_start and {name}_end must both be given, or both be empty for a closed day"
        )
    return ()


_STATES: Final = read_state_rules(data.table("us_quiet_hours"))
US_STATES: Final = frozenset(_STATES)
"""Two-letter codes of the states, DC and the inhabited territories."""
STATE_RULES: Final = {
    state: rule for state, rule in _STATES.items() if rule is not None
}
"""The states that ask for more than the federal rule does."""
EVERY_STATE: Final = "every US state"
"""Stands for an unknown state: the rules of all states hold."""
EVERY_STATES_RULES: Final = strictest(
    STATE_RULES.values(),
    rule_id=f"{EVERY_STATE}'s rules",
    source="all rows of smsretry/data/us_quiet_hours.tsv",
)
COUNTRY_RULES: Final = read_country_rules(data.table("country_windows"))
ANYWHERE_ELSE: Final = COUNTRY_RULES["*"]
"""The rule for a country without a row."""
