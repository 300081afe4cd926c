"""The environment, variable by variable: is it right, is one misspelled, does one do what nobody expects?"""

import ipaddress
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Final
from urllib.parse import urlsplit

from smsretry.adapters.prefect.api import PrefectSettings
from smsretry.retry.models import Finding
from smsretry.settings import Settings, variables

_MISTYPED: Final = 2
"""How many letters a name that is mistyped has more or less."""
_PREFIXES: Final = ("SUPABASE_", "TWILIO_", "SMSRETRY_", "PREFECT_API_")
"""The prefixes of all settings that smsretry reads."""


def variable_findings(
    problems: Mapping[str, str], environment: Mapping[str, str]
) -> Iterator[Finding]:
    """One finding for each setting that is set or must be, and one for each variable that nobody reads or that means
    something else.

    Args:
        problems: what is wrong with the settings, by variable.
    """
    settings = variables(Settings)
    for variable in settings:
        if environment.get(variable) or variable in problems:
            problem = problems.get(variable)
            yield Finding(subject=variable, ok=problem is None, advice=problem)
    not_set = [
        name for name in settings if not (environment.get(name) or name in problems)
    ]
    defaults = {
        name: default
        for name, default in settings.items()
        if isinstance(default, str | int | float)
    }
    labels = (
        f"{name} ({defaults[name]})" if name in defaults else name for name in not_set
    )
    yield Finding(subject=f"not set, and need not be: {', '.join(labels)}", ok=True)
    names = [*variables(Settings), *variables(PrefectSettings)]
    unset = [name for name in names if not environment.get(name)]
    for name in sorted(environment):
        if name in names:
            yield from _quoted(name, environment[name])
        elif environment.get(name.upper()) not in (None, environment[name]):
            advice = f"is set beside {name.upper()}, and one of them counts: unset it"
            yield Finding(subject=name, ok=False, advice=advice)
        elif name.upper() not in names and name.upper().startswith(_PREFIXES):
            yield from _unknown(name, unset, problems)
    if environment.get("TWILIO_BASE_URL"):
        advice = "texts go to this address, and not to Twilio: right for a test, and only there"
        yield Finding(subject="TWILIO_BASE_URL", ok=True, advice=advice)
        return
    host = urlsplit(environment.get("TWILIO_STATUS_CALLBACK_URL", "")).hostname
    if host and _is_private(host):
        advice = f"Twilio cannot reach {host}, and refuses texts that name it: give a public address, or unset it"
        yield Finding(subject="TWILIO_STATUS_CALLBACK_URL", ok=False, advice=advice)


def callback_findings(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the name of the callback's host is known here. Twilio may know another one."""
    host = urlsplit(environment.get("TWILIO_STATUS_CALLBACK_URL", "")).hostname
    if not host or environment.get("TWILIO_BASE_URL"):
        return
    try:
        socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        advice = (
            f"{host} cannot be resolved here: check it, or Twilio's reports are lost"
        )
        yield Finding(subject="TWILIO_STATUS_CALLBACK_URL", ok=True, advice=advice)


def _unknown(
    name: str, unset: Iterable[str], missing: Iterable[str]
) -> Iterator[Finding]:
    """A name that begins with SMSRETRY_ is always ours. One of the others may be the application's, so it is only named
    if all its letters are those of a setting that is not set, but for a mistype, or are in one that must be.
    """
    alike = [
        variable for variable in unset if abs(len(variable) - len(name)) <= _MISTYPED
    ]
    meant = get_close_matches(name.upper(), alike, n=1, cutoff=0.8)
    meant += [
        variable
        for variable in missing
        if variable not in meant and re.search(".*".join(name.upper()), variable)
    ]
    if meant:
        yield Finding(
            subject=name,
            ok=True,
            advice=f"is no setting of smsretry: did you mean {' or '.join(meant)}?",
        )
    elif name.upper().startswith("SMSRETRY_"):
        yield Finding(
            subject=name,
            ok=True,
            advice="is no setting of smsretry, so nothing reads it",
        )


def _quoted(name: str, value: str) -> Iterator[Finding]:
    """`docker run --env-file` and systemd's files do not take quotation marks away."""
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        yield Finding(
            subject=name,
            ok=False,
            advice="is in quotation marks, which count as a part of it: remove them",
        )


def _is_private(host: str) -> bool:
    """Whether it means something in one network, and another thing or nothing in the next."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".local", ".localhost", ".internal"))
