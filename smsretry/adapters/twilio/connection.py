"""Connections to Twilio: the whole answer, and not each piece of it, has to come in time, and no log quotes it.

`requests` gives its read timeout to every read of the socket, so a server that sends a byte a second would keep a
worker for ever. Here the same timeout is counted from the end of the request to the end of the answer.
"""

import io
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from typing import Any, Final, cast
from urllib.parse import urlsplit

from requests import Session
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool


class _InTime(io.RawIOBase):
    """The bytes that a socket receives, until the socket's timeout has passed for all of it."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        self._socket = sock
        self._raw = raw
        self._seconds = sock.gettimeout() or 0.0  # each request has one
        self._ends = time.monotonic() + self._seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(left)
        try:
            return self._raw.readinto(buffer)
        finally:
            self._socket.settimeout(self._seconds)  # the next request on this connection sends with it

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(HTTPResponse):
    """An answer, including a proxy's answer to CONNECT."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_InTime(sock, self.fp.detach()))


class _Plain(HTTPConnection):
    response_class = _Answer


class _Secure(HTTPSConnection):
    response_class = _Answer


class WholeAnswers(HTTPAdapter):
    """Mount it on a session of `requests`. It never sends a request twice."""

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> HTTPConnectionPool:
        """The pool for a request, through a proxy or not, with our connections."""
        pool = cast(HTTPConnectionPool, super().get_connection_with_tls_context(*args, **kwargs))
        pool.ConnectionCls = _Secure if pool.scheme == "https" else _Plain
        return pool


class OneEnvironment(Session):
    """A session that reads proxies and certificates from the environment once per host: each reading costs 0.5 ms."""

    def __init__(self) -> None:
        super().__init__()
        self._found = dict[str, dict[str, Any]]()

    def merge_environment_settings(
        self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any
    ) -> Any:  # the same arguments at every call of the SDK's
        """What the environment says of this URL's host, merged with the arguments of the first request to it."""
        host = "://".join(urlsplit(url)[:2])
        if host not in self._found:
            # A copy: one host's settings must not be written into the SDK's own, which are for all hosts.
            self._found[host] = dict(super().merge_environment_settings(url, dict(proxies or {}), stream, verify, cert))
        return dict(self._found[host])


_asking: Final = threading.local()


def filter_logs() -> None:
    """Give each of urllib3's loggers the filter of `unlogged`. A logging configuration changes levels, not filters."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "urllib3":
            logging.getLogger(name).addFilter(_is_anothers)


@contextmanager
def unlogged() -> Iterator[None]:
    """Keep urllib3 from logging this thread's requests: its lines quote URLs, and the URL of a list has a number."""
    _asking.now = True
    try:
        yield
    finally:
        _asking.now = False


def _is_anothers(_record: logging.LogRecord) -> bool:
    return not getattr(_asking, "now", False)
