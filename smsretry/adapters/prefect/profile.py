"""Where Prefect itself finds an API's address, when the environment has none or another shell lacks it."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from smsretry.retry.models import Finding

_VARIABLE: Final = "PREFECT_API_URL"


def profile_findings(environment: Mapping[str, str]) -> Iterator[Finding]:
    """A warning for each file that names another server than PREFECT_API_URL. The environment wins where it is set.

    In this order: environment, `.env`, prefect.toml, pyproject.toml, profile.
    https://docs.prefect.io/v3/concepts/settings-and-profiles
    """
    ours = environment.get(_VARIABLE, "")
    for place, url in _elsewhere(environment):
        if _same(url) == _same(ours):
            continue
        there = urlsplit(url).netloc.rpartition("@")[2]
        if ours:
            advice = (
                f"names {there}, and PREFECT_API_URL another server: what is started without the variable goes there"
            )
        else:
            advice = f"names {there}, and PREFECT_API_URL is not set: flows use that server, and it is not checked here"
        yield Finding(subject=place, ok=True, advice=f"{advice}. Set the variable for all, or make the two the same")


def _same(url: str) -> str:
    return url.rstrip("/").replace("//localhost", "//127.0.0.1")


def _elsewhere(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each place that names an address, with the address, in the order in which Prefect takes them."""
    for line in _text(Path(".env")).splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        if name.strip() == _VARIABLE:
            yield ".env", value.strip().strip("'\"")
    for file, keys in (("prefect.toml", ()), ("pyproject.toml", ("tool", "prefect"))):
        content = _at(_toml(Path(file)), *keys)
        if isinstance(chosen := _at(content, "api", "chosen"), str):
            yield file, chosen
    home = Path(environment.get("PREFECT_HOME") or "~/.prefect").expanduser()
    profiles = _toml(Path(environment.get("PREFECT_PROFILES_PATH") or home / "profiles.toml"))
    active = environment.get("PREFECT_PROFILE") or profiles.get("active")
    if isinstance(chosen := _at(profiles, "profiles", active, _VARIABLE), str):
        yield f"Prefect's profile {active}", chosen


def _at(content: Any, *keys: Any) -> Any:
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(file))
    except tomllib.TOMLDecodeError:  # Prefect says so itself
        return {}


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
