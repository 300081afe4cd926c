"""A file of opt-outs: what is read, what is refused. No line costs another."""

from hypothesis import given, settings
from hypothesis import strategies as st

from smsretry.desk.actions.opt_outs import OptOut, read_opt_outs
from tests.support.builders import PHONE

MOMENT = "2026-11-24T08:15:00-05:00"


def read(text: str) -> list[OptOut]:
    """Every line of a file."""
    return list(read_opt_outs(text.splitlines(keepends=True)))


READ = (
    f"phone,opted_out_at\n{PHONE},{MOMENT}\n",
    f"\ufeffPhone\tDate\n{PHONE}\t{MOMENT}\n",
    f'phone;date\r\n"{PHONE}";"{MOMENT}"\r\n',
    f"phone,date\n  +1 (212) 555-0123 , {MOMENT} \n",
    f"phone,date,\n{PHONE},{MOMENT},\n",
)
REFUSED = {
    "2125550100": "no country code",
    "1.21256E+10": "no country code",
    "+4407700900123": "without the 0 that is dialed",
    f"{PHONE},2026-11-24T08:15:00": "date must be a time with its zone",
    f"{PHONE},": "date must be a time with its zone",
    f"{PHONE},,Ann": "more than two columns",
    "+" + "1" * 2000: "more than one",
}


def test_two_columns_are_a_number_and_a_date_and_a_line_that_cannot_be_read_costs_no_other() -> None:
    """With commas, semicolons or tabs, with a header or without. Of a refused line nothing is told."""
    for text in READ:
        assert read(text) == [OptOut(2, PHONE, MOMENT)]
    good = f"{PHONE},{MOMENT}\n"
    assert read(f"{good}\n{good}") == [OptOut(at, PHONE, MOMENT) for at in (1, 3)]
    for line, why in REFUSED.items():
        [refused, following] = read(f"phone,date\n{line}\n{good}")
        assert (refused.line, refused.phone) == (2, "")
        assert why in refused.unread
        assert "5550123" not in refused.unread
        assert following == OptOut(3, PHONE, MOMENT)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=300))
def test_whatever_a_file_holds_it_is_read_to_its_end(text: str) -> None:
    """And each line's number is right."""
    lines = text.splitlines(keepends=True)
    assert all(1 <= one.line <= len(lines) for one in read_opt_outs(lines))
