"""The environment: is each variable right, is one misspelled, does one do what nobody expects?"""

import ipaddress
import json
import socket
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Final
from urllib.parse import urlsplit

from smsretry.adapters.prefect.api import PrefectSettings
from smsretry.doctor.parts import Findings, remark, verdict
from smsretry.instants import span
from smsretry.settings import Settings, variable_names, variables

_SIMILAR: Final = 0.85
"""How much of a mistyped name is right."""
_API_KEY: Final = {"TWILIO_API_KEY_SID", "TWILIO_API_KEY_SECRET"}
_CALLBACK: Final = "TWILIO_STATUS_CALLBACK_URL"
_NOTICE: Final = timedelta(days=7)
"""How long before its end a key is told about."""
_PREFIXES: Final = ("SUPABASE_", "TWILIO_", "SMSRETRY_", "PREFECT_API_")
"""The prefixes of all settings that smsretry reads."""
_REHEARSAL: Final = (
    "texts go to this address, and not to Twilio: right for a test, and only there"
)
# Files of docker and systemd keep them.
_QUOTED: Final = "is in quotation marks, which count as a part of it: remove them"


def variable_findings(
    problems: Mapping[str, str], environment: Mapping[str, str]
) -> Findings:
    """Findings about each setting that is set or must be, and about each variable that does not do what it seems to.

    Args:
        problems: what is wrong with the settings, by variable.
    """
    absent = list[str]()
    for variable, default in variables(Settings).items():
        if environment.get(variable) or variable in problems:
            yield verdict(variable, problems.get(variable))
        else:
            has_default = isinstance(default, str | int | float)
            absent.append(f"{variable} ({default})" if has_default else variable)
    yield remark(f"not set, and need not be: {', '.join(absent)}")
    names = [*variable_names(Settings), *variables(PrefectSettings)]
    unset = [name for name in names if not environment.get(name)]
    for name, value in sorted(environment.items()):
        capitals = name.upper()
        if name in names:
            if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
                yield verdict(name, _QUOTED)
        elif environment.get(capitals, value) != value:
            advice = f"is set beside {capitals}, and one of them counts: unset it"
            yield verdict(name, advice)
        elif capitals not in names and capitals.startswith(_PREFIXES):
            yield from _misspelling(name, capitals, unset, problems)
    halves = [half for half in _API_KEY if environment.get(half)]
    if len(halves) == 1 and environment.get("TWILIO_AUTH_TOKEN"):
        [other] = _API_KEY.difference(halves)
        advice = (
            f"is not used without {other}, and the auth token is: set both, or unset it"
        )
        yield remark(halves[0], advice)
    if environment.get("TWILIO_BASE_URL"):
        yield remark("TWILIO_BASE_URL", _REHEARSAL)


def _misspelling(
    name: str, capitals: str, unset: Iterable[str], problems: Iterable[str]
) -> Findings:
    """The settings that a variable which nobody reads may be meant for.

    A name that begins with SMSRETRY_ is always ours. Any other may be the application's. It is reported if it is nearly
    the name of a setting that is not set, or an abbreviation of one that has a problem.
    """
    guesses = dict.fromkeys(get_close_matches(capitals, unset, n=1, cutoff=_SIMILAR))
    guesses |= dict.fromkeys(
        variable for variable in problems if _abbreviates(capitals, variable)
    )
    advice = "so nothing reads it"
    if guesses:
        advice = f"did you mean {' or '.join(guesses)}?"
    if guesses or capitals.startswith("SMSRETRY_"):
        yield remark(name, f"is no setting of smsretry: {advice}")


def _abbreviates(name: str, variable: str) -> bool:
    """Whether all letters of the name are in the variable, in their order."""
    remaining_letters = iter(variable)
    return all(letter in remaining_letters for letter in name)


def expiry_findings(environment: Mapping[str, str], now: datetime) -> Findings:
    """Keys of the database that have expired, or will within a week."""
    for name, value in sorted(environment.items()):
        expiry = _expiry(value) if name.startswith("SUPABASE_") else None
        if expiry and expiry - now <= _NOTICE:
            left = span(abs(expiry - now).total_seconds())
            is_over = expiry <= now
            when = f"expired {left} ago" if is_over else f"expires in {left}"
            advice = (
                f"{when}, and then every call is refused: put a new key in its place"
            )
            yield (verdict if is_over else remark)(name, advice)


def _expiry(key: str) -> datetime | None:
    """When a key that is a token ends. None: it is none, or does not say."""
    try:
        claims = json.loads(urlsafe_b64decode(key.split(".")[1] + "=="))
        return datetime.fromtimestamp(claims["exp"], UTC)
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, OSError):
        return None


def callback_findings(environment: Mapping[str, str]) -> Findings:
    """Whether Twilio can reach the callback's host. One that this machine cannot resolve, Twilio may be able to."""
    host = urlsplit(environment.get(_CALLBACK, "")).hostname
    if not host or environment.get("TWILIO_BASE_URL"):
        return
    try:
        if _is_private(host):
            advice = f"Twilio cannot reach {host}, and refuses texts that name it: give a public address, or unset it"
            yield verdict(_CALLBACK, advice)
        else:
            socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        advice = (
            f"{host} cannot be resolved here: check it, or Twilio's reports are lost"
        )
        yield remark(_CALLBACK, advice)


def _is_private(host: str) -> bool:
    """Whether the host means something in one network only."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".local", ".localhost", ".internal"))
