"""The command that imports opt-outs from a file: how it is read, and a call of the database for each part of it."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import typer
from pydantic import Field

from smsretry.adapters.desk import NUMBERS_OF_A_CALL
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.cli.printing import bar
from smsretry.desk.actions.requests import ImportOptOuts
from smsretry.desk.questions.answers import Done
from smsretry.desk.questions.blocks import Block
from smsretry.settings import Settings, load
from smsretry.written_numbers import read_phone

_MOST_NOTES: Final = 100
"""How many lines are told one by one, of each kind."""
_NOTES: Final = {
    "unreadable": "line {line}: must be a number with its country code and the time when it opted out, which has come "
    "and is from 2000 on, with its zone: +12025550100,2026-11-24T08:15:00-05:00",
    "outlived": "line {line}: customer {customer_id} opted in later than that, which stays",
}
"""What the database left alone."""


class Imported(Done):
    """A whole file's import: what its calls came to, added up. Counts are of numbers, but for lines."""

    notes: tuple[str, ...] = Field(
        description="The first lines that were left alone, and why."
    )

    @property
    def fails(self) -> bool:
        """Whether lines were refused. Once they are mended, the same file again does the rest."""
        return bool(self.refused)

    def tell(self) -> Iterator[Block]:
        yield from super().tell()
        yield from self.notes


def import_opt_outs(order: ImportOptOuts, *, file: str) -> Imported:
    """Give a file's opt-outs to the database, some at a time; a terminal shows how far that is."""
    lines, notes, numbers = _lines_of(file), list[Any](), Counter[str]()
    opt_outs = read_opt_outs(lines)
    with (
        SupabaseOperators(load(Settings)) as connected,
        bar("Importing", total=lambda: len(lines)) as moved,
    ):
        while part := list(islice(opt_outs, NUMBERS_OF_A_CALL)):
            answer = dict(connected.carry_out(order, opt_outs=part).came_to)
            notes += answer.pop("notes")
            numbers.update(answer, lines_read=len(part))
            moved(completed=part[-1]["line"])
    unreadable, outlived = (
        [words.format(**note) for note in notes if note["what"] == kind]
        for kind, words in _NOTES.items()
    )
    return Imported(
        form=order,
        notes=(*unreadable[:_MOST_NOTES], *outlived[:_MOST_NOTES]),
        **numbers,
        outlived=len(outlived),
        refused=len(unreadable),
    )


def _lines_of(file: str) -> list[str]:
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"the file cannot be read: {error.strerror}") from None
    return content.decode(
        "utf-8-sig", errors="replace"
    ).splitlines()  # what is no UTF-8 is no part of a number


def read_opt_outs(lines: Sequence[str]) -> Iterator[dict[str, object]]:
    """Each line of a file as `import_sms_opt_outs` takes it: its place, the number in E.164, and when it opted out.

    Both are empty where a line holds something else, so that the database names it, and it costs no other. Empty lines
    and a header are passed over.
    """
    delimiter = max(",;\t", key="".join(lines[:1]).count)
    for place, text in enumerate(lines, start=1):
        cells = [cell.strip(' "\r\n') for cell in text.split(delimiter)]
        is_header = place == 1 and not any(
            character.isdigit() for character in cells[0]
        )
        if any(cells) and not is_header:
            phone, at = _parse_cells(*cells)
            yield {"line": place, "phone": phone, "at": at}


def _parse_cells(written: str, date: str = "", *extra_cells: str) -> tuple[str, str]:
    with suppress(ValueError):
        moment = datetime.fromisoformat(date)
        if written.startswith("+") and moment.tzinfo and not any(extra_cells):
            return read_phone(written), moment.isoformat()
    return "", ""
