"""Opt-outs from another system: the order to import them, and how a file of them is read.

A line has two columns: a number with its country code, and when it opted out, in ISO 8601 with a zone.
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

from pydantic import Field, model_validator

from smsretry.desk.actions.form import A_MOMENT, Id
from smsretry.desk.actions.requests import Order
from smsretry.written_numbers import HOW_TO_WRITE, read_phone

LINES_OF_A_CALL: Final = 500
"""How many opt-outs one call holds; `import_sms_opt_outs` takes no more."""
_LONGEST_LINE: Final = 1000


class ImportOptOuts(Order):
    """Import opt-outs from another system, also of numbers that no customer has yet.

    FILE is a CSV of two columns, with a header or without: the number with its country code, and when it opted out, in
    ISO 8601 with a zone. Without a date it counts as now. A number whose customer opted in later is left alone. Give
    the file again after a mistake or a broken connection: what is recorded already stays as it is.
    """

    FUNCTION, VERB = "import_sms_opt_outs", ("record", "recorded")
    business_id: Id | None = Field(None, title="Business", description="Whose opt-outs they are.")
    all_businesses: bool = Field(False, description="They are from every business.")

    @model_validator(mode="after")
    def _for_whom(self) -> Self:
        if self.all_businesses is (self.business_id is not None):
            raise ValueError("say for whom in one way: business_id, or all_businesses")
        return self


@dataclass(frozen=True, slots=True)
class OptOut:
    """A number that opted out."""

    line: int
    phone: str
    at: datetime | None
    """None: no date is known."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A line that cannot be read, and why. Nothing of it is quoted."""

    line: int
    why: str


def read_opt_outs(lines: Iterable[str]) -> Iterator[OptOut | Unread]:
    """Read the lines of a file, one by one, so that a broken one costs no other. Empty ones are passed over."""
    delimiter = ","
    for number, text in enumerate(lines, start=1):
        if number == 1:
            text = text.removeprefix("\ufeff")
            delimiter = max(",;\t", key=text.count)
            if not any(character.isdigit() for character in text.split(delimiter)[0]):  # a header
                continue
        if text.strip():
            yield _read(number, text.strip(), delimiter)


def _read(line: int, text: str, delimiter: str) -> OptOut | Unread:
    try:
        if len(text) > _LONGEST_LINE:
            raise ValueError(f"It is longer than {_LONGEST_LINE} characters")
        try:
            phone, date, *more = [*next(csv.reader([text], delimiter=delimiter, strict=True)), ""]
        except csv.Error:
            raise ValueError("A quotation mark is not closed, or there are characters that no text has") from None
        if any(more):
            raise ValueError("It has more than two columns: keep the number and the date")
        return OptOut(line, _phone(phone.strip()), _moment(date.strip()))
    except ValueError as error:
        return Unread(line, str(error))


def _phone(written: str) -> str:
    if not written.startswith("+"):
        raise ValueError(f"Its number has no country code, or is none: {HOW_TO_WRITE}")
    return read_phone(written)


def _moment(written: str) -> datetime | None:
    if not written:
        return None
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError(f"Its date must be {A_MOMENT}")
    return moment
