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
from smsretry.doctor.parts import Findings
from smsretry.instants import span
from smsretry.retry.models import Finding
from smsretry.settings import Settings, variable_names, variables

_MISTYPED: Final = 2
"""By how many letters a mistyped name may be longer or shorter."""
_API_KEY: Final = ("TWILIO_API_KEY_SID", "TWILIO_API_KEY_SECRET")
_NOTICE: Final = timedelta(days=7)
"""How long before its end a key is told about."""
_PREFIXES: Final = ("SUPABASE_", "TWILIO_", "SMSRETRY_", "PREFECT_API_")
"""The prefixes of all settings that smsretry reads."""


def variable_findings(
    problems: Mapping[str, str], environment: Mapping[str, str]
) -> Findings:
    """Findings about each setting that is set or must be, and about each variable that does not do what it seems to.

    Args:
        problems: what is wrong with the settings, by variable.
    """
    settings = variables(Settings)
    absent = list[str]()
    for variable, default in settings.items():
        if environment.get(variable) or variable in problems:
            problem = problems.get(variable)
            yield Finding(subject=variable, ok=problem is None, advice=problem)
        elif isinstance(default, str | int | float):
            absent.append(f"{variable} ({default})")
        else:
            absent.append(variable)
    yield Finding(subject=f"not set, and need not be: {', '.join(absent)}", ok=True)
    names = [*variable_names(Settings), *variables(PrefectSettings)]
    candidates = [name for name in names if not environment.get(name)]
    for name, value in sorted(environment.items()):
        capitals = name.upper()
        if name in names:
            yield from _quotation_findings(name, value)
        elif environment.get(capitals, value) != value:
            advice = f"is set beside {capitals}, and one of them counts: unset it"
            yield Finding(subject=name, ok=False, advice=advice)
        elif capitals not in names and capitals.startswith(_PREFIXES):
            yield from _misspelling_findings(
                name, candidates=candidates, problems=problems
            )
    yield from _key_findings(environment)
    if environment.get("TWILIO_BASE_URL"):
        advice = "texts go to this address, and not to Twilio: right for a test, and only there"
        yield Finding(subject="TWILIO_BASE_URL", ok=True, advice=advice)
    host = _callback_host(environment)
    if host and _is_private(host):
        advice = f"Twilio cannot reach {host}, and refuses texts that name it: give a public address, or unset it"
        yield Finding(subject="TWILIO_STATUS_CALLBACK_URL", ok=False, advice=advice)


def expiry_findings(environment: Mapping[str, str], now: datetime) -> Findings:
    """Keys of the database that have expired, or will within a week."""
    for name, value in sorted(environment.items()):
        expiry = _expiry(value) if name.startswith("SUPABASE_") else None
        if expiry is None or expiry - now > _NOTICE:
            continue
        is_over = expiry <= now
        left = span(abs(expiry - now).total_seconds())
        when = f"expired {left} ago" if is_over else f"expires in {left}"
        yield Finding(
            subject=name,
            ok=not is_over,
            advice=f"{when}, and then every call is refused: put a new key in its place",
        )


def _expiry(key: str) -> datetime | None:
    """When a key that is a token ends. None: it is none, or does not say."""
    try:
        claims = json.loads(urlsafe_b64decode(key.split(".")[1] + "=="))
        return datetime.fromtimestamp(claims["exp"], UTC)
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, OSError):
        return None


def callback_findings(environment: Mapping[str, str]) -> Findings:
    """A warning if this machine cannot resolve the callback's host. Twilio may be able to."""
    host = _callback_host(environment)
    if host is None:
        return
    try:
        socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        advice = (
            f"{host} cannot be resolved here: check it, or Twilio's reports are lost"
        )
        yield Finding(subject="TWILIO_STATUS_CALLBACK_URL", ok=True, advice=advice)


def _callback_host(environment: Mapping[str, str]) -> str | None:
    """The host that Twilio reports to. None: there is none, or a stand-in is asked in place of Twilio."""
    if environment.get("TWILIO_BASE_URL"):
        return None
    return urlsplit(environment.get("TWILIO_STATUS_CALLBACK_URL", "")).hostname


def _key_findings(environment: Mapping[str, str]) -> Findings:
    """An address that is another service's, and half of a key, which nothing uses."""
    host = urlsplit(environment.get("SUPABASE_URL", "")).hostname or ""
    if host.endswith("twilio.com"):
        advice = (
            "is Twilio's address: give the project's, https://<project>.supabase.co"
        )
        yield Finding(subject="SUPABASE_URL", ok=False, advice=advice)
    halves = [half for half in _API_KEY if environment.get(half)]
    if len(halves) == 1 and environment.get("TWILIO_AUTH_TOKEN"):
        [other] = {*_API_KEY} - {*halves}
        advice = (
            f"is not used without {other}, and the auth token is: set both, or unset it"
        )
        yield Finding(subject=halves[0], ok=True, advice=advice)


def _misspelling_findings(
    name: str, *, candidates: Iterable[str], problems: Iterable[str]
) -> Findings:
    """The settings that a variable which nobody reads may be meant for.

    A name that begins with SMSRETRY_ is always ours. Any other may be the application's. It is reported if it is nearly
    the name of a setting that is not set, or an abbreviation of one that has a problem.
    """
    similar = [
        variable
        for variable in candidates
        if abs(len(variable) - len(name)) <= _MISTYPED
    ]
    guesses = get_close_matches(name.upper(), similar, n=1, cutoff=0.8)
    guesses += [
        variable
        for variable in problems
        if variable not in guesses and _abbreviates(name.upper(), variable)
    ]
    if guesses:
        yield Finding(
            subject=name,
            ok=True,
            advice=f"is no setting of smsretry: did you mean {' or '.join(guesses)}?",
        )
    elif name.upper().startswith("SMSRETRY_"):
        yield Finding(
            subject=name,
            ok=True,
            advice="is no setting of smsretry, so nothing reads it",
        )


def _abbreviates(name: str, variable: str) -> bool:
    """Whether all letters of the name are in the variable, in their order."""
    remaining_letters = iter(variable)
    return all(letter in remaining_letters for letter in name)


def _quotation_findings(name: str, value: str) -> Findings:
    """`docker run --env-file` and systemd's files do not take quotation marks away."""
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        yield Finding(
            subject=name,
            ok=False,
            advice="is in quotation marks, which count as a part of it: remove them",
        )


def _is_private(host: str) -> bool:
    """Whether the host means something in one network only."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".local", ".localhost", ".internal"))
