"""What else of the environment decides whether anything can be reached: proxies, certificates, locale, Twilio's region.

None of it is a setting of smsretry. The libraries read it.
"""

import locale
import os
import re
import shutil
import socket
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from smsretry.adapters.answering import why
from smsretry.retry.models import Finding

_PROXIES: Final = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_BUNDLES: Final = {
    "SSL_CERT_FILE": "Supabase and Prefect",
    "SSL_CERT_DIR": "Supabase and Prefect",
    "REQUESTS_CA_BUNDLE": "Twilio",
    "CURL_CA_BUNDLE": "Twilio",
    "PREFECT_API_SSL_CERT_FILE": "Prefect",
}
_TWILIOS: Final = ("TWILIO_EDGE", "TWILIO_REGION")
_LOCALES: Final = ("LC_ALL", "LC_CTYPE", "LANG")
_SECONDS: Final = 5.0
_RETRIES: Final = tuple(f"PREFECT_{kind}_DEFAULT_RETRIES" for kind in ("TASKS", "FLOWS", "TASK", "FLOW"))
_REPEATS: Final = "makes Prefect repeat runs and tasks, and the queue alone repeats here: unset it"
_UNTOLD: Final = "keeps the runs' logs from the UI, where people look for what an error was: unset it"
_NUMBERS: Final = {
    "PREFECT_RUNNER_PROCESS_LIMIT": (5, "runs wait for one that hangs, and the desk's forms for the schedule"),
    "PREFECT_API_REQUEST_TIMEOUT": (5, "a run whose server answers late fails"),
}
"""What is too little, and its harm."""
_HOME: Final = "PREFECT_HOME"
_LEAST_FREE: Final = 200 * 2**20
"""Bytes."""


def surroundings(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Findings about what is set. What is not set says nothing."""
    for name in (*_PROXIES, *(one.lower() for one in _PROXIES)):
        if value := environment.get(name):
            yield _proxy(name, value)
    yield from _certificates(environment)
    for name in _TWILIOS:
        if environment.get(name):
            advice = "Twilio's SDK sends requests to another region by it, where other credentials hold: unset it, if "
            yield Finding(subject=name, ok=True, advice=f"{advice}the account is not of that region")
    yield from _locale(environment)
    yield from _of_prefect(environment)
    if (zone := environment.get("TZ")) and not _is_zone(zone):
        advice = "names no time zone, so this machine prints times in UTC: correct it, or unset it"
        yield Finding(subject="TZ", ok=True, advice=advice)


def _of_prefect(environment: Mapping[str, str]) -> Iterator[Finding]:
    """What Prefect reads in the runner, and would do with a text what nobody expects."""
    for name in _RETRIES:
        if environment.get(name, "0").strip() != "0":
            yield Finding(subject=name, ok=True, advice=_REPEATS)
    if environment.get("PREFECT_LOGGING_TO_API_ENABLED", "true").lower() in ("false", "0", "no", "off"):
        yield Finding(subject="PREFECT_LOGGING_TO_API_ENABLED", ok=True, advice=_UNTOLD)
    for name, (least, harm) in _NUMBERS.items():
        if (value := environment.get(name)) and (problem := _low(value, least, harm)):
            yield Finding(subject=name, ok="must" not in problem, advice=f"{problem}: correct it, or unset it")
    home = Path(environment.get(_HOME) or "~/.prefect").expanduser()
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    if not os.access(there, os.W_OK) or not there.is_dir():
        advice = f"is {home}, where nothing can be written, so no run starts: name a folder of the user who runs this"
        yield Finding(subject=_HOME, ok=False, advice=advice)
    elif (free := shutil.disk_usage(there).free) < _LEAST_FREE:
        advice = f"is on a disk with {free // 2**20} MB left, and runs write there: make room"
        yield Finding(subject=_HOME, ok=True, advice=advice)


def _low(value: str, least: float, harm: str) -> str | None:
    try:
        return f"is {value}, so {harm}" if float(value) < least else None
    except ValueError:
        return "must be a number, or no run starts"


def _is_zone(name: str) -> bool:
    """Whether the machine has it; rules such as EST5EDT are zones, too."""
    if "," in name or name.startswith((":", "/", "<")):
        return True
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return re.fullmatch(r"[A-Za-z]{3,}[+-]?[0-9:]+([A-Za-z]{3,})?", name) is not None
    return True


def _proxy(name: str, value: str) -> Finding:
    """Whether it is there. Its user and password are not told."""
    try:
        proxy = urlsplit(value if "://" in value else f"http://{value}")
        host, port = proxy.hostname, proxy.port or _port(proxy)
    except ValueError:
        host, port, proxy = None, 0, SplitResult("", "", "", "", "")
    if not host or proxy.scheme not in ("http", "https"):
        advice = "must be http://<host>:<port>: with anything else no connection is made. Correct it, or unset it"
        return Finding(subject=name, ok=False, advice=advice)
    try:
        socket.create_connection((host, port), timeout=_SECONDS).close()
    except OSError as error:
        advice = f"its proxy {host}:{port} does not answer ({why(error)}), and connections go through it: correct it, "
        return Finding(subject=name, ok=False, advice=f"{advice}unset it, or name in NO_PROXY what needs no proxy")
    return Finding(subject=f"{name} (connections go through {host}:{port})", ok=True)


def _port(proxy: SplitResult) -> int:
    return 443 if proxy.scheme == "https" else 80


def _certificates(environment: Mapping[str, str]) -> Iterator[Finding]:
    for name, whom in _BUNDLES.items():
        if (value := environment.get(name)) and (problem := _unreadable(Path(value))):
            advice = f"{problem}, so no certificate of {whom} is trusted: give the file of the authorities, or unset it"
            yield Finding(subject=name, ok=False, advice=advice)
    if problem := _unreadable(Path(DEFAULT_CA_BUNDLE_PATH)):
        advice = f"{problem}, so no certificate is trusted: pip install --force-reinstall certifi"
        yield Finding(subject="certificate authorities (certifi)", ok=False, advice=advice)


def _unreadable(bundle: Path) -> str | None:
    """What is wrong with a file or a folder of authorities."""
    if bundle.is_dir():
        return None if any(bundle.iterdir()) else "is an empty folder"
    try:
        ssl.create_default_context(cafile=bundle)
    except OSError as error:
        return f"cannot be read ({type(error).__name__})"
    return None


def _locale(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Whether this machine has the locale, by which what is printed is encoded."""
    name = next((one for one in _LOCALES if environment.get(one)), None)
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, "")
    except locale.Error:
        advice = "names a locale that this machine does not have, so what is printed may be garbled: set C.UTF-8"
        yield Finding(subject=name or "locale", ok=True, advice=advice)
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
