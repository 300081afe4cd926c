"""How a request reaches Twilio: over urllib3, with timeouts and without retries, and what its failures mean.

An answer is its request's own, or it is none (`answers.is_own`). After any other the connection is closed, because what
follows on it answers earlier requests.

The SDK's own client waits forever by default, costs half as much again, hides answers behind three kinds of exception
and drops them on a 201 without a body. This one keeps the bare answer, which `answers.outcome_of_answer` judges.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPResponse
from io import BufferedReader, RawIOBase
from socket import socket
from time import monotonic
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from requests import Request, Session
from requests.adapters import HTTPAdapter
from twilio.http import HttpClient
from twilio.http.response import Response
from twilio.rest import Client
from urllib3 import Timeout, make_headers
from urllib3.exceptions import ReadTimeoutError

from smsretry.adapters.twilio.accounts import Accounts
from smsretry.adapters.twilio.answers import is_own, json_object, outcome_of_answer
from smsretry.instants import as_utc
from smsretry.retry.outcome import InDoubt, NotSent, Outcome
from smsretry.settings import Settings

_LOGGERS: Final = ("urllib3.connection", "urllib3.connectionpool", "urllib3.util.retry")
"""The loggers of urllib3 that quote URLs."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A bare HTTP answer."""

    http_status: int
    body: str
    retry_after: str | None
    date: datetime | None
    """Twilio's clock when it answered, to the second."""


class TwilioHttp(HttpClient):  # type: ignore[misc]  # the SDK ships no types
    """The connections of all accounts, usable from several threads; `answer()` is the calling thread's last."""

    def __init__(self, settings: Settings, accounts: Accounts) -> None:
        super().__init__(logging.getLogger(__name__), is_async=False)
        self._timeout = Timeout(
            connect=settings.twilio_connect_timeout_seconds,
            read=settings.twilio_read_timeout_seconds,
        )
        # The SDK reads TWILIO_REGION and TWILIO_EDGE.
        default_url = Client("-", "-", http_client=self).get_hostname(
            "https://api.twilio.com"
        )
        self.url: Final = str(settings.twilio_base_url or default_url)
        """The address of requests."""
        self._has_base_url = settings.twilio_base_url is not None
        # A run's other threads read lists meanwhile, and a connection too many would be thrown away.
        self.adapter: Any = HTTPAdapter(pool_maxsize=2 * settings.concurrency)
        """The pool of connections."""
        self._accounts = accounts
        self._lock = threading.Lock()
        self._clients = dict[str, Client]()
        self._hosts = dict[str, tuple[Any, str]]()
        self._thread = threading.local()
        # A logging configuration changes levels, and keeps filters.
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(_is_harmless)

    def _connections(self, url: str) -> tuple[Any, str]:
        """The connections to a URL's host, and what comes before the path of a request.

        Proxies and certificates are those of the environment, as `requests` reads it. It is read once, because each
        reading costs a third of what a send costs.
        """
        address = urlsplit(url)
        host = f"{address.scheme}://{address.netloc}/"
        with self._lock:
            if host not in self._hosts:
                request = Request("GET", host).prepare()
                environment = Session().merge_environment_settings(
                    host, proxies={}, stream=None, verify=None, cert=None
                )
                proxies = environment["proxies"]
                trust = {name: environment[name] for name in ("verify", "cert")}
                pool = self.adapter.get_connection_with_tls_context(
                    request, proxies=proxies, **trust
                )
                self.adapter.cert_verify(pool, host, **trust)
                pool.ConnectionCls = _telling_connection(pool.ConnectionCls)
                root = self.adapter.request_url(request, proxies)
                self._hosts[host] = pool, root.removesuffix("/")
            return self._hosts[host]

    def client(self, account: str | None) -> Client:
        """The client of an account; None: of `TWILIO_ACCOUNT_SID`.

        Raises:
            NoCredentialsError: there are none for it.
        """
        sid = account or self._accounts.main
        with self._lock:
            if sid not in self._clients:
                login = self._accounts.login(sid)
                client = Client(login.user, login.password, sid, http_client=self)
                _ = client.messages  # imports most of the SDK
                self._clients[sid] = client
            return self._clients[sid]

    def request(
        self,
        method: str,
        url: str,
        params: Mapping[str, object] | None = None,
        data: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        **_: object,
    ) -> Response:
        """Make one request, and follow no redirect. Raises the exceptions of urllib3.

        Raises:
            ForeignAnswerError: the answer is another request's.
        """
        self._thread.answer = None
        self._thread.address = self.url if self._has_base_url else url
        pool, before_path = self._connections(self._thread.address)
        parts = urlsplit(url)
        query = parts.query or urlencode(params or {})
        target = f"{parts.path}?{query}".removesuffix("?")
        credentials = ":".join(auth) if auth else None
        answer = pool.urlopen(
            method,
            f"{before_path}{target}",
            body=urlencode(data or {}) or None,
            headers={
                **(headers or {}),
                **make_headers(accept_encoding=True, basic_auth=credentials),
            },
            timeout=self._timeout,
            release_conn=False,
            retries=False,  # a replayed POST is a second text
            redirect=False,
            assert_same_host=False,  # a proxy's connections are of its own host
        )
        connection = answer.connection  # reading an empty body gives it back
        body = answer.data.decode(errors="replace")
        content = json_object(body)
        is_foreign = bool(content) and not is_own(content, target, data or {})
        if is_foreign or not content:
            connection.close()
        answer.release_conn()
        if is_foreign:
            raise ForeignAnswerError
        self._thread.answer = HttpAnswer(
            answer.status,
            body,
            answer.headers.get("Retry-After"),
            _clock(answer.headers.get("Date")),
        )
        return Response(answer.status, body, answer.headers)

    @property
    def address(self) -> str:
        """The address of this thread's last request."""
        return getattr(self._thread, "address", self.url)

    def answer(self) -> HttpAnswer | None:
        """The answer to this thread's last request, or None when none came."""
        answer: HttpAnswer | None = getattr(self._thread, "answer", None)
        return answer

    def outcome(self, send: Callable[[], object]) -> Outcome:
        """Send a text, and return its outcome. Never raises: the request may have left."""
        self._thread.answer = None  # the last one is another text's
        try:
            self._connections(self.url)
        except Exception:  # noqa: BLE001 - whatever it is, no request has left
            return NotSent(_NOT_MADE)
        try:
            send()
        except Exception as error:  # noqa: BLE001 - an answer speaks for itself, whatever the SDK makes of it
            if self.answer() is None:
                return outcome_of_exception(error)
        answer = self.answer()
        if answer is None:
            return InDoubt("Twilio's answer was lost")
        return outcome_of_answer(
            answer.http_status, answer.body, retry_after=answer.retry_after
        )


