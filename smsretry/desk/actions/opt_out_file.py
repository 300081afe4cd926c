"""A file of opt-outs from another system: which of its columns say what, and each line's number and date."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final, Literal
from uuid import UUID

from smsretry.desk.actions.csv_records import LONGEST_LINE, Broken, Record, records
from smsretry.desk.actions.opt_out_cells import read_date, read_number

NUMBERS: Final = frozenset(
    {"number", "phone", "phone_number", "phonenumber", "telephone", "tel", "mobile", "mobile_number", "mobile_phone"}
    | {"cell", "cell_phone", "msisdn", "to", "from", "recipient", "contact_id"}
)
"""Headers of a number. `contact_id` is a provider's, in its list of consents."""
DATES: Final = frozenset(
    {"date", "at", "since", "opted_out_at", "opted_out_on", "opted_out_date", "opt_out_at", "opt_out_date"}
    | {"optout_date", "date_opted_out", "unsubscribed_at", "unsubscribed_on", "unsubscribe_date", "stopped_at"}
    | {"date_of_consent", "date_sent", "sent_date"}
)
"""Headers of when somebody opted out. `created_at` is none: a contact is older than its opt-out, and one that counts as
earlier than it was is outlived by opt-ins from before it."""
STATUSES: Final = frozenset(
    {"status", "consent", "consent_status", "sms_consent_status", "opt_in", "optin", "opted_in", "opt_out", "optout"}
    | {"opted_out", "subscribed", "unsubscribed", "sms_opt_in", "sms_opt_out"}
)
"""Headers that may say whether a line is an opt-out at all."""
_BUSINESS: Final = "business_id"
_UNDATED: Final = (
    "It has no date, although others do. In a list of contacts that means nobody opted out, in a list of opt-outs that "
    "the date is not known: say --undated skip, or --undated opted-out"
)
_DELIMITERS: Final = (",", ";", "\t", "|")


@dataclass(frozen=True, slots=True)
class HowToRead:
    """What a person says about a file."""

    business_id: UUID | None = None
    """For whom it is imported. None: for every business."""
    number_column: str | None = None
    date_column: str | None = None
    only: tuple[tuple[str, str], ...] = ()
    """Only lines that have this in that column."""
    country: str | None = None
    """Two letters, for numbers without a country code."""
    zone: tzinfo | None = None
    """Of dates without one."""
    undated: Literal["opted-out", "skip"] | None = None
    """What a line means whose cell of the date is empty. None: nobody said, and lists differ."""


