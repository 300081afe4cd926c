"""The command that imports opt-outs from a file: `import-opt-outs`."""

import hashlib
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Annotated, BinaryIO, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import typer

from smsretry.cli.parsing import Json, fill_form, login_name, parse_id
from smsretry.cli.printing import patient, print_json, print_lines, print_note, print_text

if TYPE_CHECKING:
    from smsretry.adapters.supabase.operators import SupabaseOperators
    from smsretry.desk.actions.opt_out_file import HowToRead, OptOut
    from smsretry.desk.actions.opt_outs import ImportOptOuts
    from smsretry.desk.questions.imported import ImportTally

_BYTE_ORDER_MARKS: Final = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


class Undated(StrEnum):
    """Of `--undated`."""

    OPTED_OUT = "opted-out"
    SKIP = "skip"


_PROGRESS: Final = 100_000
"""Lines after which a terminal hears of it."""


def import_opt_outs(
    file: Annotated[str, typer.Argument(metavar="FILE", help="CSV with a header; - reads standard input.")],
    business: Annotated[
        UUID | None, typer.Option(metavar="ID", parser=parse_id, help="Whose opt-outs they are.")
    ] = None,
    all_businesses: Annotated[
        bool, typer.Option("--all-businesses", help="They are from every business there is now.")
    ] = False,
    number_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column of the numbers, if its name does not say so.")
    ] = None,
    date_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column of when they opted out, likewise.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=VALUE", help="Only lines with this value there; may be repeated."),
    ] = None,
    country: Annotated[
        str | None,
        typer.Option(metavar="CC", help="Of numbers without a country code, such as US; the business's by default."),
    ] = None,
    time_zone: Annotated[
        str | None,
        typer.Option(metavar="ZONE", help="Of dates without one. By default they count as late as they may be."),
    ] = None,
    undated: Annotated[
        Undated | None, typer.Option(help="What a line means whose date is empty, where there is a column of dates.")
    ] = None,
    yes: Annotated[bool, typer.Option("--write", "--yes", help="Do it. Without this nothing is recorded.")] = False,
    who: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who does it; your login name by default. It is kept.")
    ] = None,
    because: Annotated[
        str | None, typer.Option(metavar="WORDS", help="Where they come from. Needed with --write; it is kept.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Import opt-outs from another system, also of numbers that no customer has yet.

    A number whose customer opted in later than it opted out is left alone. Give it again after a mistake or a broken
    connection: what is recorded already stays as it is.
    """
    from smsretry.desk.actions.opt_out_file import HowToRead
    from smsretry.desk.actions.opt_outs import ImportOptOuts
    from smsretry.desk.questions.imported import ImportTally
    from smsretry.wiring import operators

    given = {"business": business, "all_businesses": all_businesses, "because": because}
    order = fill_form(ImportOptOuts, given, who=who or (login_name() if yes else None), dry_run=not yes)
    how = HowToRead(
        business,
        number_column,
        date_column,
        tuple(map(_condition, only or [])),
        _country(country),
        _zone(time_zone),
        undated.value if undated else None,
    )
    tally = ImportTally(order.dry_run)
    with _opened(file) as content, operators(patience=patient()) as connected:
        _import(content, order, how, tally, connected)
    if as_json:
        counts = {name: value for name, value in asdict(tally).items() if not name.startswith("_")}
        print_json(counts | {"listed": [*tally.details()]})
    else:
        headline, *lines = tally.summary()
        print_text(headline, style="bold")
        print_lines([*lines, *tally.details()])
        if order.dry_run:
            print_text("Nothing was recorded. To do it, add --write --because '…'.", style="bold")
    if tally.needs_somebody:
        raise typer.Exit(1)


def _import(
    content: BinaryIO, order: "ImportOptOuts", how: "HowToRead", tally: "ImportTally", connected: "SupabaseOperators"
) -> None:
    """Give the file's opt-outs to the database, some at a time."""
    from dataclasses import replace

    from smsretry.desk.actions.csv_records import Broken, lines_of
    from smsretry.desk.actions.opt_out_file import LeftOut, OptOut, open_file
    from smsretry.desk.actions.opt_outs import LINES_OF_A_CALL
    from smsretry.written_numbers import country_of

    file_hash = _hash_of(content)
    if order.business_id:  # before the file is read: it may be long, and the business wrong
        zone = connected.import_opt_outs(order.model_copy(update={"dry_run": True}), []).time_zone
        how = how if how.country or not zone else replace(how, country=country_of(zone))
    content.seek(0)
    encoding = _encoding(content.read(3))
    content.seek(0)
    try:
        columns, found = open_file(lines_of(TextIOWrapper(content, encoding, errors="replace")), how)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    tally.number_column = columns.headers[columns.number]
    tally.date_column = None if columns.date is None else columns.headers[columns.date]
    batch: list[OptOut] = []
    for one in found:
        tally.lines += 1
        match one:
            case Broken():
                tally.refuse(one.line, one.why)
            case LeftOut():
                tally.left_out += 1
            case OptOut():
                if one.odd_date:
                    tally.doubt_date(one.line)
                batch.append(one)
        if len(batch) == LINES_OF_A_CALL:
            _give(batch, order, file_hash, tally, connected)
            batch = []
        if tally.lines % _PROGRESS == 0 and sys.stderr.isatty():
            print_note(f"{tally.lines} lines")
    if batch:
        _give(batch, order, file_hash, tally, connected)


def _give(
    batch: "list[OptOut]", order: "ImportOptOuts", file_hash: str, tally: "ImportTally", connected: "SupabaseOperators"
) -> None:
    after: UUID | None = None
    while True:
        answer = connected.import_opt_outs(order, batch, file_hash=file_hash, after_business=after)
        tally.add(answer, first=after is None)
        after = answer.next_after
        if after is None:
            return


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    """A file that can be read twice. A pipe is kept in one without a name, which ends with the command."""
    try:
        content = sys.stdin.buffer if file == "-" else Path(file).open("rb")  # noqa: SIM115 - it is closed below
    except OSError as error:
        raise typer.BadParameter(f"the file cannot be read: {error.strerror}") from None
    with content:
        if file != "-" and content.seekable():
            yield content
            return
        with TemporaryFile() as kept:
            shutil.copyfileobj(content, kept)
            kept.seek(0)
            yield kept


def _hash_of(content: BinaryIO) -> str:
    found = hashlib.sha256()
    while part := content.read(2**20):
        found.update(part)
    return found.hexdigest()


def _encoding(beginning: bytes) -> str:
    """By a file's byte order mark. Without one it is UTF-8, and whatever is not is no part of a number."""
    return next((name for mark, name in _BYTE_ORDER_MARKS.items() if beginning.startswith(mark)), "utf-8")


def _condition(said: str) -> tuple[str, str]:
    column, equals, value = said.partition("=")
    if not (column.strip() and equals):
        raise typer.BadParameter("--only must be COLUMN=VALUE, such as status=opt-out")
    return column, value


def _country(said: str | None) -> str | None:
    import phonenumbers

    if said is not None and said.upper() not in phonenumbers.SUPPORTED_REGIONS:
        raise typer.BadParameter(f"{said!r} is no country: give two letters, such as US or GB")
    return said and said.upper()


def _zone(said: str | None) -> ZoneInfo | None:
    from smsretry import data

    if said is not None and said != "UTC" and said not in data.place_names():
        raise typer.BadParameter(f"{said!r} is no time zone: give one such as America/New_York, or UTC")
    return ZoneInfo(said) if said else None
