"""Why no answer came: the same words for database, provider and Prefect."""

import socket
import ssl
from collections.abc import Iterator


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
        wrapped = (
            one.__cause__,
            one.__context__,
            getattr(one, "reason", None),
            *one.args[:1],
        )
        waiting += [inner for inner in wrapped if isinstance(inner, BaseException)]
