"""The checks of setting values. Their errors never quote a value."""

import os
import re
from collections.abc import Callable
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, HttpUrl, SecretStr
from pydantic_settings import NoDecode

from smsretry.phone import spelling_problem
from smsretry.retry.profile import EVERYBODY, Audience

SEND_TO: Final = "SMSRETRY_SEND_TO"
ACCOUNT_SID: Final = re.compile("AC[0-9a-f]{32}")
SERVICE_SID: Final = re.compile("MG[0-9a-f]{32}")


def _sid(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def checked(value: str) -> str:
        if not pattern.fullmatch(value):
            prefix = pattern.pattern[:2]
            raise ValueError(
                f"must be {prefix} and 32 digits from 0 to f, as the Twilio console shows it"
            )
        return value

    return checked


def _in_one_piece(value: SecretStr) -> SecretStr:
    """A key that was copied with its line break would be refused as a header, with an obscure message."""
    key = value.get_secret_value()
    if not key.isascii() or any(
        character.isspace() or not character.isprintable() for character in key
    ):
        raise ValueError(
            "has a line break, a space or another character that no key has: set it again without"
        )
    return value


def _e164(value: str) -> str:
    if problem := spelling_problem(value):
        raise ValueError(problem)
    return value


def _project_url(value: HttpUrl) -> HttpUrl:
    if value.host in ("supabase.com", "app.supabase.com") or "/rest/v" in (
        value.path or ""
    ):
        raise ValueError(
            "must be the project's URL alone, https://<project>.supabase.co, without /rest/v1"
        )
    return value


def _whom_to_text(setting: object) -> object:
    """`all`, `nobody`, or numbers with commas between them.

    A blank, as a template leaves that was not filled in, is a mistake: taken for the default, it would text everybody.
    """
    if setting == EVERYBODY:
        setting = next(
            (value for name, value in os.environ.items() if name.upper() == SEND_TO),
            "all",
        )
    if not isinstance(setting, str):
        return setting
    entries = [entry.strip() for entry in setting.split(",") if entry.strip()]
    if not entries:
        raise ValueError("is set to nothing: must be all, nobody, or a list of numbers")
    if entries in (["all"], ["nobody"]):
        return EVERYBODY if entries == ["all"] else Audience()
    for place, entry in enumerate(entries, 1):
        if problem := spelling_problem(entry):
            raise ValueError(f"entry {place}: {problem}; or give all, or nobody")
    return Audience(numbers=frozenset(entries))


AccountSid = Annotated[str, AfterValidator(_sid(ACCOUNT_SID))]
ApiKeySid = Annotated[str, AfterValidator(_sid(re.compile("SK[0-9a-fA-F]{32}")))]
ServiceSid = Annotated[str, AfterValidator(_sid(SERVICE_SID))]
Secret = Annotated[SecretStr, AfterValidator(_in_one_piece)]
Number = Annotated[str, AfterValidator(_e164)]
ProjectUrl = Annotated[HttpUrl, AfterValidator(_project_url)]
WhomToText = Annotated[Audience, NoDecode, BeforeValidator(_whom_to_text)]
