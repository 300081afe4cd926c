"""The answer of an SQL function, and how it is read. No error quotes a value.

The rows of an answer are read each by itself: a value that no worker can read costs its own row and no other.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from smsretry.adapters.supabase.advice import MIGRATE
from smsretry.errors import QueueError

_Row = TypeVar("_Row", bound=BaseModel)
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class UnreadableRow:
    """A row with the expected columns, some of which hold a value that cannot be read."""

    row: Mapping[str, Any] = field(repr=False)
    columns: tuple[str, ...]

    @property
    def problem(self) -> str:
        """A sentence for people. It quotes no value, because a value may be a customer's."""
        return f"Columns of its row, its customer or its business cannot be read: {', '.join(self.columns)}"


@dataclass(slots=True)
class Rows(Generic[_Row]):
    """The rows of an answer."""

    raw: list[Mapping[str, Any]]
    parsed: list[_Row] = field(default_factory=list)
    unreadable: list[UnreadableRow] = field(default_factory=list)
    foreign_columns: set[str] = field(default_factory=set)
    """Columns that are missing, or hold another kind of JSON than this version expects: no fault of any row."""


def read_rows(kind: type[_Row], answer: list[Mapping[str, Any]]) -> Rows[_Row]:
    """Read each row of an answer by itself. Raises nothing."""
    rows = Rows[_Row](answer)
    for row in answer:
        try:
            rows.parsed.append(kind.model_validate(row))
        except ValidationError as error:
            error_types = {
                str(fault["loc"][0]): fault["type"]
                for fault in error.errors(include_input=False)
            }
            foreign = {
                column
                for column, error_type in error_types.items()
                if _is_foreign(error_type, row.get(column))
            }
            rows.foreign_columns |= foreign
            if not foreign:
                rows.unreadable.append(UnreadableRow(row, tuple(sorted(error_types))))
    return rows


def _is_foreign(error_type: str, value: object) -> bool:
    """Whether pydantic's error is about the column itself: `missing`, `int_type`, `datetime_type` …

    A null is the row's own trouble.
    """
    if error_type == "missing":
        return True
    return error_type.endswith("_type") and value is not None


@dataclass(frozen=True, slots=True)
class Reply:
    """What a function answered, as JSON. Reading it raises QueueError if it is not what this version expects."""

    function: str
    url: str
    """The project's."""
    content: Any = field(repr=False)

    def value(self, allowed: Collection[_Value]) -> _Value:
        """The value of the reply, which is one of these."""
        for value in allowed:
            if self.content == value:
                return value
        raise self.shape_error()

    def row(self, kind: type[_Row]) -> _Row:
        """The one row of the reply. A call of a group is answered with the row itself."""
        is_list = isinstance(self.content, list)
        rows = (self if is_list else replace(self, content=[self.content])).rows(kind)
        if len(rows) != 1:
            raise QueueError(
                f"{self.function} answered with {len(rows)} rows instead of one. {MIGRATE}"
            )
        return rows[0]

    def rows(self, kind: type[_Row]) -> list[_Row]:
        """The rows of the reply, all of which can be read."""
        rows = self.each_row(kind)
        if rows.unreadable:
            raise self.columns_error(
                column for row in rows.unreadable for column in row.columns
            )
        return rows.parsed

    def each_row(self, kind: type[_Row]) -> Rows[_Row]:
        """The rows, each read by itself. What the call did to those that cannot be read stays done."""
        if not isinstance(self.content, list) or not all(
            isinstance(row, dict) for row in self.content
        ):
            raise self.shape_error()
        rows = read_rows(kind, self.content)
        if rows.foreign_columns:
            raise self.columns_error(rows.foreign_columns)
        return rows

    def columns_error(self, columns: Iterable[str]) -> QueueError:
        """The error for rows of other columns than this version's."""
        names = ", ".join(sorted({*columns}))
        return QueueError(
            f"{self.function} answered with unusable columns: {names}. {MIGRATE}"
        )

    def shape_error(self) -> QueueError:
        """The error for an answer of another shape than the function's."""
        return QueueError(
            f"{self.function} answered with something that is not its JSON. Check that SUPABASE_URL ({self.url}) is "
            "the project's URL, not a web page's or the database's, and that the API's Max rows is not 0."
        )
