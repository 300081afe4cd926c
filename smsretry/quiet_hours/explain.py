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
    """The answer; where the recipient may be, and why; the rules with their sources."""
    yield _answer(check)
    yield f"asked about {_both(check, at)}"
    yield ""
    for zone in check.zones:
        yield f"zone   {zone.name}: {zone.origin}"
    for state in check.states:
        yield f"state  {state.name}: {state.origin}"
    for rule in check.window.rules:
        closed = (
            f", nothing on the holidays of {' and '.join(rule.calendars)}"
            if rule.calendars
            else ""
        )
        yield f"rule   {rule.rule_id}: {hours_text(rule.week)}{closed}; {rule.source}"
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
            return f"Held: {check.hold_reason}"
        case "open" if check.closes_at:
            return f"Open until {_both(check, check.closes_at)}: {check.rule}"
    words = f"Quiet hours: {check.rule}"
    if check.next_send_at:
        words += f"\nopens  {_both(check, check.next_send_at)}"
    return words


def _both(check: QuietHoursCheck, moment: datetime) -> str:
    """A moment on the recipient's clocks, equal readings once, and in UTC."""
    locals_ = [on_clock(moment, data.clock(zone.name)) for zone in check.zones]
    return "; ".join(
        [*dict.fromkeys(locals_), f"{moment.astimezone(UTC):%a %d %b %Y %H:%M} UTC"]
    )
