"""A check of quiet hours in words and in a picture, for `smsretry quiet-hours`."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Final

import tzdata
from pendulum import UTC, Date

from smsretry import data
from smsretry.instants import on_clock
from smsretry.quiet_hours.check import QuietHoursCheck, instant
from smsretry.quiet_hours.hours import hours_text
from smsretry.quiet_hours.openings import next_change

OPEN: Final = "█"
PARTLY: Final = "▒"
CLOSED: Final = "·"
_DAYS: Final = 7
_LABEL: Final = "%a %d %b "
_AXIS: Final = " " * len("Mon 01 Jan ") + "00    06    12    18"


def explain(check: QuietHoursCheck, *, at: datetime) -> Iterator[str]:
    """The answer; where the recipient may be, and why; the rules with their sources; the recipient's week, drawn."""
    yield _answer(check)
    yield f"asked about {_both(check, at)}"
    yield ""
    for zone in check.zones:
        yield f"zone   {zone.name}: {zone.origin}"
    for state in check.states:
        yield f"state  {state.name}: {state.origin}"
    for note in check.notes:
        yield f"note   {note}"
    for rule in check.window.rules:
        closed = f", nothing on the holidays of {' and '.join(rule.calendars)}" if rule.calendars else ""
        yield f"rule   {rule.rule_id}: {hours_text(rule.week)}{closed}; {rule.source}"
    if check.window.cap:
        yield f"cap    {check.window.cap.cap_text}"
    if check.zones:
        yield ""
        yield f"On the clock of {check.zones[0].name} ({OPEN} open, {PARTLY} in part, {CLOSED} closed):"
        yield from draw_week(check, start=at)
    yield ""
    versions = f"Tables of {data.DATA_VERSION}, time zones IANA {tzdata.IANA_VERSION}"
    yield f"{versions}. Engineering guidance, not legal advice."


def _answer(check: QuietHoursCheck) -> str:
    if check.refused:
        return f"Refused: {check.refused}"
    if check.held:
        return f"Held: {check.held}"
    if check.closes_at:
        return f"Open until {_both(check, check.closes_at)}: {check.rule}"
    opens = f"\nopens  {_both(check, check.next_send_at)}" if check.next_send_at else ""
    return f"Quiet hours: {check.rule}{opens}"


def _both(check: QuietHoursCheck, moment: datetime) -> str:
    """A moment on the recipient's clocks, equal readings once, and in UTC."""
    locals_ = [on_clock(moment, data.place(zone.name)) for zone in check.zones]
    return "; ".join([*dict.fromkeys(locals_), f"{moment.astimezone(UTC):%a %d %b %Y %H:%M} UTC"])


def draw_week(check: QuietHoursCheck, *, start: datetime) -> list[str]:
    """Seven lines of 24 hours on the clock of the first of the zones, and the axis above them.

    An hour is drawn open when the window is open in each of its quarters. No lines when no zone is known.

    Args:
        check: the answer whose zones and rules are drawn.
        start: an instant on the first day to draw, time zone aware.
    """
    if not check.zones:
        return []
    zones = tuple(zone.name for zone in check.zones)
    moment = instant(start).in_timezone(data.place(zones[0])).start_of("day")
    days = [moment.date().add(days=day) for day in range(_DAYS)]
    cells: dict[tuple[Date, int], list[bool]] = defaultdict(list)
    while moment.date() <= days[-1]:
        is_open, _ = next_change(moment.in_timezone(UTC), zones, check.window)
        cells[moment.date(), moment.hour].append(is_open)
        moment = moment.add(minutes=15)
    return [_AXIS, *(f"{day:{_LABEL}}" + "".join(_cell(cells[day, hour]) for hour in range(24)) for day in days)]


def _cell(quarters: list[bool]) -> str:
    """A skipped hour has no quarters and is drawn closed."""
    if not any(quarters):
        return CLOSED
    return OPEN if all(quarters) else PARTLY
