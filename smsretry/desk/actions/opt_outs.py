"""Opt-outs from another system: the order to import them, and how a file of them is read.

A line has two columns: a number with its country code, and when it opted out, in ISO 8601 with a zone.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import Field

from smsretry.desk.actions.form import IdOrAll
from smsretry.desk.actions.requests import Order
from smsretry.written_numbers import HOW_TO_WRITE, read_phone

LINES_OF_A_CALL: Final = 500
"""How many opt-outs one call holds; `import_sms_opt_outs` takes no more."""


class ImportOptOuts(Order):
    """Import opt-outs from another system, also of numbers that no customer has yet.

    FILE is a CSV of two columns, with a header or without: the number with its country code, and when it opted out, in
    ISO 8601 with a zone. A number whose customer opted in later is left alone. Give the file again after a mistake or a
    broken connection: what is recorded already stays as it is.
    """

    FUNCTION, DOES = "import_sms_opt_outs", ("record", "recorded")
    business_id: IdOrAll = Field(description="Whose opt-outs they are; all: they are from every business.")

    def values(self) -> dict[str, object]:
        """All has no id."""
        every = self.business_id == "all"
        return {**super().values(), "business_id": None if every else self.business_id, "all_businesses": every}


@dataclass(frozen=True, slots=True)
class OptOut:
    """A line: a number that opted out, and when, in ISO 8601; or why it cannot be read, which quotes nothing of it."""

    line: int
    phone: str = ""
    at: str = ""
    unread: str = ""


def read_opt_outs(lines: Sequence[str]) -> Iterator[OptOut]:
    """Read the lines of a file, one by one, so that a broken one costs no other. Empty ones are passed over."""
    delimiter = max(",;\t", key="".join(lines[:1]).count)
    for number, text in enumerate(lines, start=1):
        cells = [cell.strip(' "\r\n') for cell in text.split(delimiter)]
        is_header = number == 1 and not any(character.isdigit() for character in cells[0])
        try:
            if any(cells) and not is_header:
                yield OptOut(number, *_read(*cells))
        except ValueError as error:
            yield OptOut(number, unread=str(error))


def _read(written: str, date: str = "", *more: str) -> tuple[str, str]:
    if any(more):
        raise ValueError("It has more than two columns: keep the number and the date")
    if not written.startswith("+"):
        raise ValueError(f"Its number has no country code, or is none: {HOW_TO_WRITE}")
    phone = read_phone(written)
    with suppress(ValueError):
        if (moment := datetime.fromisoformat(date)).tzinfo:
            return phone, moment.isoformat()
    raise ValueError("Its date must be a time with its zone, such as 2026-11-24T08:15:00-05:00")
