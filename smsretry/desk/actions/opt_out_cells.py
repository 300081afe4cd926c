"""Cells of a file of opt-outs: a number and a date, as people and spreadsheets write them."""

import re
from datetime import datetime, time, timedelta, timezone, tzinfo
from email.utils import parsedate_to_datetime
from typing import Final
from unicodedata import normalize

from smsretry.phone import area_code
from smsretry.written_numbers import HOW_TO_WRITE, read_phone

LATEST_ZONE: Final = timezone(timedelta(hours=-12))
"""Where a day ends last. A date without a zone counts there, so that the opt-out counts as no earlier than it was."""
_FORMULA: Final = re.compile(r'="([^"]*)"')
"""How a file keeps a spreadsheet from reading a number as an amount."""
_ROUNDED: Final = re.compile(r"[+-]?\d+(?:[.,]\d*)?E[+-]?\d+", re.IGNORECASE)
_AMOUNT: Final = re.compile(r"\+?\d{7,}[.,]\d*")
_ISO: Final = re.compile(r"\d{4}-\d\d-\d\d")
_RFC: Final = re.compile(
    r"([a-z]{3}, )?\d{1,2} [a-z]{3} \d{4} \d\d:\d\d(:\d\d)?"
    r"( (\+\d{4}|-(?!0000)\d{4}|UTC?|GMT|Z|[AECMP][SD]T))?",
    re.IGNORECASE | re.ASCII,
)
"""Whole, because the parser passes over what it does not know, such as PM, and the opt-out would count as earlier."""
_AGAIN: Final = "format the column as text in the spreadsheet, and export it again from where it came"


def read_number(cell: str, country: str | None) -> str:
    """The E.164 form of a number.

    Args:
        country: two letters, for a number without a country code. Without one such a number is refused: ten digits may
            be a number of several countries.

    Raises:
        ValueError: it is none, or only part of one is left. The message never quotes it.
    """
    text = cell.strip()
    if formula := _FORMULA.fullmatch(text):
        text = formula[1].strip()
    text = text.removeprefix("'")
    if area_code(text):
        return text
    if _ROUNDED.fullmatch(text):
        raise ValueError(f"A spreadsheet rounded this number (…E+…): {_AGAIN}")
    if _AMOUNT.fullmatch(text):
        raise ValueError(f"A spreadsheet wrote this number as an amount (with a decimal point): {_AGAIN}")
    international = normalize("NFKC", text).lower().removeprefix("tel:").lstrip(" (").startswith("+")
    if country is None and not international:
        raise ValueError(f"This number has no country code: give --country, or {HOW_TO_WRITE}")
    return read_phone(text, country=country)


def read_date(cell: str, zone: tzinfo | None) -> datetime | None:
    """The latest instant that a date may mean; None if there is none.

    ISO 8601 is read, and RFC 2822, in which providers write dates. A date without a time is the end of that day.

    Args:
        zone: of what has no zone of its own; None: `LATEST_ZONE`.

    Raises:
        ValueError: it is no date, or day and month may be either way round, as in 03/04/2026.
    """
    text = cell.strip()
    if not text:
        return None
    if not _ISO.match(text):
        if not _RFC.fullmatch(text):
            raise ValueError("This is no date that can mean but one moment")
        moment = parsedate_to_datetime(text)
    elif len(text) == len("2026-11-24"):
        moment = datetime.combine(datetime.fromisoformat(text), time.max)
    else:
        moment = datetime.fromisoformat(text.removesuffix(" UTC") + "Z" if text.endswith(" UTC") else text)
    # fold: the later one of an hour that a clock shows twice
    return moment if moment.tzinfo else moment.replace(tzinfo=zone or LATEST_ZONE, fold=1)
