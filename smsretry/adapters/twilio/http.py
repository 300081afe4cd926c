"""How a request reaches Twilio: the SDK's HTTP client with timeouts, without retries, and what its failures mean.

The SDK waits forever by default, hides answers behind three kinds of exception and drops them on a 201 without a
body. This client keeps the bare answer, so that `answers.outcome_of_answer` can judge it.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from requests import exceptions as http
from requests.adapters import HTTPAdapter
from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response
from twilio.rest import Client
from urllib3.exceptions import (
    ConnectTimeoutError,
    MaxRetryError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
)

from smsretry.adapters.twilio.accounts import Accounts
from smsretry.adapters.twilio.answers import outcome_of_answer
from smsretry.retry.outcome import InDoubt, NotSent, Outcome
from smsretry.settings import Settings

_LOGGERS: Final = ("urllib3.connection", "urllib3.connectionpool", "urllib3.util.retry")
"""Those whose lines quote URLs."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A bare HTTP answer."""

    http_status: int
    body: str
    retry_after: str | None
    date: datetime | None
    """Twilio's clock when it answered, to the second."""


class TwilioHttp(TwilioHttpClient):  # type: ignore[misc]  # the SDK ships no types
    """One session for all accounts, usable from several threads; `answer()` is the calling thread's last."""

    def __init__(self, settings: Settings, accounts: Accounts) -> None:
        super().__init__()  # max_retries stays None: a replayed POST is a second text
        # Its constructor takes no tuple.
        self.timeout: Any = (
            settings.twilio_connect_timeout_seconds,
            settings.twilio_read_timeout_seconds,
        )
        # The SDK reads TWILIO_REGION and TWILIO_EDGE.
        own = Client("-", "-", http_client=self).get_hostname("https://api.twilio.com")
        self._base = urlsplit(str(settings.twilio_base_url or own))
        self._moved = settings.twilio_base_url is not None
        pool = HTTPAdapter(pool_maxsize=settings.concurrency)
        self.session.mount("https://", pool)
        self.session.mount("http://", pool)
        self._read_environment()
        self._accounts = accounts
        self._making = threading.Lock()
        self._clients = dict[str, Client]()
        self._local = threading.local()
        for (
            name
        ) in _LOGGERS:  # a logging configuration changes levels, and keeps filters
            logging.getLogger(name).addFilter(_is_anothers)

    def _read_environment(self) -> None:
        """Read proxies and certificates from the environment once: each reading costs a third of what a send costs."""
        found = self.session.merge_environment_settings(
            self._base.geturl(), {}, None, None, None
        )
        self.session.proxies, self.session.verify, self.session.cert = (
            found["proxies"],
            found["verify"],
            found["cert"],
        )
        self.session.trust_env = False

    def client(self, account: str | None) -> Client:
        """The client of an account; None: of the environment's.

        Raises:
            NoCredentialsError: there are none for it.
        """
        sid = account or self._accounts.main
        with self._making:
            if sid not in self._clients:
                login = self._accounts.login(sid)
                made = Client(login.user, login.password, sid, http_client=self)
                _ = made.messages  # imports most of the SDK
                self._clients[sid] = made
            return self._clients[sid]

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Response:
        """Send one request. Raises the exceptions of `requests`."""
        self._local.answer = None
        if self._moved:
            url = urlunsplit(
                urlsplit(url)._replace(
                    scheme=self._base.scheme, netloc=self._base.netloc
                )
            )
        response = super().request(method, url, *args, **kwargs)
        headers = response.headers or {}
        self._local.answer = Answer(
            response.status_code,
            response.text,
            headers.get("Retry-After"),
            _clock(headers.get("Date")),
        )
        return response

    def log_request(self, kwargs: dict[str, Any]) -> None:
        """Log nothing: at INFO the SDK would log the number that a list is for."""

    def log_response(self, status_code: int, response: Any) -> None:
        """Log nothing, as above."""

    @property
    def url(self) -> str:
        """Where requests go."""
        return self._base.geturl()

    @property
    def host(self) -> str:
        """What requests go to, for people."""
        return self._base.netloc

    def answer(self) -> Answer | None:
        """The answer to this thread's last request, or None when none came."""
        answer: Answer | None = getattr(self._local, "answer", None)
        return answer

    def outcome(self, send: Callable[[], object]) -> Outcome:
        """What becomes of a text that this sends. Never raises: the request may have left."""
        self._local.answer = None  # the last one is another text's
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


def _is_anothers(record: logging.LogRecord) -> bool:
    """Whether a line of urllib3 is about no request of ours: the URL of a list has a number."""
    return "/2010-04-01/" not in record.getMessage()


def _clock(date: str | None) -> datetime | None:
    """A `Date` header as an instant; None when there is none that can be read."""
    try:
        clock = parsedate_to_datetime(date or "")
    except ValueError:
        return None
    return clock if clock.tzinfo else clock.replace(tzinfo=UTC)


_NEVER_LEFT: Final = (
    "Twilio could not be reached: the connection failed before the request left"
)
_OURS: Final = (
    http.URLRequired,
    http.MissingSchema,
    http.InvalidSchema,
    http.InvalidURL,
    http.InvalidHeader,
)
"""For requests that could not even be made."""


def outcome_of_exception(error: Exception) -> Outcome:
    """What a failed request means. Whatever is not known to have failed before it left is in doubt."""
    if isinstance(error, http.ConnectTimeout) or _never_connected(error):
        return NotSent(_NEVER_LEFT)
    if isinstance(error, _OURS):
        return NotSent(
            "The request could not be made: check TWILIO_BASE_URL and the proxy settings"
        )
    if isinstance(error, http.Timeout) or isinstance(
        error.args[0] if error.args else None, ReadTimeoutError
    ):
        return InDoubt("Twilio did not answer in time")
    return InDoubt(f"No whole answer came from Twilio ({type(error).__name__})")


def _never_connected(error: Exception) -> bool:
    """Whether urllib3 gave up while connecting: name not resolved, refused, timed out, or no tunnel from the proxy."""
    cause = (
        error.args[0]
        if isinstance(error, http.ConnectionError) and error.args
        else None
    )
    reason = cause.reason if isinstance(cause, MaxRetryError) else None
    if isinstance(reason, ProxyError):
        reason = reason.original_error
    if isinstance(reason, NewConnectionError | ConnectTimeoutError):
        return True
    return isinstance(reason, OSError) and str(reason).startswith(
        "Tunnel connection failed"
    )  # http.client's words
