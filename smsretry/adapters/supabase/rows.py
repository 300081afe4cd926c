"""The rows of an answer, each read by itself: a value that no worker can read costs its own row and no other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

_Row = TypeVar("_Row", bound=BaseModel)


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
    """The content of an answer."""

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
                str(detail["loc"][0]): detail["type"]
                for detail in error.errors(include_input=False)
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
