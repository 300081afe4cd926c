"""A file of opt-outs as tools and spreadsheets write it: what is read, what is refused. No line costs another."""

from datetime import UTC, datetime
from io import StringIO
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smsretry.desk.actions.csv_records import LONGEST_LINE, Broken, lines_of
from smsretry.desk.actions.opt_out_cells import read_date, read_number
from smsretry.desk.actions.opt_out_file import HowToRead, LeftOut, OptOut, open_file
from smsretry.desk.questions.imported import ImportedOptOuts, ImportTally
from smsretry.written_numbers import holds_number
from tests.support.builders import PHONE

BUSINESS = UUID("5b0c5f0e-6b0a-4a53-9d0c-0f5c1f6f2a11")


def read(text: str, **how: object) -> list[OptOut | LeftOut | Broken]:
    """Every line of a file."""
    _, found = open_file(lines_of(StringIO(text)), HowToRead(business_id=BUSINESS, **how))  # type: ignore[arg-type]
    return list(found)


def phones(text: str, **how: object) -> dict[int, str]:
    """The numbers of a file, by their lines; empty for a line that is refused."""
    return {one.line: one.phone if isinstance(one, OptOut) else "" for one in read(text, **how)}


@pytest.mark.parametrize(
    ("cell", "country", "phone"),
    [
        ("+12125550100", None, "+12125550100"),
        ("+1 (212) 555-0100", None, "+12125550100"),
        ("tel:+1-212-555-0100", None, "+12125550100"),
        ('="+12125550100"', None, "+12125550100"),
        ("'+12125550100", None, "+12125550100"),
        ("12125550100", "US", "+12125550100"),
        ("(212) 555-0100", "US", "+12125550100"),
        ("020 7946 0100", "GB", "+442079460100"),
        ("00442079460100", "GB", "+442079460100"),
    ],
)
def test_a_number_is_read_as_people_and_spreadsheets_write_it(cell: str, country: str | None, phone: str) -> None:
    """In E.164."""
    assert read_number(cell, country) == phone


@pytest.mark.parametrize(
    ("cell", "country", "why"),
    [
        ("1.21256E+10", "US", "rounded"),
        ("1,21256e+10", "DE", "rounded"),
        ("4.93012E11", "DE", "rounded"),
        ("12125550100.0", "US", "amount"),
        ("4930123456.0", "DE", "amount"),
        ("4930123456,00", "DE", "amount"),
        ("2125550100", None, "--country"),
        ("9876543210", None, "--country"),
        ("+1212555010", None, "length"),
        ("+12125550100, +12125550101", None, "more than one"),
        ("n/a", "US", "no phone number"),
        ("555-0123", "US", "area code"),
        ("+12125550100\0", None, "no phone number"),
        ("1" * 60_000, "US", "more than one"),
    ],
)
def test_a_number_of_which_something_is_lost_or_unclear_is_refused_and_not_guessed(
    cell: str, country: str | None, why: str
) -> None:
    """The reason quotes nothing of it."""
    with pytest.raises(ValueError, match=why) as refused:
        read_number(cell, country)
    assert cell not in str(refused.value)


