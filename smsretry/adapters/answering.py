"""Why no answer came: the same words for database, provider and Prefect."""

import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

_CERTIFICATES: Final = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
)


def cause_of(error: BaseException, url: str = "") -> str:
    """The error's name, or its root cause where that says more. It may name the host, and quotes no other value.

    Args:
        url: where no answer came from. The proxy that leads there is named.
    """
    if isinstance(error, OSError):
        for variable in _CERTIFICATES:
            # SSL_CERT_DIR may list several folders, of which OpenSSL takes those that exist.
            paths = os.environ.get(variable, ".").split(os.pathsep)
            if not any(Path(path).exists() for path in paths):
                return f"{variable} names what is not there"
    root_cause = _root_cause(error)
    address = urlsplit(url)
    proxies = getproxies()
    scheme = address.scheme if address.scheme in proxies else "all"
    if url and scheme in proxies and not proxy_bypass(address.hostname or ""):
        return f"{root_cause}, through the proxy of {scheme.upper()}_PROXY"
    return root_cause


def describe_redirect(answer: httpx.Response) -> str:
    """The host that redirects, and the one that it redirects to."""
    target = answer.url.join(answer.headers["location"])
    return f"{answer.url.netloc.decode()} sends everybody on to {target.scheme}://{target.netloc.decode()}"


def _root_cause(error: BaseException) -> str:
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
    """The error and what it wraps. `requests` and urllib3 keep the cause in arguments and attributes."""
    waiting = [error]
    seen_ids = set[int]()
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
