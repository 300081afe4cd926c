"""Phone numbers: is one well formed, and can a person be texted at it?"""

import re
from typing import Final

import phonenumbers
from phonenumbers import PhoneNumberType

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
    """What is wrong with a stored phone number, or None. Never quotes the number.

    This does not ask whether a number is *assigned*. The library's list lags behind the numbering plan (area codes
    436, 621 and 679 are in service and unknown to it), and the provider knows better.
    """
    if not _E164.fullmatch(phone):
        return "Phone number is not E.164 (a plus sign, the country code and the number, no spaces)"
    try:
        number = phonenumbers.parse(phone)
    except phonenumbers.NumberParseException:
        return "Phone number has no known country code"
    if not phonenumbers.is_possible_number(number):
        return "Phone number has the wrong length for its country"
    return None


def area_code(phone: str) -> str | None:
    """The three digits after +1 of a well-formed number of the North American plan; None for any other."""
    match = _NANP.fullmatch(phone)
    return match[1] if match else None


def recipient_problem(phone: str) -> str | None:
    """Why nobody can be texted at this number (malformed, toll-free, premium-rate), or None. Never quotes it.

    A code that can be no area code (N11, 555) is such a reason. One that is in no table is not: see `phone_problem`.
    """
    if npa := area_code(phone):
        kind = _NANP_REFUSED.get(npa)
    elif problem := phone_problem(phone):
        return problem
    elif phone.startswith("+1"):
        return "Phone number is malformed: area codes and exchanges of +1 begin with 2 to 9"
    else:
        kind = _REFUSED.get(phonenumbers.number_type(phonenumbers.parse(phone)))
    return f"Phone number is {kind}: no person's phone, no text is sent to it" if kind else None
