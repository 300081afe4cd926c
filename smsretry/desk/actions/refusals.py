"""What does not fit a form, in the words of whoever filled it in."""

import re
from collections.abc import Mapping
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from smsretry.written_numbers import holds_number

AN_ID: Final = "an id of 36 characters, such as 5b0c5f0e-6b0a-4a53-9d0c-0f5c1f6f2a11"
A_MOMENT: Final = "a time with its zone, such as 2026-11-24T08:15:00-05:00"
_WORDS: Final = {
    "missing": "must be given",
    "extra_forbidden": "is no field of this form",
    "uuid": f"must be {AN_ID}",
    "datetime": f"must be {A_MOMENT}",
    "timezone": f"must be {A_MOMENT}",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
    "string_too_long": "must have {max_length} characters at most",
    "string_too_short": "must not be empty",
    "string": "must be text",
    "too_short": "must not be empty",
    "too_long": "must have {max_length} entries at most",
    "literal": "must be {expected}",
    "int": "must be a whole number",
    "float": "must be a number",
    "bool": "must be true or false",
    "list": "must be a list",
    "model": "must be given as a form: its fields, each with its value",
}
"""By the longest beginning of the library's name of the error."""
_SHORT: Final = re.compile("[0-9]{7}")
"""No field has so many digits, and a number without its area code does."""


def in_words(error: ValidationError, called: Mapping[str, str], *, colon: str = ": ") -> list[str]:
    """Each thing that does not fit. No value is quoted: it may be a customer's number.

    Args:
        called: what each field is called where it was filled in. Empty: it is one value, and no form.
        colon: what stands between a field and what is wrong with it.
    """
    return [_describe(problem, called, colon) for problem in error.errors(include_input=False, include_url=False)]


def _describe(problem: ErrorDetails, called: Mapping[str, str], colon: str) -> str:
    words = problem["msg"].removeprefix("Value error, ")
    if kinds := [kind for kind in _WORDS if problem["type"].startswith(kind)]:
        words = _WORDS[max(kinds, key=len)].format_map(problem.get("ctx", {}))
    if not called:
        return words
    if not problem["loc"]:
        fields = re.compile(rf"\b({'|'.join(sorted(called, key=len, reverse=True))})\b")
        return fields.sub(lambda field: called[field[1]], words)
    field, *place = problem["loc"]
    is_number = holds_number(str(field)) or _SHORT.search(str(field))
    name = "a name that is a number" if is_number else called.get(str(field), str(field))
    if not name:
        return words
    nth = f" (number {int(place[0]) + 1})" if place and isinstance(place[0], int) else ""
    return f"{name}{nth}{colon}{words}"
