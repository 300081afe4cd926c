"""What else of the environment decides whether anything can be reached: proxies, certificates, locale, Twilio's region.

None of it is a setting of smsretry. The libraries read it.
"""

import locale
import socket
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

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
