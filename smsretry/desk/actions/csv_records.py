"""Records of a CSV file (RFC 4180), one at a time, so that a broken one costs no other and a huge one no memory."""

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final, TextIO

LONGEST_LINE: Final = 65_536
"""Characters. A line that is no shorter is no list of numbers."""
_MOST_LINES: Final = 20
"""Lines of one record: a note may have some. With more, a quotation mark was forgotten."""
_OPEN: Final = "A quotation mark is not closed, or stands where none may"


@dataclass(frozen=True, slots=True)
class Record:
    """One record."""

    line: int
    """The number of its first line."""
    cells: list[str]
    lines: int


@dataclass(frozen=True, slots=True)
class Broken:
    """A line that cannot be read, and why."""

    line: int
    why: str


def lines_of(file: TextIO) -> Iterator[str]:
    """Lines without their ends. Of a huge one only the first `LONGEST_LINE` characters are kept."""
    while line := file.readline(LONGEST_LINE):
        yield line.removesuffix("\n")
        while len(line) == LONGEST_LINE and not line.endswith("\n"):
            line = file.readline(LONGEST_LINE)


def records(lines: Iterable[str], delimiter: str, *, columns: int, first: int) -> Iterator[Record | Broken]:
    """Read records. Empty ones are passed over. After a line that is none, reading goes on with the very next line.

    Args:
        columns: how many the header has. A record of several lines must have as many: otherwise its quotation marks
            may have swallowed another.
        first: the number of the first line.
    """
    upcoming, number = iter(lines), first
    ahead: deque[str] = deque(islice(upcoming, 1))
    while ahead:
        found = _record(ahead, upcoming, number, delimiter, columns)
        taken = found.lines if isinstance(found, Record) else 1
        for _ in range(taken):
            ahead.popleft()
        number += taken
        if isinstance(found, Broken) or any(cell.strip() for cell in found.cells):
            yield found
        if not ahead:
            ahead.extend(islice(upcoming, 1))


def _record(ahead: deque[str], upcoming: Iterator[str], number: int, delimiter: str, columns: int) -> Record | Broken:
    """The record that begins with the first line of `ahead`, which keeps all lines that were looked at."""
    text = ahead[0]
    if len(text) >= LONGEST_LINE:
        return Broken(number, f"The line is longer than {LONGEST_LINE} characters")
    for count in range(1, _MOST_LINES + 1):
        try:
            cells = next(csv.reader([text], delimiter=delimiter, strict=True), [])
        except csv.Error:
            if "\0" in text:
                return Broken(number, "It has characters that no text has (NUL): export it again as CSV in UTF-8")
        else:
            if count == 1 or len(cells) == columns:
                return Record(number, cells, count)
        if len(ahead) == count:
            ahead.extend(islice(upcoming, 1))
        if len(ahead) == count or len(text) + len(ahead[count]) >= LONGEST_LINE:
            break
        text = f"{text}\n{ahead[count]}"
    return Broken(number, _OPEN)
