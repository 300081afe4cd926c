"""What an answer is made of: lines, tables and a picture by hour, of words and remedies.

`in_lines` writes them for a terminal, and `smsretry.desk.pages.markdown` for Prefect's pages.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self, TypeAlias

from pydantic import Field

from smsretry.desk.actions.commands import LEFT, command_of, fill_in
from smsretry.desk.actions.form import Form
from smsretry.instants import on_clock
from smsretry.retry.models import Value

_LONGEST_BAR: Final = 30
"""Columns of the bar of the largest hour."""


class Remedy(Value):
    """What a person can do: a form filled in, a command, or something in their own application."""

    words: str
    """What to do."""
    preparation: str | None = None
    """What to fix or find out before, where no form of ours can."""
    command: str | None = None
    """The command that does it. None: there is none, or a terminal does not show it."""
    form: str | None = None
    """The deployment whose form does it. None: there is none."""
    ask: dict[str, Any] = Field(default_factory=dict)
    """The form's parameters, filled in. Who and why are left to the person."""

    @classmethod
    def of(
        cls,
        form: type[Form],
        values: Mapping[str, Any],
        words: str,
        *,
        preparation: str | None = None,
    ) -> Self:
        """Offer a form, filled in. The value `LEFT` is left to the person."""
        if "dry_run" in form.model_fields:
            values = {**values, "dry_run": False}
        deployment, ask = fill_in(
            form, {name: value for name, value in values.items() if value != LEFT}
        )
        return cls(
            words=words,
            preparation=preparation,
            command=command_of(form, values),
            form=deployment,
            ask=ask,
        )

    @classmethod
    def see(cls, form: type[Form], values: Mapping[str, Any], words: str) -> Self:
        """Link these words to a question, filled in. A terminal shows the words alone."""
        return cls.of(form, values, words).model_copy(update={"command": None})

    def __str__(self) -> str:
        text = self.words
        if self.preparation:
            text = f"{self.preparation}, then {text}"
        if self.command:
            text += f" ({self.command})"
        return text


Inline: TypeAlias = str | Remedy
"""A part of a line."""
Line: TypeAlias = str | tuple[Inline, ...]
"""A line. One that begins with spaces belongs to the line above it."""
Row: TypeAlias = tuple[str, Inline, str]
"""A row of a table: a label, how many texts it has, and a note."""


@dataclass(frozen=True, slots=True)
class Heading:
    """The subject of the next lines."""

    words: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows below a title. A table without rows is not shown."""

    title: str
    rows: Sequence[Row]
    columns: tuple[str, str, str] = ("", "", "")
    """The heads of its columns."""


@dataclass(frozen=True, slots=True)
class Hours:
    """A picture of texts by hour, each hour in parts."""

    caption: str
    parts: Sequence[tuple[datetime, Sequence[int]]]

    @property
    def largest(self) -> int:
        """The texts of the hour that has the most."""
        return max((sum(sizes) for _, sizes in self.parts), default=0)


Block: TypeAlias = Line | Heading | Table | Hours


def counted(count: int, noun: str) -> str:
    """A count with its noun, such as 1 text or 2 texts."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def in_lines(blocks: Iterable[Block]) -> Iterator[str]:
    """Write blocks as lines for a terminal."""
    for block in blocks:
        match block:
            case str():
                yield block
            case tuple():
                yield "".join(map(str, block))
            case Heading(words):
                yield from ("", words)
            case Table(title, rows, _):
                if rows:
                    yield from ("", title)
                for label, texts, note in rows:
                    cells = (label, f"texts {texts}" if texts else "", note)
                    yield "  " + ", ".join(filter(None, cells))
            case Hours():
                yield from _hour_lines(block)


def _hour_lines(hours: Hours) -> Iterator[str]:
    """The hours that have a text, each with a bar."""
    if hours.largest:
        yield hours.caption
    for hour, sizes in hours.parts:
        texts = sum(sizes)
        if texts:
            length = max(1, round(texts / hours.largest * _LONGEST_BAR))
            yield f"  from {on_clock(hour)}  {'█' * length} {texts}"
