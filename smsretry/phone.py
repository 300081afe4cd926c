"""Phone numbers: is one spelled as it is stored, and can a person be texted at it?

One number has one spelling: the E.164 that libphonenumber writes. With another spelling the provider's list does not
have the text, the opt-out that the owner sends counts for another number, and a cap counts the two apart. A wrong
spelling can be corrected; a wrong kind of number cannot.

Nothing here asks whether a number is *assigned*. The library's list lags behind the numbering plan (area codes 436, 621
and 679 are in service and unknown to it), and the provider knows better. Nothing here quotes a number.
"""

import re
from typing import Final

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberFormat, PhoneNumberType

from smsretry import data

_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_NANP: Final = re.compile(r"\+1([2-9][0-9]{2})[2-9][0-9]{6}")
_NANP_REFUSED: Final = data.refused_area_codes()
_REFUSED: Final = {
    PhoneNumberType.TOLL_FREE: "toll-free",
    PhoneNumberType.PREMIUM_RATE: "premium-rate",
    PhoneNumberType.SHARED_COST: "shared-cost",
    PhoneNumberType.PERSONAL_NUMBER: "personal (follow-me)",
    PhoneNumberType.PAGER: "a pager",
}
_FEWEST_DIGITS: Final = 7
"""No number of E.164 has fewer, with its country code."""


def spelling_problem(phone: str) -> str | None:
    """How to write a number that is not spelled as libphonenumber writes it. None: it is spelled right."""
    spelling = _spelling(phone)
    if spelling == phone:
        return None
    reading = spelling or _likely_reading(phone)
    if reading is None:
        return _fault(phone)
    code = f"+{phonenumbers.parse(reading).country_code}"
    digits = reading.removeprefix(code)
    plain = re.sub(r"[^+0-9]", "", phone)
    if match := re.fullmatch(rf"\{code}([0-9]{{1,4}}){digits}", plain):
        remark = f"without the {match[1]} that is dialed before it"
    elif spelling:
        remark = "and nothing else"
    else:
        remark = "if it is from there"
    return f"Phone number is not spelled as E.164: write {code} and {len(digits)} digits, {remark}"


def country(phone: str) -> str:
    """The country of a number in E.164, or its calling code where several share it."""
    number = phonenumbers.parse(phone)
    return phonenumbers.region_code_for_number(number) or f"+{number.country_code}"


def e164(phone: str) -> str:
    """A number as libphonenumber writes it. What is no number with its country code stays as it is.

    Italy's numbers have a 0 after the country code, and Britain's have none: the library knows.
    """
    return _spelling(phone) or phone


def area_code(phone: str) -> str | None:
    """The three digits after +1 of a well-formed number of the North American plan; None for any other."""
    match = _NANP.fullmatch(phone)
    return match[1] if match else None


def recipient_problem(phone: str) -> str | None:
    """Why nobody can be texted at this number, however it is spelled (toll-free, premium-rate), or None.

    A code that can be no area code (N11, 555) is such a reason. One that is in no table is not.
    """
    spelling = _spelling(phone)
    if spelling is None:
        if len(re.sub(r"\D", "", phone)) < _FEWEST_DIGITS:
            return f"Phone number is none: it has fewer than {_FEWEST_DIGITS} digits"
        return None
    if npa := area_code(spelling):
        kind = _NANP_REFUSED.get(npa)
    else:
        kind = _REFUSED.get(phonenumbers.number_type(phonenumbers.parse(spelling)))
    if kind is None:
        return None
    return f"Phone number is {kind}: no person's phone, no text is sent to it"


def _fault(phone: str) -> str:
    """The fault of a number that can be read in no spelling."""
    if not _E164.fullmatch(phone):
        return "Phone number is not E.164: write a plus sign, the country code and the number, no spaces"
    if re.fullmatch(r"\+1[0-9]{10}", phone):
        return "Phone number is malformed: area codes and exchanges of +1 begin with 2 to 9"
    if _parse(phone) is None:
        return "Phone number has no known country code"
    return "Phone number has the wrong length for its country"


def _likely_reading(phone: str) -> str | None:
    """The likely spelling of a number that lacks its plus sign or country code, or has Mexico's old mobile prefix."""
    plain = re.sub(r"[^+0-9]", "", phone)
    abroad = re.sub(r"^(00)?(?=[1-9])", "+", plain)
    # Until 2019 a 1 was dialed before Mexico's mobile numbers.
    abroad = re.sub(r"^\+521(?=[0-9]{10}$)", "+52", abroad)
    for reading in (_spelling(phone, "US"), _spelling(abroad)):
        if reading is None:
            continue
        # Ten digits may be a number of many countries.
        number = phonenumbers.parse(reading)
        if len(plain) > 10 or phonenumbers.is_valid_number(number):
            return reading
    return None


def _spelling(phone: str, region: str | None = None) -> str | None:
    """The number as libphonenumber writes it. None: it reads none, or one whose length is impossible.

    Args:
        region: the country of a number that has no country code. None: such a number is not read.
    """
    if _NANP.fullmatch(phone):
        return phone
    number = _parse(phone, region)
    if number is None or not phonenumbers.is_possible_number(number):
        return None
    spelling = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    pattern = _NANP if spelling.startswith("+1") else _E164
    return spelling if pattern.fullmatch(spelling) else None


def _parse(phone: str, region: str | None = None) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(phone, region)
    except phonenumbers.NumberParseException:
        return None
