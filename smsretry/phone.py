"""Phone numbers: is this one, in the only form we store?"""

import re
from typing import Final

import phonenumbers

_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")


def phone_problem(phone: str) -> str | None:
    """What is wrong with a stored phone number, or None. Never quotes the number.

    Whether a number is *assigned* is not asked: the library's list lags behind the numbering plan (area codes 436,
    621 and 679 are in service and unknown to it), and Twilio knows better.
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
