"""The environment, variable by variable: is it right, is one misspelled, can what it names be reached from outside?"""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Final
from urllib.parse import urlsplit

from smsretry.retry.models import Finding
from smsretry.settings import PrefectSettings, Settings, variables

_PREFIXES: Final = ("SUPABASE_", "TWILIO_", "SMSRETRY_")
_PREFECTS: Final = ("PREFECT_API_", "PREFECT_AUTH_", "PREFECT_URL")
"""Prefect has hundreds of settings; smsretry reads these few."""


def each_variable(problems: Mapping[str, str], environment: Mapping[str, str]) -> Iterator[Finding]:
    """One finding for each setting: ok, what it is when it is not set, or what to do."""
    for variable, default in variables(Settings).items():
        if variable in problems:
            yield Finding(subject=variable, ok=False, advice=problems[variable])
        elif environment.get(variable):
            yield Finding(subject=variable, ok=True)
        else:
            yield Finding(subject=f"{variable} (not set{'' if default is None else f': {default}'})", ok=True)


def misspelled(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Variables of our prefixes that nobody reads, with the setting that was probably meant.

    A name that begins with SMSRETRY_ is always ours. One of the others may be the application's, so it is only named
    if the setting that it resembles is not set.
    """
    known = [*variables(Settings), *variables(PrefectSettings)]
    for name in sorted(environment):
        if not name.upper().startswith(_PREFIXES + _PREFECTS) or name.upper() in known:
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


def reachability_findings(settings: Settings) -> Iterator[Finding]:
    """A callback that Twilio cannot reach, and a host that is not Twilio."""
    if settings.twilio_base_url:
        advice = f"texts go to {settings.twilio_base_url.host}, and not to Twilio: right for a test, and only there"
        yield Finding(subject="TWILIO_BASE_URL", ok=True, advice=advice)
    callback = settings.twilio_status_callback_url
    host = urlsplit(str(callback)).hostname or "" if callback else ""
    if callback and not settings.twilio_base_url and _is_private(host):
        advice = f"Twilio cannot reach {host} from the internet: give the address of a public endpoint, or unset it"
        yield Finding(subject="TWILIO_STATUS_CALLBACK_URL", ok=False, advice=advice)


def _is_private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host.strip("[]")).is_global
    except ValueError:
        return "." not in host or host.endswith((".local", ".localhost", ".internal"))
