"""What does not fit a form, in the words of whoever filled it in."""

import re
from collections.abc import Mapping

from pydantic import ValidationError
from pydantic_core import ErrorDetails


def in_words(error: ValidationError, called: Mapping[str, str], *, colon: str = ": ") -> list[str]:
    """Each thing that does not fit. No value is quoted: it may be a customer's number.

    Args:
        called: what each field is called where it was filled in. Empty: it is one value, and no form.
        colon: what stands between a field and what is wrong with it.
    """
    return [_describe(problem, called, colon) for problem in error.errors(include_input=False, include_url=False)]


def _describe(problem: ErrorDetails, called: Mapping[str, str], colon: str) -> str:
    words = problem["msg"].removeprefix("Value error, ").replace("Input should", "must")
    words = {"missing": "must be given", "extra_forbidden": "is no field of this form"}.get(problem["type"], words)
    if not called:
        return words
    if not problem["loc"]:
        fields = re.compile(rf"\b({'|'.join(sorted(called, key=len, reverse=True))})\b")
        return fields.sub(lambda field: called[field[1]], words)
    field, *place = map(str, problem["loc"])
    name = called.get(field, field if field.isidentifier() else "what is no name")
    nth = f" (number {int(place[0]) + 1})" if place and place[0].isdigit() else ""
    return f"{name}{nth}{colon}{words}" if name else words
