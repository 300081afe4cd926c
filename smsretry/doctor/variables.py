"""The environment, variable by variable: is it right, is one misspelled, does one do what nobody expects?"""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Final
from urllib.parse import urlsplit

from smsretry.retry.models import Finding
from smsretry.settings import PrefectSettings, Settings, variables

_PREFIXES: Final = ("SUPABASE_", "TWILIO_", "SMSRETRY_", "PREFECT_API_")
"""Of the others of Prefect's hundreds of settings smsretry reads none."""


def variable_findings(problems: Mapping[str, str], environment: Mapping[str, str]) -> Iterator[Finding]:
    """One finding for each setting, and one for each variable that nobody reads or that means something else.

    Args:
        problems: what is wrong with the settings, by variable.
    """
    for variable, default in variables(Settings).items():
        if variable in problems:
            yield Finding(subject=variable, ok=False, advice=problems[variable])
        elif environment.get(variable):
            yield Finding(subject=variable, ok=True)
        else:
            yield Finding(subject=f"{variable} (not set{'' if default is None else f': {default}'})", ok=True)
    known = [*variables(Settings), *variables(PrefectSettings)]
    yield from _misspelled(environment, known)
    yield from _quoted(environment, known)
    if environment.get("TWILIO_BASE_URL"):
        advice = "texts go to this address, and not to Twilio: right for a test, and only there"
        yield Finding(subject="TWILIO_BASE_URL", ok=True, advice=advice)
    host = urlsplit(environment.get("TWILIO_STATUS_CALLBACK_URL", "")).hostname
    if host and "TWILIO_BASE_URL" not in environment and _is_private(host):
        advice = f"Twilio cannot reach {host}, and refuses texts that name it: give a public address, or unset it"
        yield Finding(subject="TWILIO_STATUS_CALLBACK_URL", ok=False, advice=advice)
    for name in ("TWILIO_EDGE", "TWILIO_REGION"):
        if environment.get(name):
            advice = (
                "sends requests to another region, where other credentials hold: unset it, if the account is not there"
            )
            yield Finding(subject=name, ok=True, advice=advice)


def _misspelled(environment: Mapping[str, str], known: Sequence[str]) -> Iterator[Finding]:
    """Variables of our prefixes that nobody reads, with the setting that was probably meant.

    A name that begins with SMSRETRY_ is always ours. One of the others may be the application's, so it is only named
    if the setting that it resembles is not set.
    """
    for name in sorted(environment):
        if not name.upper().startswith(_PREFIXES) or name.upper() in known:
            continue
        meant = [variable for variable in _like(name.upper(), known) if not environment.get(variable)]
        if meant:
            advice = f"is no setting of smsretry: did you mean {' or '.join(meant)}?"
            yield Finding(subject=name, ok=True, advice=advice)
        elif name.upper().startswith("SMSRETRY_"):
            yield Finding(subject=name, ok=True, advice="is no setting of smsretry, so nothing reads it")


def _like(name: str, known: Sequence[str]) -> list[str]:
    """Settings with the same prefix whose names contain all its words; if there are none, those that are similar."""
    prefix, _, rest = name.partition("_")
    ours = {one.partition("_")[2]: one for one in known if one.startswith(f"{prefix}_")}
    containing = [one for one in ours if set(rest.split("_")) <= set(one.split("_"))]
    return [ours[one] for one in containing or get_close_matches(rest, ours, cutoff=0.75)]


def _quoted(environment: Mapping[str, str], known: Sequence[str]) -> Iterator[Finding]:
    """Values in quotation marks: `docker run --env-file` and systemd's files do not take them away."""
    for name in known:
        value = environment.get(name, "")
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            advice = "is in quotation marks, which count as a part of it: remove them"
            yield Finding(subject=name, ok=False, advice=advice)


def _is_private(host: str) -> bool:
    """Whether it means something in one network, and another thing or nothing in the next."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".local", ".localhost", ".internal"))
