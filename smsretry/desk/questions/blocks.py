"""What an answer is made of: lines, headings and tables, of words and remedies.

`in_lines` writes them for a terminal, and `smsretry.desk.pages.markdown` for Prefect's pages.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self, TypeAlias

from pydantic import Field

from smsretry.desk.actions.commands import LEFT, command_of, fill_in
from smsretry.desk.actions.form import Form
from smsretry.desk.actions.requests import ExplainText
from smsretry.instants import on_clock
from smsretry.retry.models import Value

_LONGEST_BAR: Final = 30
"""Characters of the bar of the largest hour."""


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
        has_command: bool = True,
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
            command=command_of(form, values) if has_command else None,
            form=deployment,
            ask=ask,
        )

    @classmethod
    def see(cls, form: type[Form], values: Mapping[str, Any], words: str) -> Self:
        """Link these words to a question, filled in. A terminal shows the words alone."""
        return cls.of(form, values, words, has_command=False)

    @classmethod
    def story(cls, text_id: object, words: str) -> Self:
        """Link these words to the story of a text."""
        return cls.see(ExplainText, {"id": str(text_id)}, words)

    def __str__(self) -> str:
        before = f"{self.preparation}, then " if self.preparation else ""
        command = f" ({self.command})" if self.command else ""
        return f"{before}{self.words}{command}"


Inline: TypeAlias = str | Remedy
"""A part of a line."""
Line: TypeAlias = str | tuple[Inline, ...]
"""A line. One that begins with spaces belongs to the line above it."""
Row: TypeAlias = Sequence[Inline]
"""A row of a table: a label, how many texts it has, and perhaps a note."""


@dataclass(frozen=True, slots=True)
class Heading:
    """The subject of the next lines."""

    words: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows below a title. A table without rows is not shown."""

    title: str
    columns: Sequence[str]
    """The heads of its columns."""
    rows: Sequence[Row]


Block: TypeAlias = Line | Heading | Table


def counted(count: int, noun: str) -> str:
    """A count with its noun, such as 1 text or 2 texts."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def by_hour(
    title: str, texts: Mapping[datetime, int], notes: Mapping[datetime, str] = {}
) -> Table:
    """The hours that have a text, each with a bar and its note."""
    largest = max(texts.values(), default=0)
    rows = [
        (
            on_clock(hour),
            str(count),
            f"{'█' * max(1, round(count / largest * _LONGEST_BAR))} {notes.get(hour, '')}",
        )
        for hour, count in sorted(texts.items())
        if count
    ]
    return Table(title, ("from", "texts", ""), rows)


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
            case Table(title, _, rows):
                if rows:
                    yield from ("", title)
                for label, texts, *note in rows:
                    cells = (label, f"texts {texts}" if texts else "", *note)
                    line = ", ".join(str(cell) for cell in cells if cell)
                    yield f"  {line}".rstrip()
