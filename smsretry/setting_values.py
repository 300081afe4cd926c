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


def _sid_check(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            prefix = pattern.pattern[:2]
            raise ValueError(
                f"must be {prefix} and 32 digits from 0 to f, as the Twilio console shows it"
            )
        return value

    return check


def _check_key(value: SecretStr) -> SecretStr:
    """A key that was copied with its line break would be refused as a header, with an obscure message."""
    # All visible characters of ASCII.
    if not re.fullmatch("[!-~]*", value.get_secret_value()):
        raise ValueError(
            "has a line break, a space or another character that no key has: set it again without"
        )
    return value


def _check_phone(value: str) -> str:
    if problem := spelling_problem(value):
        raise ValueError(problem)
    return value


def _check_project_url(value: HttpUrl) -> HttpUrl:
    is_other = (value.host or "").endswith(("supabase.com", "twilio.com"))
    if is_other or "/rest/v" in (value.path or ""):
        raise ValueError(
            "must be the project's URL alone, https://<project>.supabase.co, without /rest/v1"
        )
    return value


def _read_audience(setting: object) -> object:
    """`all`, `nobody`, or numbers with commas between them.

    A blank, such as a template that was not filled in leaves, is a mistake: the default would text everybody.
    """
    if setting == EVERYBODY:
        # This is the default, and `env_ignore_empty` may have hidden an empty variable.
        setting = "all"
        for name, value in os.environ.items():
            if name.upper() == SEND_TO:
                setting = value
    if not isinstance(setting, str):
        return setting
    entries = [entry.strip() for entry in setting.split(",") if entry.strip()]
    if not entries:
        raise ValueError("is set to nothing: must be all, nobody, or a list of numbers")
    if entries == ["all"]:
        return EVERYBODY
    if entries == ["nobody"]:
        return Audience()
    for position, entry in enumerate(entries, 1):
        if problem := spelling_problem(entry):
            raise ValueError(f"entry {position}: {problem}; or give all, or nobody")
    return Audience(numbers=frozenset(entries))


AccountSid = Annotated[str, AfterValidator(_sid_check(ACCOUNT_SID))]
ApiKeySid = Annotated[str, AfterValidator(_sid_check(re.compile("SK[0-9a-fA-F]{32}")))]
ServiceSid = Annotated[str, AfterValidator(_sid_check(SERVICE_SID))]
Secret = Annotated[SecretStr, AfterValidator(_check_key)]
E164 = Annotated[str, AfterValidator(_check_phone)]
ProjectUrl = Annotated[HttpUrl, AfterValidator(_check_project_url)]
WhomToText = Annotated[Audience, NoDecode, BeforeValidator(_read_audience)]
