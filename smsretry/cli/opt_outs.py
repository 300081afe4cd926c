"""The command that imports opt-outs: how a file is read, and a call of the database for each part of it."""

import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import typer

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.desk.actions.requests import ImportOptOuts
from smsretry.desk.questions.answers import Done
from smsretry.desk.questions.blocks import Block
from smsretry.settings import Settings, load
from smsretry.written_numbers import read_phone

NUMBERS_OF_A_CALL: Final = 500
"""How many opt-outs one call holds; `import_sms_opt_outs` takes no more."""
_MOST_NOTES: Final = 100
"""How many lines of each kind are named."""
_UNREADABLE: Final = (
    "line {line}: must be a number with its country code and the time when it opted out, which has come and is from "
    "2000 on, with its zone: +12025550100,2026-11-24T08:15:00-05:00"
)
_OUTLIVED: Final = (
    "line {line}: customer {customer_id} opted in later than that, which stays"
)


class ImportAnswer(Done):
    """What the import of a whole file did. Its counts are of numbers, but for lines."""

    notes: tuple[str, ...]
    """The first lines that were left alone, and why."""

    @property
    def fails(self) -> bool:
        """Whether lines were refused. Once they are mended, the same file again does the rest."""
        return bool(self.refused)

    def tell(self) -> Iterator[Block]:
        yield from super().tell()
        yield from self.notes


def import_opt_outs(order: ImportOptOuts, *, file: str) -> ImportAnswer:
    """Record the opt-outs of a file in the database, some at a time."""
    opt_outs = read_opt_outs(_read_lines(file))
    notes = list[dict[str, Any]]()
    numbers = Counter[str]()
    with SupabaseOperators(load(Settings)) as connected:
        while part := list(islice(opt_outs, NUMBERS_OF_A_CALL)):
            columns = dict(connected.carry_out(order, opt_outs=part).columns)
            notes += columns.pop("notes")
            numbers.update(columns, lines_read=len(part))
    unreadable = [
        _UNREADABLE.format_map(note) for note in notes if note["what"] == "unreadable"
    ]
    outlived = [
        _OUTLIVED.format_map(note) for note in notes if note["what"] == "outlived"
    ]
    return ImportAnswer(
        form=order,
        notes=(*unreadable[:_MOST_NOTES], *outlived[:_MOST_NOTES]),
        **numbers,
        outlived=len(outlived),
        refused=len(unreadable),
    )


def _read_lines(file: str) -> list[str]:
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"the file cannot be read: {error.strerror}") from None
    # No part of a number is anything but UTF-8.
    return content.decode("utf-8-sig", errors="replace").splitlines()


def read_opt_outs(lines: Sequence[str]) -> Iterator[dict[str, object]]:
    """Read a file's lines for `import_sms_opt_outs`: the place, the number in E.164, and when it opted out.

    Number and time are empty where a line holds something else. The database then names the line, and records the
    others. Empty lines and a header are passed over.
    """
    first_line = "".join(lines[:1])
    delimiter = max(",", ";", "\t", key=first_line.count)
    for place, line in enumerate(lines, start=1):
        cells = [cell.strip(' "\r\n') for cell in line.split(delimiter)]
        is_header = place == 1 and not re.search(r"\d", cells[0])
        if any(cells) and not is_header:
            phone, at = _parse_cells(*cells)
            yield {"line": place, "phone": phone, "at": at}


def _parse_cells(phone: str, date: str = "", *extra_cells: str) -> tuple[str, str]:
    """The number and the time. Both are empty unless the cells are these two."""
    with suppress(ValueError):
        moment = datetime.fromisoformat(date)
        if phone.startswith("+") and moment.tzinfo and not any(extra_cells):
            return read_phone(phone), moment.isoformat()
    return "", ""
