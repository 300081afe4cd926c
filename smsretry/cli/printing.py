"""How the terminal is written to: lines that fold between words and never inside an id, or JSON alone."""

import csv
import json
import os
import re
import sys
import textwrap
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, TextIO

import typer

_UNPRINTABLE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)
"""Characters that would control a terminal. Names and errors come from the application's rows."""


def print_text(
    text: str,
    *,
    word: str = "",
    color: str | None = None,
    bold: bool = False,
    hang: int = 2,
    stream: TextIO | None = None,
) -> None:
    """Print lines of text. On a terminal, a long line goes on in the next one, `hang` columns further in.

    Args:
        word: what stands before the text, in a color; the text begins `hang` columns further in at least.
    """
    stream = stream or sys.stdout
    lines = _UNPRINTABLE.sub("�", f"{word:{hang}}{text}" if word else text).splitlines()
    folded = "\n".join(fold(line, width=width(stream), hang=hang) for line in lines)
    start = typer.style(folded[: len(word)], fg=color)
    rest = folded[len(word) :]
    typer.echo(
        start + (typer.style(rest, bold=True) if bold else rest),
        file=stream,
        # https://no-color.org
        color=False if os.environ.get("NO_COLOR") else None,
    )


def print_note(text: str, *, word: str) -> None:
    """Print to standard error, after a red word."""
    print_text(f" {text}", word=word, color="red", stream=sys.stderr)


def print_json(value: object) -> None:
    """Print a value as JSON. Nothing else may be printed to standard output."""
    text = json.dumps(value, default=_as_json, ensure_ascii=False, indent=2)
    sys.stdout.write(f"{text}\n")


def print_csv(rows: Iterable[Mapping[str, str]]) -> None:
    """Print rows as CSV, below the names of their columns. No cell is a formula for a spreadsheet."""
    for place, row in enumerate(rows):
        writer = csv.DictWriter(sys.stdout, row.keys(), lineterminator="\n")
        if place == 0:
            writer.writeheader()
        writer.writerow(
            {name: re.sub(r"^(?=[=+@\t\r-])", "'", cell) for name, cell in row.items()}
        )


def width(stream: TextIO) -> int | None:
    """The column to fold at. None for a pipe or a file, where each line stays one line."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal():
        return int(columns) or None
    if not stream.isatty():
        return None
    # Some terminals say that they have no columns.
    return os.get_terminal_size(stream.fileno()).columns or None


def fold(line: str, *, width: int | None, hang: int) -> str:
    """Break a line between words. A word that is longer than a line, such as an address, stays whole."""
    if width is None or len(line) <= width:
        return line
    indent = len(line) - len(line.lstrip())
    return textwrap.fill(
        line,
        width,
        subsequent_indent=" " * (indent + hang),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _as_json(value: object) -> object:
    from pydantic import BaseModel

    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return value.isoformat() if isinstance(value, datetime) else str(value)
