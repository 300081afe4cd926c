"""Phone numbers as people write them: read one, and notice one among words."""

import re
from typing import Final
from unicodedata import normalize

from smsretry.phone import spelling_problem

USUAL_SHAPES: Final = (
    r"\+[0-9][0-9 ().-]{6,}[0-9]"  # international
    r"|(?<![\w.,/-])00[1-9][0-9 ().-]{6,}[0-9]"
    r"|(?<![A-Za-z0-9-])[0-9]{9,}(?![A-Za-z0-9])"  # digits alone
    r"|\(?[0-9]{3}[) .-]{1,2}[0-9]{3}[ .-][0-9]{4}"  # as in the US
    r"|(?<![\w#.,/-])\(?[0-9]{3}\)?[ ./-]{0,2}[0-9]{3}[ .-]?[0-9]{4}(?![\w-])"
    r"|(?<![\w#.-])[2-9][0-9]{2}-[0-9]{4}(?![\w-])"  # without its area code
    r"|(?<![\w:.,/-])\(?0\)?[0-9]{2,4}\)?[ /-][0-9]{3,4}[ -]?[0-9]{3,4}(?![\w:])"  # with a zero in front, as in Europe
    r"|(?<![\w:.,/-])0[1-9](?:[ .][0-9]{2}){4}(?![\w:])"
)
"""The usual shapes of a number among words: all that `smsretry.numberless` masks in SQL, and more. A form's schema has
them, so that Prefect refuses a number before it is kept.
"""
HOW_TO_WRITE: Final = (
    "write it with its country code, such as +1 212 555 0100 or +44 20 7946 0100"
)
_DASHES: Final = re.compile("[\u2010-\u2015\u2212]")
_SINGLE: Final = re.compile(r"\(?\+?[0-9(][0-9\s().\-/]*[0-9]")
_US: Final = re.compile(r"1?[2-9][0-9]{2}[2-9][0-9]{6}")
_MOST_DIGITS: Final = 17
"""E.164 has 15 at most, and 00 may be in front."""


def holds_number(words: str) -> bool:
    """Whether words contain a phone number. Dates, ids, prices, codes and short order numbers are none."""
    return re.search(USUAL_SHAPES, _plain(words)) is not None


def read_phone(written: str) -> str:
    """The E.164 form of one number that somebody wrote.

    A number with a plus sign must have the digits of its E.164 form. Ten digits are a number of the US if they can be.

    Raises:
        ValueError: there is no number, or more than one, or its country is not known. The message never quotes it.
    """
    # A zero in brackets is dialed within the country alone.
    text = _plain(written).strip().removeprefix("tel:").replace("(0)", "")
    digits = re.sub(r"[^0-9]", "", text)
    if len(digits) > _MOST_DIGITS:
        raise ValueError(
            "This is more than one phone number, or none: give one number at a time"
        )
    if not _SINGLE.fullmatch(text):
        raise ValueError(f"This is no phone number: {HOW_TO_WRITE}")
    if text.lstrip("(").startswith("+"):
        phone = f"+{digits}"
    elif _US.fullmatch(digits):
        phone = f"+1{digits[-10:]}"
    else:
        raise ValueError(
            f"The country or the area code of this number is not known: {HOW_TO_WRITE}"
        )
    if problem := spelling_problem(phone):
        raise ValueError(f"{problem}: {HOW_TO_WRITE}")
    return phone


def _plain(text: str) -> str:
    """The text with one kind of digits, spaces and hyphens."""
    return _DASHES.sub("-", normalize("NFKC", text))
