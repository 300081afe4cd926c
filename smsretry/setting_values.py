"""What the value of a setting must be, and in which words a wrong one is told. A secret is never quoted."""

from typing import Annotated, Final

from pydantic import AfterValidator, HttpUrl, SecretStr
from pydantic_core import ErrorDetails

from smsretry.phone import phone_problem

CHOICE: Final = "choice"
"""The type of an error about several settings, of which one will do. It names them itself."""
MISSING: Final = "is not set"
ACCOUNT_SID: Final = "AC[0-9a-fA-F]{32}"
"""A pattern, as the next two."""
API_KEY_SID: Final = "SK[0-9a-fA-F]{32}"
SERVICE_SID: Final = "MG[0-9a-fA-F]{32}"


def in_one_piece(value: SecretStr) -> SecretStr:
    """A key that was copied with its line break would be refused as a header, with an obscure message.

    Raises:
        ValueError: says so, and does not quote it.
    """
    key = value.get_secret_value()
    if not key.isascii() or any(character.isspace() or not character.isprintable() for character in key):
        raise ValueError("has a line break, a space or another character that no key has: set it again without")
    return value


def _e164(value: str) -> str:
    if problem := phone_problem(value):
        raise ValueError(problem)
    return value


def _project_url(value: HttpUrl) -> HttpUrl:
    if value.host in ("supabase.com", "app.supabase.com"):
        raise ValueError("is the dashboard's address: must be the project's URL, https://<project>.supabase.co")
    if "/rest/v" in (value.path or ""):
        raise ValueError("must be the project's URL alone, https://<project>.supabase.co, without /rest/v1")
    return value


Secret = Annotated[SecretStr, AfterValidator(in_one_piece)]
Number = Annotated[str, AfterValidator(_e164)]
ProjectUrl = Annotated[HttpUrl, AfterValidator(_project_url)]


def advice(problem: ErrorDetails) -> str:
    """What the value must be, in words instead of the pattern that it fails."""
    kind, message = problem["type"], problem["msg"]
    if kind == "missing":
        return MISSING
    if kind == "string_pattern_mismatch":
        prefix = problem["ctx"]["pattern"].lstrip("^")[:2]
        return f"must be {prefix} and 32 digits from 0 to f, as the Twilio console shows it"
    if kind.startswith("url_"):
        return "must be a web address that begins with https://"
    if kind in ("float_parsing", "int_parsing", "int_from_float"):
        return "must be a number" if kind == "float_parsing" else "must be a whole number"
    return message.removeprefix("Value error, ").replace("Input should be", "must be")