@dataclass(frozen=True, slots=True)
class OptOut:
    """A number that opted out."""

    line: int
    phone: str
    at: datetime | None
    """None: no date is known."""
    odd_date: bool = False
    """There is a date, and it cannot be read."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A line that `HowToRead.only` leaves out."""

    line: int


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a file say what, by their places."""

    delimiter: str
    headers: tuple[str, ...]
    number: int
    date: int | None
    business: int | None
    only: tuple[tuple[int, str], ...]
    first: int
    """The line after the header."""


def open_file(lines: Iterable[str], how: HowToRead) -> tuple[Columns, Iterator[OptOut | LeftOut | Broken]]:
    """Read the header. The lines follow one by one, as they are taken.

    Raises:
        ValueError: the header is missing, or leaves open which column is which. The message quotes headers only if no
            digits are in them.
    """
    rest = iter(lines)
    first, header = 1, next(rest, None)
    if header is not None and re.fullmatch(r"sep=.", header.strip(), re.IGNORECASE):  # Excel's own
        first, header = 2, next(rest, None)
    if not header or not header.strip() or len(header) >= LONGEST_LINE:
        raise ValueError("the first line must name the columns, such as number,opted_out_at: it is empty or too long")
    if "\0" in header:
        raise ValueError("the file is no CSV in UTF-8: it has NUL characters. Export it again as CSV in UTF-8")
    columns = _columns(header, how, first + 1)
    found = records(rest, columns.delimiter, columns=len(columns.headers), first=columns.first)
    return columns, _opt_outs(found, columns, how)


def _columns(header: str, how: HowToRead, first: int) -> Columns:
    delimiter = max(_DELIMITERS, key=header.count)
    parsed = next(iter(records([header], delimiter, columns=0, first=1)), None)
    if not isinstance(parsed, Record):
        raise ValueError("the first line must name the columns: its quotation marks are not closed")
    headers = tuple(_named(cell) for cell in parsed.cells)
    number = _which(headers, how.number_column, NUMBERS, "--number-column")
    if number is None:
        shown = ", ".join(name if name and not re.search(r"\d", name) else "…" for name in headers[:20])
        raise ValueError(
            f"no column is named as one of numbers is (number, phone, mobile, to): name it with --number-column. "
            f"The first line has: {shown}. It must name the columns"
        )
    date = _which(headers, how.date_column, DATES, "--date-column")
    statuses = [name for place, name in enumerate(headers) if name in STATUSES and place not in (number, date)]
    if statuses and not how.only:
        raise ValueError(
            f"the column {statuses[0]} may say which lines are opt-outs: say so with --only {statuses[0]}=VALUE. If it "
            f"says when, name it with --date-column {statuses[0]}. If every line is an opt-out, remove the column"
        )
    business = headers.index(_BUSINESS) if _BUSINESS in headers else None
    if business is not None and how.business_id is None:
        raise ValueError("the column business_id says whose each line is: import them with --business, one at a time")
    return Columns(
        delimiter,
        headers,
        number,
        date,
        business,
        tuple((_place(headers, column, "--only"), value.strip().casefold()) for column, value in how.only),
        first,
    )


def _named(cell: str) -> str:
    """A header in small letters, with `_` for whatever separates its words. `OptedOutAt` is opted_out_at."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", cell.strip())
    return re.sub(r"[^0-9a-z]+", "_", words.lower()).strip("_")


def _which(headers: tuple[str, ...], said: str | None, known: frozenset[str], option: str) -> int | None:
    """The place of the one column that somebody named, or whose header is known. None: there is none."""
    if said is not None:
        return _place(headers, said, option)
    found = [place for place, name in enumerate(headers) if name in known]
    if len(found) > 1:
        names = ", ".join(headers[place] for place in found)
        raise ValueError(f"several columns may be meant ({names}): say which with {option}")
    return found[0] if found else None


def _place(headers: tuple[str, ...], said: str, option: str) -> int:
    found = [place for place, name in enumerate(headers) if name == _named(said)]
    if len(found) != 1:
        raise ValueError(f"{option}: {'no' if not found else 'more than one'} column has this name")
    return found[0]


def _opt_outs(
    found: Iterator[Record | Broken], columns: Columns, how: HowToRead
) -> Iterator[OptOut | LeftOut | Broken]:
    for record in found:
        yield record if isinstance(record, Broken) else _opt_out(record, columns, how)


def _opt_out(record: Record, columns: Columns, how: HowToRead) -> OptOut | LeftOut | Broken:
    def cell(place: int) -> str:
        return record.cells[place].strip() if place < len(record.cells) else ""

    if columns.business is not None and cell(columns.business).lower() != str(how.business_id):
        return Broken(record.line, "It is of another business than --business, by its business_id")
    if any(cell(place).casefold() != value for place, value in columns.only):
        return LeftOut(record.line)
    if not cell(columns.number):
        return Broken(record.line, "It has no number")
    try:
        phone = read_number(cell(columns.number), how.country)
    except ValueError as error:
        return Broken(record.line, str(error))
    if columns.date is not None and not cell(columns.date):
        if how.undated is None:
            return Broken(record.line, _UNDATED)
        if how.undated == "skip":
            return LeftOut(record.line)
    try:
        return OptOut(record.line, phone, None if columns.date is None else read_date(cell(columns.date), how.zone))
    except (ValueError, OverflowError):
        return OptOut(record.line, phone, None, odd_date=True)
