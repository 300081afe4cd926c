"""Why no answer came: the same words for database, provider and Prefect."""

import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

_CERTIFICATES: Final = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
)


def cause_of(error: BaseException, url: str = "") -> str:
    """The error's name, or what it is at bottom where that tells somebody more. Quotes no URL and no value.

    Args:
        url: where no answer came from. The proxy that leads there is named.
    """
    missing = [
        variable
        for variable in _CERTIFICATES
        if not Path(os.environ.get(variable, ".")).exists()
    ]
    if missing and isinstance(error, OSError):
        return f"{missing[0]} names what is not there"
    place, proxies = urlsplit(url), getproxies()
    scheme = place.scheme if place.scheme in proxies else "all"
    if url and scheme in proxies and not proxy_bypass(place.hostname or ""):
        return f"{_bottom(error)}, through the proxy of {scheme.upper()}_PROXY"
    return _bottom(error)


def _bottom(error: BaseException) -> str:
    for cause in _causes(error):
        match cause:
            case socket.gaierror():
                return "its name cannot be resolved"
            case ssl.SSLCertVerificationError():
                return f"its certificate is not trusted here: {cause.verify_message}"
            case ssl.SSLError():
                return "it speaks no TLS that can be used here"
    return type(error).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it wraps: `requests` and urllib3 keep the cause in arguments and attributes."""
    waiting, seen_ids = [error], set[int]()
    while waiting:
        cause = waiting.pop(0)
        if id(cause) in seen_ids:
            continue
        seen_ids.add(id(cause))
        yield cause
        wrapped = (
            cause.__cause__,
            cause.__context__,
            getattr(cause, "reason", None),
            *cause.args[:1],
        )
        waiting += [inner for inner in wrapped if isinstance(inner, BaseException)]
