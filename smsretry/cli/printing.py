"""How the terminal is written to: lines that fold between words and never inside an id, or JSON alone."""

import json
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, TextIO

_UNPRINTABLE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)
"""Characters that would control a terminal. Names and errors come from the application's rows."""


def print_text(text: str, *, style: str = "", hang: int = 2) -> None:
    """Print lines of text. On a terminal, one that is too long goes on in the next line, `hang` columns further in."""
    from rich.console import Console
    from rich.text import Text

    console = Console()
    for line in text.splitlines() or [""]:
        styled = Text(
            fold(_UNPRINTABLE.sub("�", line), width=width(), hang=hang), style=style
        )
        console.print(styled, soft_wrap=True, highlight=False)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A word, in a color, and the text after it."""

    word: str
    text: str
    style: str = ""


def print_verdicts(verdicts: Iterable[Verdict], *, columns: int) -> None:
    """Print each: its word, and the rest from a fixed column on."""
    from rich.console import Console
    from rich.text import Text

    console, at_most = (
        Console(),
        width(),
    )  # once: to ask what the terminal is like takes a millisecond
    for verdict in verdicts:
        lines = fold(
            " " * columns + _UNPRINTABLE.sub("�", verdict.text), width=at_most, hang=0
        )
        styled = Text.assemble(
            (verdict.word, verdict.style), lines[len(verdict.word) :]
        )
        console.print(styled, soft_wrap=True, highlight=False)


def print_json(value: object) -> None:
    """Print a value as JSON. Nothing else may be printed to standard output."""
    sys.stdout.write(
        json.dumps(value, default=_as_json, ensure_ascii=False, indent=2) + "\n"
    )


def print_note(text: str, *, word: str = "") -> None:
    """Print to standard error, after a red word if there is one."""
    from rich.console import Console
    from rich.text import Text

    lines = _UNPRINTABLE.sub("�", f"{word} {text}" if word else text).splitlines()
    folded = "\n".join(fold(line, width=width(sys.stderr), hang=2) for line in lines)
    Console(stderr=True).print(
        Text.assemble((word, "red"), folded[len(word) :]),
        soft_wrap=True,
        highlight=False,
    )


@contextmanager
def bar(
    words: str, *, total: Callable[[], float | None] = lambda: None
) -> Iterator[Callable[..., None]]:
    """A bar on standard error, where that is a terminal; elsewhere nothing. Yields what moves it: `rich`'s `update`.

    Args:
        total: how much there is to do, asked only where a bar is shown. None: it is not known.
    """
    if not sys.stderr.isatty():
        yield lambda **_: None
        return
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(
        console=console, transient=True, redirect_stdout=False, redirect_stderr=False
    ) as progress:
        yield partial(progress.update, progress.add_task(words, total=total()))


def width(stream: TextIO | None = None) -> int | None:
    """Columns to fold at. None for a pipe or a file, where each line stays one line."""
    from rich.console import Console

    console = Console(file=stream)
    return console.width if console.is_terminal or "COLUMNS" in os.environ else None


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

    return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)