@pytest.mark.parametrize(
    ("cell", "zone", "moment"),
    [
        ("2026-11-24T08:15:00-05:00", None, "2026-11-24T13:15:00+00:00"),
        ("2026-11-24T08:15:00Z", None, "2026-11-24T08:15:00+00:00"),
        ("2026-11-24 08:15:00+00", None, "2026-11-24T08:15:00+00:00"),
        ("2026-11-24 08:15:00 UTC", None, "2026-11-24T08:15:00+00:00"),
        ("Tue, 24 Nov 2026 08:15:00 +0000", None, "2026-11-24T08:15:00+00:00"),
        ("24 Nov 2026 08:15 EST", "UTC", "2026-11-24T13:15:00+00:00"),
        ("24 Nov 2026 08:15", None, "2026-11-24T20:15:00+00:00"),
        ("2026-11-24T08:15:00", None, "2026-11-24T20:15:00+00:00"),
        ("2026-11-24T08:15:00", "America/New_York", "2026-11-24T13:15:00+00:00"),
        ("2026-11-01T01:30:00", "America/New_York", "2026-11-01T06:30:00+00:00"),
        ("2026-11-24", None, "2026-11-25T11:59:59.999999+00:00"),
        ("2026-11-24", "UTC", "2026-11-24T23:59:59.999999+00:00"),
    ],
)
def test_a_date_is_the_latest_that_it_may_mean(cell: str, zone: str | None, moment: str) -> None:
    """An earlier one would let an opt-in from before the opt-out stand."""
    found = read_date(cell, ZoneInfo(zone) if zone else None)
    assert found is not None
    assert found.astimezone(UTC) == datetime.fromisoformat(moment)


@pytest.mark.parametrize(
    "cell",
    [
        "03/04/2026", "yesterday", "45985.34", "1764000000", "2026-13-01", "2026-11-24T25:00", "24 Nov 2026 08:15 PM",
        "Nov 24 2026 8:15:00 p.m.", "24-NOV-26 08.15.00 PM", "Tue 24 Nov 2026 08:15 HST", "24 Nov 2026 08:15 -0000",
    ],
)  # fmt: skip
def test_a_date_that_cannot_be_read_costs_no_opt_out(cell: str) -> None:
    """It counts as now, and the line says so."""
    assert read(f"phone,date\n{PHONE},{cell}\n") == [OptOut(2, PHONE, None, odd_date=True)]


@pytest.mark.parametrize(
    "text",
    [
        f"phone\n{PHONE}",
        f"Phone Number\r\n{PHONE}\r\n",
        f"name;PhoneNumber;date\nAnn;{PHONE};2026-11-24\n",
        f"name\tmobile\nAnn\t{PHONE}\n",
        f'"name","To"\n"Smith, Ann","{PHONE}"\n',
        f"contact_id,correlation_id,date_of_consent\n{PHONE},1,2026-11-24T00:00:00Z\n",
    ],
)
def test_a_column_of_numbers_is_known_by_its_name(text: str) -> None:
    """Whatever separates the columns."""
    assert phones(text) == {2: PHONE}


def test_excel_s_own_first_line_is_passed_over() -> None:
    """It says what separates the columns."""
    assert phones(f"sep=;\nphone;note\n{PHONE};x\n") == {3: PHONE}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "must name the columns"),
        (f"{PHONE}\n{PHONE}\n", "no column is named"),
        ("from,to\n", "--number-column"),
        ("phone,date,opted_out_at\n", "--date-column"),
        ("phone,status\n", "--only status"),
        ("p\0h\0o\0n\0e\0", "NUL"),
        ('"phone\n', "quotation marks"),
        ("x" * (LONGEST_LINE + 5), "too long"),
    ],
)
def test_a_header_that_leaves_something_open_is_refused(text: str, why: str) -> None:
    """From and To may both be the customer's; a status may say that a line is an opt-in. No number is quoted."""
    with pytest.raises(ValueError, match=why) as refused:
        read(text)
    assert not holds_number(str(refused.value))


def test_a_column_of_dates_may_have_the_name_of_a_status() -> None:
    """`unsubscribed` may say whether or when; whoever says that it is the date has answered."""
    [found] = read(f"phone,Unsubscribed\n{PHONE},2026-05-01T08:00Z\n", date_column="Unsubscribed")
    assert found == OptOut(2, PHONE, datetime(2026, 5, 1, 8, tzinfo=UTC))


def test_a_file_for_every_business_may_not_say_whose_its_lines_are() -> None:
    """One business's opt-outs would be all others', too."""
    with pytest.raises(ValueError, match="--business"):
        open_file(["business_id,phone"], HowToRead())


