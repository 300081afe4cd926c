"""A check of quiet hours in words and in a picture, for `smsretry quiet-hours`."""

from collections.abc import Iterator
from datetime import UTC, datetime

import tzdata

from smsretry.data import DATA_VERSION
from smsretry.quiet_hours.check import QuietHoursCheck
from smsretry.quiet_hours.hours import hours_text
from smsretry.quiet_hours.week import CLOSED, OPEN, PARTLY, draw_week


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
    yield f"Tables of {DATA_VERSION}, time zones IANA {tzdata.IANA_VERSION}. Engineering guidance, not legal advice."


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
    """On the recipient's clocks, those that read the same given once, and in UTC."""
    locals_ = [_clock(local) for local in check.local_times(moment)]
    return "; ".join([*dict.fromkeys(locals_), f"{moment.astimezone(UTC):%a %d %b %Y %H:%M} UTC"])


def _clock(local: datetime) -> str:
    return f"{local:%a %d %b %H:%M} {local.tzname()}"
