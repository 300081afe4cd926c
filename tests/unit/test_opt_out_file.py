"""A file of opt-outs: what is read, what is refused. No line costs another."""

from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smsretry.desk.actions.opt_outs import OptOut, Unread, read_opt_outs
from smsretry.written_numbers import holds_number
from tests.support.builders import PHONE

MOMENT = "2026-11-24T08:15:00-05:00"


def read(text: str) -> list[OptOut | Unread]:
    """Every line of a file."""
    return list(read_opt_outs(text.splitlines(keepends=True)))


@pytest.mark.parametrize(
    "text",
    [
        f"phone,opted_out_at\n{PHONE},{MOMENT}\n",
        f"\ufeffPhone\tDate\n{PHONE}\t{MOMENT}\n",
        f'phone;date\r\n"{PHONE}";"{MOMENT}"\r\n',
        f"phone,date\n  +1 (212) 555-0123 , {MOMENT} \n",
        f"phone,date,\n{PHONE},{MOMENT},\n",
    ],
)
def test_two_columns_are_a_number_and_a_date(text: str) -> None:
    """With commas, semicolons or tabs."""
    assert read(text) == [OptOut(2, PHONE, datetime.fromisoformat(MOMENT))]


def test_a_header_and_a_date_may_be_missing() -> None:
    """Empty lines are passed over, and counted."""
    assert read(f"{PHONE}\n\n{PHONE},\n") == [OptOut(1, PHONE, None), OptOut(3, PHONE, None)]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("2125550100", "no country code"),
        ("n/a", "no country code"),
        ("1.21256E+10", "no country code"),
        ("+4407700900123", "without the 0 that is dialed"),
        ("+1212555010", "wrong length"),
        (f"{PHONE},24 November", "date must be a time with its zone"),
        (f"{PHONE},2026-11-24T08:15:00", "date must be a time with its zone"),
        (f"{PHONE},,Ann", "more than two columns"),
        ("+" + "1" * 2000, "more than one"),
    ],
)
def test_a_line_that_cannot_be_read_is_named_and_costs_no_other(line: str, why: str) -> None:
    """Nothing of it is quoted."""
    [refused, following] = read(f"phone,date\n{line}\n{PHONE},\n")
    assert isinstance(refused, Unread)
    assert (refused.line, why in refused.why, holds_number(refused.why.replace("+1 212 555 0100", ""))) == (
        2,
        True,
        "44 20" in refused.why,
    )
    assert following == OptOut(3, PHONE, None)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=300))
def test_whatever_a_file_holds_it_is_read_to_its_end(text: str) -> None:
    """And each line's number is right."""
    lines = text.splitlines(keepends=True)
    assert all(1 <= one.line <= len(lines) for one in read_opt_outs(lines))
