"""Phone numbers: is one well formed, is it spelled as it is stored, and can a person be texted at it?

One number has one spelling: the E.164 that libphonenumber writes. By another one the provider's list does not find a
text, the opt-out that its owner texts is another number's, and a cap counts them apart.
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
}


def phone_problem(phone: str) -> str | None:
    """Why a number may not be stored as it is written, or None. Never quotes the number.

    This does not ask whether a number is *assigned*. The library's list lags behind the numbering plan (area codes
    436, 621 and 679 are in service and unknown to it), and the provider knows better.
    """
    return _malformed(phone) if _spelled(phone) is None else spelling_problem(phone)


def spelling_problem(phone: str) -> str | None:
    """How to write a number that is spelled otherwise than libphonenumber writes it. Never quotes the number.

    None: it is spelled right, or it is no number in any spelling.
    """
    spelled = e164(phone)
    if spelled == phone:
        return None
    code = f"+{phonenumbers.parse(spelled).country_code}"
    digits = spelled.removeprefix(code)
    kept = re.fullmatch(rf"\{code}([0-9]+){digits}", re.sub(r"[^+0-9]", "", phone))
    without = (
        f"without the {kept[1]} that is dialed within the country"
        if kept
        else "and nothing else"
    )
    return f"Phone number is not spelled as E.164: write {code} and {len(digits)} digits, {without}"


def e164(phone: str) -> str:
    """A number as libphonenumber writes it. What is no number stays as it is.

    Italy's numbers have a 0 after the country code, and Britain's have none: the library knows.
    """
    return _spelled(phone) or phone


def area_code(phone: str) -> str | None:
    """The three digits after +1 of a well-formed number of the North American plan; None for any other."""
    match = _NANP.fullmatch(phone)
    return match[1] if match else None


def recipient_problem(phone: str) -> str | None:
    """Why nobody can be texted at this number (malformed, toll-free, premium-rate), or None. Never quotes it.

    A code that can be no area code (N11, 555) is such a reason. One that is in no table is not: see `phone_problem`.
    Nor is its spelling, which somebody can mend.
    """
    spelled = _spelled(phone)
    if spelled is None:
        return _malformed(phone)
    if npa := area_code(spelled):
        kind = _NANP_REFUSED.get(npa)
    elif spelled.startswith("+1"):
        return "Phone number is malformed: area codes and exchanges of +1 begin with 2 to 9"
    else:
        kind = _REFUSED.get(phonenumbers.number_type(phonenumbers.parse(spelled)))
    return (
        f"Phone number is {kind}: no person's phone, no text is sent to it"
        if kind
        else None
    )


def _malformed(phone: str) -> str:
    """What is wrong with what is no number in any spelling."""
    if not _E164.fullmatch(phone):
        return "Phone number is not E.164 (a plus sign, the country code and the number, no spaces)"
    if _parsed(phone) is None:
        return "Phone number has no known country code"
    return "Phone number has the wrong length for its country"


def _spelled(phone: str) -> str | None:
    """The number as libphonenumber writes it. None: it reads none, or one whose length is impossible."""
    if _NANP.fullmatch(phone):
        return phone
    number = _parsed(phone)
    if number is None or not phonenumbers.is_possible_number(number):
        return None
    spelled = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    return spelled if _E164.fullmatch(spelled) else None


def _parsed(phone: str) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(phone)
    except phonenumbers.NumberParseException:
        return None
