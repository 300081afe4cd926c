"""What `smsretry quiet-hours` says."""

from datetime import UTC, datetime
from typing import Any

import pytest

from smsretry.quiet_hours.check import check_quiet_hours
from smsretry.quiet_hours.explain import explain

EVENING = datetime(2027, 1, 13, 1, 30, tzinfo=UTC)
"""20:30 on Tuesday in New York, 19:30 in Chicago."""


def said(timezone: str | None = None, **values: Any) -> str:
    """The explanation, in one piece."""
    check = check_quiet_hours(timezone, at=EVENING, **values)
    return "\n".join(explain(check, at=EVENING))


def test_a_closed_window_is_explained_with_rule_place_and_opening_on_both_clocks() -> None:
    """The first line is the reason that the row carries."""
    lines = said(phone="+13055550123").splitlines()
    assert lines[0] == "Quiet hours: 08:00–20:00 (federal, us-fl-501.616) in America/New_York, area code 305"
    assert lines[1] == "opens  Wed 13 Jan 08:00 EST; Wed 13 Jan 2027 13:00 UTC"
    assert "zone   America/New_York: area code 305" in lines
    assert "state  FL: area code 305" in lines
    assert any(line.startswith("rule   us-fl-501.616: 08:00–20:00; Fla. Stat. 501.616") for line in lines)
    assert "cap    Daily cap: 3 texts in 24 hours to one person (us-fl-501.616)" in lines
    assert "Wed 13 Jan ········████████████····" in lines


def test_an_open_window_is_told_until_when() -> None:
    """Two clocks, and the instant in UTC."""
    text = said(phone="+18505550123", message_class="transactional")
    assert text.startswith("Open until Tue 12 Jan 20:00 CST; Tue 12 Jan 21:00 EST; Wed 13 Jan 2027 02:00 UTC: 08:00")


@pytest.mark.parametrize(
    ("values", "first"),
    [
        ({"phone": "+18005550123"}, "Refused: Phone number is toll-free"),
        ({"phone": "+881612345678"}, "Held: No time zone is known for a +881 number: set the customer's timezone"),
    ],
)
def test_what_can_never_be_sent_or_must_wait_for_a_person_is_said_first(values: dict[str, Any], first: str) -> None:
    """With what to do about it, and no week to draw."""
    text = said(**values)
    assert text.startswith(first)
    assert "█" not in text


def test_what_was_given_and_read_otherwise_is_noted() -> None:
    """`EST` is an offset that knows no summer; here it is New York."""
    assert "note   the customer's zone 'EST' is read as America/New_York" in said("EST", phone="+12125550123")


def test_no_explanation_quotes_the_number() -> None:
    """Its area code is named, and no more."""
    for phone in ("+13055550123", "+18005550123", "+33612345678"):
        assert phone[-7:] not in said(phone=phone)
