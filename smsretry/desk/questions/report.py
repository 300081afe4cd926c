"""An owner's figures: what each business sent, what was lost, and who opted out."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from smsretry.desk.actions.requests import Report
from smsretry.desk.questions.answers import Answer
from smsretry.desk.questions.blocks import Block
from smsretry.vocabulary import spaced

_TITLES: Final = {
    "businesses": "Texts by business and month",
    "opted_out": "Customers who opted out",
    "lost": "Texts that failed or did not arrive",
}


class Reported(Answer):
    """The rows of a report, all of them."""

    form: Report
    rows: tuple[dict[str, Any], ...]

    def tell(self) -> Iterator[Block]:
        yield f"{_TITLES[self.form.what]}: {len(self.rows)}"
        for row in self.rows:
            yield ", ".join(
                f"{spaced(name)} {cell}" for name, cell in cells(row).items() if cell
            )

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "rows": self.rows}


def cells(row: Mapping[str, Any]) -> dict[str, str]:
    """A row in words: counts by reason as one cell, such as `30003: 2; 30005: 1`."""
    return {name: _cell(value) for name, value in row.items()}


def _cell(value: object) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{reason}: {count}" for reason, count in value.items())
    return "" if value is None else str(value)
