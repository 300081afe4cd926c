"""A check of quiet hours in words, for `smsretry quiet-hours`."""

from collections.abc import Iterator
from datetime import datetime

import tzdata
from pendulum import UTC

from smsretry import data
from smsretry.instants import on_clock
from smsretry.quiet_hours.check import QuietHoursCheck
from smsretry.quiet_hours.hours import hours_text


def explain_hours(check: QuietHoursCheck, *, at: datetime) -> Iterator[str]:
    """The answer, the places where the recipient may be, and the rules with their sources."""
    yield _answer(check)
    yield f"asked about {_on_all_clocks(at, check)}"
    yield ""
    for zone in check.zones:
        yield f"zone   {zone.name}: {zone.origin}"
    for state in check.states:
        yield f"state  {state.name}: {state.origin}"
    for rule in check.window.rules:
        hours = hours_text(rule.week)
        if rule.calendars:
            hours += f", nothing on the holidays of {' and '.join(rule.calendars)}"
        yield f"rule   {rule.rule_id}: {hours}; {rule.source}"
    if check.window.cap:
        yield f"cap    {check.window.cap.cap_text}"
    yield ""
    versions = f"Tables of {data.DATA_VERSION}, time zones IANA {tzdata.IANA_VERSION}"
    yield f"{versions}. Engineering guidance, not legal advice."


def _answer(check: QuietHoursCheck) -> str:
    match check.answer:
        case "refused":
            return f"Refused: {check.refused}"
        case "held":
            return f"Held: {check.why_held}"
        case "open" if check.closes_at:
            return f"Open until {_on_all_clocks(check.closes_at, check)}: {check.rule}"
    words = f"Quiet hours: {check.rule}"
    if check.next_send_at:
        words += f"\nopens  {_on_all_clocks(check.next_send_at, check)}"
    return words


def _on_all_clocks(moment: datetime, check: QuietHoursCheck) -> str:
    """A moment on the recipient's clocks, equal readings once, and in UTC."""
    readings = [on_clock(moment, data.clock(zone.name)) for zone in check.zones]
    readings.append(f"{moment.astimezone(UTC):%a %d %b %Y %H:%M} UTC")
    return "; ".join(dict.fromkeys(readings))
