"""Why no answer came, and whether answers are slow: the same words for database, provider and Prefect."""

import socket
import ssl
from collections.abc import Iterator
from typing import Final

from smsretry.retry.models import Finding

SLOW: Final = 2.0
"""Seconds. An answer over the internet takes a tenth of it. A text needs five or six answers, so a run falls behind."""


def why(error: BaseException) -> str:
    """The error's name, or what it is at bottom where that tells somebody more. Quotes no URL and no value."""
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
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        wrapped = (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args[:1])
        waiting += [inner for inner in wrapped if isinstance(inner, BaseException)]


def slow_finding(subject: str, fastest: float | None, look: str) -> Iterator[Finding]:
    """A warning if even the fastest answer was slow.

    Args:
        fastest: in seconds; None: there was none.
        look: where to look for the cause.
    """
    if fastest is not None and fastest >= SLOW:
        advice = f"takes at least {fastest:.1f} s for each answer, so texts go out slowly and late: {look}"
        yield Finding(subject=f"speed of {subject}", ok=True, advice=advice)