def test_a_line_of_another_business_is_refused() -> None:
    """A tenant's file with somebody else's id changes nothing of either."""
    text = f"business_id,phone\n{BUSINESS},{PHONE}\n{UUID(int=1)},{PHONE}\n,{PHONE}\n{str(BUSINESS).upper()},{PHONE}\n"
    assert phones(text) == {2: PHONE, 3: "", 4: "", 5: PHONE}


def test_only_takes_the_lines_that_are_opt_outs() -> None:
    """As in a list of contacts, or of incoming messages."""
    text = f"phone,status,body\n{PHONE},opt-in,STOP\n{PHONE},Opt-Out,Stop\n{PHONE},opt-out,hello\n"
    found = read(text, only=(("Status", "opt-out"), ("body", "stop")))
    assert found == [LeftOut(2), OptOut(3, PHONE, None), LeftOut(4)]


ROWS = [
    (f'"a note\nof two lines",{PHONE}', 2),
    (f'"a ""quoted"" word",{PHONE}', 1),
    (f'5" pipe,{PHONE}', 1),
    (f",{PHONE},more,cells", 1),
]
BROKEN = [
    '"never closed',
    f'"closed" too early,{PHONE}',
    "nul\0,",
    "x" * (LONGEST_LINE + 100),
    f",{'1' * 30_000}",
    "short",
]


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_line_costs_no_other(broken: str) -> None:
    """Each is refused by its own line, and the next is read as if it were not there."""
    text = f"note,phone\n{ROWS[0][0]}\n{broken}\n,{PHONE}\n{ROWS[0][0]}\n"
    assert phones(text) == {2: PHONE, 4: "", 5: PHONE, 6: PHONE}


def test_a_forgotten_quotation_mark_swallows_no_line() -> None:
    """The next line's closes it, and that line's own number must not be lost in between."""
    text = f'note,phone\n"Ann,{PHONE}\n"Bob",{PHONE}\n"Cy",{PHONE}\n'
    assert phones(text) == {2: "", 3: PHONE, 4: PHONE}


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from([*ROWS, *((one, 1) for one in BROKEN[1:])]), st.booleans()), max_size=8))
def test_every_number_is_found_whatever_stands_between(rows: "list[tuple[tuple[str, int], bool]]") -> None:
    """In any order, with lines that are empty."""
    text, line, expected = "note,phone\n", 2, {}
    for (row, lines), blank in rows:
        text += f"{row}\n" + ("\n" if blank else "")
        expected[line] = PHONE if (row, lines) in ROWS else ""
        line += lines + blank
    assert phones(text) == expected


def test_a_line_whose_date_cannot_be_read_is_counted_once() -> None:
    """The database gets it without a date, and counts it among those that have none."""
    tally = ImportTally(dry_run=True)
    tally.doubt_date(2)
    counts = {"businesses": 1, "recorded": 1, "known": 0, "customers": 0, "cancelled": 0, "unmarked": 0, "undated": 1}
    answer = ImportedOptOuts.model_validate(counts | {"notes": (), "next_after": None, "time_zone": None})
    tally.add(answer, first=True)
    [said] = [line for line in tally.summary() if "count as now" in line and "dates from" not in line]
    assert said.endswith("cannot be read: 1. They count as now.")


@pytest.mark.parametrize(
    ("undated", "kinds"),
    [(None, [Broken, OptOut]), ("skip", [LeftOut, OptOut]), ("opted-out", [OptOut, OptOut])],
)
def test_an_empty_date_among_others_means_what_somebody_says(undated: str | None, kinds: list[type]) -> None:
    """A list of contacts has one for each who still wants texts: taken for opt-outs, it would stop them all."""
    found = read("phone,unsubscribed_at\n+12125550101,\n+12125550102,2026-03-02\n", undated=undated)
    assert [type(one) for one in found] == kinds
