"""A file of opt-outs: what is read, what is refused. No line costs another."""

from hypothesis import given, settings
from hypothesis import strategies as st

from smsretry.cli.opt_outs import read_opt_outs
from tests.support.builders import PHONE

MOMENT = "2026-11-24T08:15:00-05:00"


def opt_outs_in(text: str) -> list[dict[str, object]]:
    """Every line of a file."""
    return list(read_opt_outs(text.splitlines(keepends=True)))


def opt_out(line: int, phone: str = PHONE, at: str = MOMENT) -> dict[str, object]:
    """One, as the database takes it."""
    return {"line": line, "phone": phone, "at": at}


READ = (
    f"phone,opted_out_at\n{PHONE},{MOMENT}\n",
    f"\ufeffPhone\tDate\n{PHONE}\t{MOMENT}\n",
    f'phone;date\r\n"{PHONE}";"{MOMENT}"\r\n',
    f"phone,date\n  +1 (212) 555-0123 , {MOMENT} \n",
    f"phone,date,\n{PHONE},{MOMENT},\n",
)
UNREAD = (
    *("2125550100", "1.21256E+10", "+4407700900123", "+" + "1" * 2000),
    *(
        f"{PHONE},2026-11-24T08:15:00",
        f"{PHONE},",
        f"{PHONE},,Ann",
        f"{PHONE},{MOMENT},Ann",
    ),
)


def test_two_columns_are_a_number_and_a_date_and_a_line_that_cannot_be_read_costs_no_other() -> (
    None
):
    """With commas, semicolons or tabs, with a header or without. The database is told which line it was."""
    for text in READ:
        assert opt_outs_in(text) == [opt_out(2)]
    good = f"{PHONE},{MOMENT}\n"
    assert opt_outs_in(f"{good}\n{good}") == [opt_out(1), opt_out(3)]
    for line in UNREAD:
        assert opt_outs_in(f"phone,date\n{line}\n{good}") == [
            opt_out(2, "", ""),
            opt_out(3),
        ], line


@settings(max_examples=30)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=300))
def test_whatever_a_file_holds_it_is_read_to_its_end(text: str) -> None:
    """And each line's number is right."""
    lines = text.splitlines(keepends=True)
    places = [int(str(opt_out["line"])) for opt_out in read_opt_outs(lines)]
    assert places == sorted(set(places) & set(range(1, len(lines) + 1)))
