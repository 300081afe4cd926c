"""The environment, variable by variable: is it right, is one misspelled, do two contradict each other?"""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Final

from smsretry.retry.models import Finding
from smsretry.settings import PrefectSettings, Settings, variables

_PREFIXES: Final = ("SUPABASE_", "TWILIO_", "SMSRETRY_")
_PREFECTS: Final = ("PREFECT_API_", "PREFECT_AUTH_", "PREFECT_URL")
"""Prefect has hundreds of settings; smsretry reads these few."""
_TWILIOS_OWN: Final = 30
"""Seconds after which Twilio itself gives up on a request."""
_SHORT: Final = 2
"""Seconds."""


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


def quoted(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Values in quotation marks: `docker run --env-file` and systemd's files do not take them away."""
    for name in [*variables(Settings), *variables(PrefectSettings)]:
        value = environment.get(name, "")
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            yield Finding(
                subject=name, ok=False, advice="is in quotation marks, which count as a part of it: remove them"
            )


def contradictions(settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Values that are right by themselves, and do together or to a text what nobody expects."""
    if settings.twilio_base_url:
        advice = f"texts go to {settings.twilio_base_url.host}, and not to Twilio: right for a test, and only there"
        yield Finding(subject="TWILIO_BASE_URL", ok=True, advice=advice)
    if settings.supabase_url.scheme == "http" and (settings.supabase_url.host or "").endswith(".supabase.co"):
        advice = "is not https, so the key would travel readable: begin it with https://"
        yield Finding(subject="SUPABASE_URL", ok=False, advice=advice)
    guard = settings.profile.closing_guard.total_seconds()
    if environment.get("SMSRETRY_CLOSING_GUARD_SECONDS") and guard > settings.closing_guard_seconds:
        advice = f"counts as {guard:.0f}, because a request may take that long: raise it, or lower Twilio's timeouts"
        yield Finding(subject="SMSRETRY_CLOSING_GUARD_SECONDS", ok=True, advice=advice)
    if settings.twilio_read_timeout_seconds < _TWILIOS_OWN:
        advice = (
            f"is below the {_TWILIOS_OWN} s that Twilio itself may take, so a slow answer leaves a text in doubt: "
            "set 35, or unset it"
        )
        yield Finding(subject="TWILIO_READ_TIMEOUT_SECONDS", ok=True, advice=advice)
    for variable, seconds in (
        ("SUPABASE_TIMEOUT_SECONDS", settings.supabase_timeout_seconds),
        ("TWILIO_CONNECT_TIMEOUT_SECONDS", settings.twilio_connect_timeout_seconds),
    ):
        if seconds < _SHORT:
            advice = (
                f"is {seconds:g}, which an answer over the internet may well take: set at least {_SHORT}, or unset it"
            )
            yield Finding(subject=variable, ok=True, advice=advice)
    if environment.get("PREFECT_API_KEY") and environment.get("PREFECT_API_AUTH_STRING"):
        advice = "is for a server of one's own, and PREFECT_API_KEY for Prefect Cloud: unset the one that is not used"
        yield Finding(subject="PREFECT_API_AUTH_STRING", ok=True, advice=advice)
