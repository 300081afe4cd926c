"""What an answer is made of: lines, tables and a picture by hour, of words and remedies.

`in_lines` writes them for a terminal, and `smsretry.desk.pages.markdown` for Prefect's pages.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self, TypeAlias

from pydantic import Field

from smsretry.desk.actions.commands import command_of, filled_in
from smsretry.desk.actions.form import Form
from smsretry.instants import on_clock
from smsretry.retry.models import Value

LEFT: Final = "…"
"""What a person has to find out."""
_BAR: Final = 30
"""Columns of the longest bar."""


class Remedy(Value):
    """What a person can do: a form filled in, a command, or something in their own application."""

    words: str
    """What to do."""
    preparation: str | None = None
    """What to fix or find out before, where no form of ours can."""
    command: str | None = None
    """The command that does it, whole but for why. None: it has none, or a terminal does not name it."""
    form: str | None = None
    """The deployment whose form does it. None: it has none."""
    ask: dict[str, Any] = Field(default_factory=dict)
    """The form's parameters, filled in. Who and why are left to the person."""

    @classmethod
    def of(
        cls,
        form: type[Form],
        values: Mapping[str, Any],
        words: str,
        preparation: str | None = None,
    ) -> Self:
        """A form filled in. The value `LEFT` is left to the person."""
        if "dry_run" in form.model_fields:
            values = {**values, "dry_run": False}
        deployment, ask = filled_in(
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
        """A question filled in, behind these words: a terminal shows the words alone."""
        return cls.of(form, values, words).model_copy(update={"command": None})

    def __str__(self) -> str:
        preparation = f"{self.preparation}, then " if self.preparation else ""
        return (
            f"{preparation}{self.words}{f' ({self.command})' if self.command else ''}"
        )


Words: TypeAlias = str | Remedy
Line: TypeAlias = str | tuple[Words, ...]
"""A line. One that begins with spaces belongs to the one above it."""


@dataclass(frozen=True, slots=True)
class Heading:
    """What the next lines are about."""

    words: str


@dataclass(frozen=True, slots=True)
class Table:
    """What each row is, how many texts it has, and what else there is to say. Without rows it is not shown."""

    title: str
    rows: Sequence[tuple[str, Words, str]]


@dataclass(frozen=True, slots=True)
class Hours:
    """Texts by hour, each hour in parts."""

    words: str
    parts: Sequence[tuple[datetime, Sequence[int]]]


Block: TypeAlias = Line | Heading | Table | Hours


def in_lines(blocks: Iterable[Block]) -> Iterator[str]:
    """As lines. Hours without a text are left out."""
    for part in blocks:
        match part:
            case str():
                yield part
            case tuple():
                yield "".join(map(str, part))
            case Heading(words):
                yield from ("", words)
            case Table(title, rows):
                yield from ("", title) if rows else ()
                for name, count, note in rows:
                    yield "  " + ", ".join(
                        filter(None, (name, f"texts {count}" if count else "", note))
                    )
            case Hours(words, parts):
                largest = max((sum(sizes) for _, sizes in parts), default=0)
                yield from [words] if largest else []
                for hour, sizes in parts:
                    if texts := sum(sizes):
                        yield f"  from {on_clock(hour)}  {'█' * max(1, round(texts / largest * _BAR))} {texts}"
