"""Phone numbers as people write them: read one, and notice one among words."""

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from itertools import combinations
from typing import Final
from unicodedata import normalize

import phonenumbers

from smsretry.phone import phone_problem, spelling_problem

USUAL: Final = (
    r"\+[0-9][0-9 ().-]{6,}[0-9]"  # international
    r"|(?<![A-Za-z0-9-])[0-9]{9,}(?![A-Za-z0-9])"  # digits alone
    r"|\(?[0-9]{3}[) .-]{1,2}[0-9]{3}[ .-][0-9]{4}"  # as in the US
    r"|\([0-9]{3}\) ?[0-9]{7}"
    r"|(?<![\w:.,/-])\(?0[0-9]{2,4}\)?[ -][0-9]{3,4}[ -]?[0-9]{3,4}(?![\w:])"  # with a zero in front, as in Europe
)
"""The usual shapes of a number among words: all that `smsretry.numberless` masks in SQL, and some more."""
_USUAL: Final = re.compile(USUAL)
_LOCAL: Final = re.compile(r"(?<![\w#.-])[2-9]\d{2}-\d{4}(?![\w-])")
"""A number of the US without its area code."""
_HARMLESS: Final = re.compile(
    r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"  # an id
    r"|\b[A-Z]{2}[0-9a-f]{32}\b"  # a SID
    r"|(?<!\d)\d{4}-\d\d-\d\d(?!\d)(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?: ?[+-]\d\d:?\d\d)?)?"
    r"|(?<![\d./-])\d{1,2}([./-])\d{1,2}\1\d{2,4}(?![\d./-]*\d)"  # a date
    r"|(?<!\d)\d{1,2}:\d\d(?::\d\d)?(?!\d)"  # a time
    r"|(?<!\d)\d{5}-\d{4}(?!\d)"  # a ZIP code
    r"|(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d.])"  # an IP address
    r"|[$€£] ?\d[\d,.]*|(?<!\d)\d+[.,]\d\d ?[$€£]"  # a price
)
_RUN: Final = re.compile(r"(?<![A-Za-z0-9])[0-9]+(?:[\s().\-/]{1,3}[0-9]+)+(?![A-Za-z0-9])")
"""Groups of digits that may be one number."""
_DASHES: Final = re.compile("[\u2010-\u2015\u2212]")
_NATIONAL: Final = ("GB", "ES", "IT", "MX", "IN", "PT", "PL", "BR")
"""Countries where a number may be written without a zero in front. In the others the zero tells."""
_DIGITS: Final = range(9, 14)
"""How many digits a national number has, at least with its area code."""
_THREES: Final = [3, 3, 3]
_US_STARTS, _PAIRS = (3, 6), (1, 2)
"""Digits of the first group: 212 5550191, 212555 0191. Or of the largest: 2 1 2 5 5 5 0 1 9 1."""
_US: Final = re.compile(r"1?[2-9][0-9]{2}[2-9][0-9]{6}")

HOW_TO_WRITE: Final = "write it with its country code, such as +1 212 555 0100 or +44 20 7946 0100"
_FEWEST_DIGITS, _MOST_DIGITS = 7, 17
"""E.164 has 15 at most, and 00 may be in front."""
_CAREFULLY: Final = re.compile(r"\(?\+?[0-9(][0-9\s().\-/]*[0-9]")


def holds_number(words: str) -> bool:
    """Whether there is a phone number among words. Dates, ids, prices, codes and short order numbers are none."""
    text = _plain(words)
    if _USUAL.search(text):
        return True
    text = _HARMLESS.sub(" · ", text)
    return bool(_LOCAL.search(text)) or any(map(_is_number, _parts(text)))


def read_phone(written: str, *, country: str | None = None) -> str:
    """The E.164 form of one number as somebody wrote it. With a plus sign in front, its digits must be the form's own.

    Args:
        country: two letters of the country that a number without a country code belongs to. Without one, a number of
            ten digits that can be one of the US is that.

    Raises:
        ValueError: it is none, two, or its country is not known. The message never quotes it.
    """
    text = _plain(written).strip()
    text = text[4:] if text.lower().startswith("tel:") else text
    digits = re.sub(r"[^0-9]", "", text)
    if len(digits) > _MOST_DIGITS:
        raise ValueError("This is more than one phone number, or none: give one number at a time")
    if not _CAREFULLY.fullmatch(text) or len(digits) < _FEWEST_DIGITS:
        raise ValueError(f"This is no phone number: {HOW_TO_WRITE}")
    international = text.lstrip("(").startswith("+")
    if not international and country is None and not _US.fullmatch(digits):
        raise ValueError(f"The country or the area code of this number is not known: {HOW_TO_WRITE}")
    try:
        number = phonenumbers.parse(text, None if international else country or "US")
    except phonenumbers.NumberParseException:
        raise ValueError(f"This is no phone number: {HOW_TO_WRITE}") from None
    if phonenumbers.is_possible_number_with_reason(number) == phonenumbers.ValidationResult.IS_POSSIBLE_LOCAL_ONLY:
        raise ValueError(f"The area code of this number is missing: {HOW_TO_WRITE}")
    phone = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    # "(0)" says itself that it is dialed within the country.
    if international and "(0)" not in written and (problem := spelling_problem(f"+{digits}")):
        raise ValueError(problem)
    if problem := phone_problem(phone):
        where = "" if international else f", read as one of {country or 'US'}"
        raise ValueError(f"{problem}{where}: {HOW_TO_WRITE}")
    return phone


@cache
def country_of(zone: str) -> str | None:
    """The country of a time zone, in two letters, by the zone data's own table. None: it is in none, or unknown."""
    lines = files("tzdata.zoneinfo").joinpath("zone.tab").read_text(encoding="utf-8").splitlines()
    rows = (line.split("\t") for line in lines if not line.startswith("#"))
    return next((row[0] for row in rows if row[2] == zone), None)


def _plain(text: str) -> str:
    """With digits, spaces and hyphens of one kind each, and a zero like any other digit."""
    return _DASHES.sub("-", normalize("NFKC", text)).replace("(0)", "0")


def _parts(text: str) -> Iterator[list[str]]:
    """Groups of digits that follow on each other, in every choice of where they begin and end."""
    for run in _RUN.finditer(text):
        groups = re.findall("[0-9]+", run[0])
        for first, last in combinations(range(len(groups) + 1), 2):
            if last - first > 1 and sum(map(len, groups[first:last])) in _DIGITS:
                yield groups[first:last]


def _is_number(groups: list[str]) -> bool:
    digits = "".join(groups)
    if len(groups[0]) > 1 and digits.startswith("0"):
        return True
    sizes = [len(group) for group in groups if group != "1" or group is not groups[0]]
    if _US.fullmatch(digits) and (sizes[0] in _US_STARTS or max(sizes) in _PAIRS):
        return True
    return any(_is_written_so(groups, country) for country in _NATIONAL)


def _is_written_so(groups: list[str], country: str) -> bool:
    """Whether it is a number of that country, in the groups that people there write it in."""
    number = phonenumbers.parse("".join(groups), country)
    usual = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
    return phonenumbers.is_valid_number(number) and (
        re.findall("[0-9]+", usual)[1:] == groups or [len(group) for group in groups] == _THREES
    )