def _is_harmless(record: logging.LogRecord) -> bool:
    """Whether a line of urllib3 quotes no URL of Twilio's, which may hold a number, or a signature that opens it."""
    line = record.getMessage()
    return "/2010-04-01/" not in line and "Signature=" not in line


def _clock(date: str | None) -> datetime | None:
    """A `Date` header as an instant. None: there is none that can be read."""
    try:
        return as_utc(parsedate_to_datetime(date or ""))
    except ValueError:
        return None


_NOT_MADE: Final = "The request could not be made: check TWILIO_BASE_URL and the settings of proxies and certificates"


class NotConnectedError(Exception):
    """No connection was made, so that no request has left."""


class ForeignAnswerError(Exception):
    """The answer is that to another request."""


class _Deadline(RawIOBase):
    """What a socket gives until its time-out has passed since now. Its own time-out begins anew with each byte."""

    def __init__(self, sock: socket, reader: RawIOBase) -> None:
        self._sock, self._reader = sock, reader
        self._until = monotonic() + (sock.gettimeout() or 0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        seconds = self._until - monotonic()
        if seconds <= 0:
            raise TimeoutError
        self._sock.settimeout(seconds)
        return self._reader.readinto(buffer)

    def close(self) -> None:
        self._reader.close()
        super().close()


class _Answer(HTTPResponse):
    """An answer that is here as a whole before the time-out, or never."""

    def __init__(self, sock: socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = BufferedReader(_Deadline(sock, self.fp.detach()))


def _telling_connection(kind: Any) -> Any:
    """The kind of connection that raises NotConnectedError if there is no name, answer, tunnel or trust in time."""

    class Connection(kind):  # type: ignore[misc]  # the kind of whichever pool
        response_class = _Answer

        def connect(self) -> None:
            try:
                super().connect()
            except Exception as error:
                raise NotConnectedError(type(error).__name__) from error

    return Connection


def outcome_of_exception(error: Exception) -> Outcome:
    """The outcome of a failed request: in doubt, unless it is known to have failed before it left."""
    if isinstance(error, NotConnectedError):
        return NotSent(
            f"Twilio could not be reached: the connection failed before the request left ({error})"
        )
    if isinstance(error, ReadTimeoutError):
        return InDoubt("Twilio did not answer in time")
    if isinstance(error, ForeignAnswerError):
        return InDoubt("Twilio's answer was that to another request")
    return InDoubt(f"Twilio's answer did not arrive in full ({type(error).__name__})")
