"""How a request reaches Twilio: the SDK's HTTP client with timeouts, without retries, and what its failures mean.

The SDK waits forever by default, hides answers behind three kinds of exception and drops them on a 201 without a
body. This client keeps the bare answer, so that `answers.outcome_of_answer` can judge it.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from requests import exceptions as http
from twilio.base import exceptions as sdk
from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response
from twilio.rest import Client
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError, ProxyError, ReadTimeoutError

from smsretry.adapters.twilio.accounts import Login
from smsretry.adapters.twilio.answers import outcome_of_answer
from smsretry.adapters.twilio.connection import OneEnvironment, WholeAnswers, filter_logs, unlogged
from smsretry.retry.outcome import InDoubt, NotSent, Outcome
from smsretry.settings import Settings


@dataclass(frozen=True, slots=True)
class Answer:
    """A bare HTTP answer."""

    http_status: int
    body: str
    retry_after: str | None
    date: datetime | None
    """Twilio's clock when it answered, to the second."""


class TwilioHttp(TwilioHttpClient):  # type: ignore[misc]  # the SDK ships no types
    """One pooled session, usable from several threads; `answer()` is the calling thread's last."""

    def __init__(self, *, connect_seconds: float, read_seconds: float, base_url: str | None, connections: int) -> None:
        super().__init__()  # max_retries stays None: a replayed POST is a second text
        self.timeout: Any = (connect_seconds, read_seconds)  # its constructor takes no tuple
        self.session = OneEnvironment()
        whole = WholeAnswers(pool_maxsize=connections)
        self.session.mount("https://", whole)
        self.session.mount("http://", whole)
        self._base = urlsplit(base_url) if base_url else None
        self._local = threading.local()
        self.fastest: float | None = None
        """Seconds that the fastest of all answers took. None: none came."""
        filter_logs()

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Response:
        """Send one request. Raises the exceptions of `requests`."""
        self._local.answer = None
        if self._base:
            url = urlunsplit(urlsplit(url)._replace(scheme=self._base.scheme, netloc=self._base.netloc))
        asked = monotonic()
        try:
            with unlogged():
                response = super().request(method, url, *args, **kwargs)
        finally:
            self._test_only_last_request = None  # it holds the credentials and the body
        took = monotonic() - asked
        self.fastest = took if self.fastest is None else min(took, self.fastest)
        headers = response.headers or {}
        self._local.answer = Answer(
            response.status_code, response.text, headers.get("Retry-After"), _clock(headers.get("Date"))
        )
        return response

    def log_request(self, kwargs: dict[str, Any]) -> None:
        """Log nothing: at INFO the SDK would log the number that a list is for."""

    def log_response(self, status_code: int, response: Any) -> None:
        """Log nothing, as above."""

    @property
    def host(self) -> str:
        """What requests go to, for people."""
        return self._base.netloc if self._base else "api.twilio.com"

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
        return outcome_of_answer(answer.http_status, answer.body, retry_after=answer.retry_after)

    def close(self) -> None:
        """Close the pooled connections."""
        self.session.close()


def connect(settings: Settings) -> TwilioHttp:
    """The session that all accounts share."""
    return TwilioHttp(
        connect_seconds=settings.twilio_connect_timeout_seconds,
        read_seconds=settings.twilio_read_timeout_seconds,
        base_url=str(settings.twilio_base_url) if settings.twilio_base_url else None,
        connections=settings.concurrency,
    )


def client(http: TwilioHttp, login: Login, account: str) -> Client:
    """The SDK's client of an account, with everything loaded that a send needs."""
    made = Client(login.user, login.password, account, http_client=http)
    _ = made.messages  # imports most of the SDK
    return made


def _clock(date: str | None) -> datetime | None:
    """A `Date` header as an instant; None when there is none that can be read."""
    try:
        clock = parsedate_to_datetime(date or "")
    except ValueError:
        return None
    return clock if clock.tzinfo else clock.replace(tzinfo=UTC)


_NEVER_LEFT: Final = NotSent("Twilio could not be reached: the connection failed before the request left")
_OURS: Final = NotSent("The request could not be made: check TWILIO_BASE_URL and the proxy settings")
_NO_ANSWER: Final = InDoubt("Twilio did not answer in time")
_CUT_OFF: Final = InDoubt("The connection broke before Twilio's answer was complete")
_UNREADABLE: Final = InDoubt("Twilio's answer could not be read")

MEANINGS: Final[dict[type[BaseException], Outcome]] = {
    # Before anything left.
    http.ConnectTimeout: _NEVER_LEFT,
    http.URLRequired: _OURS,
    http.MissingSchema: _OURS,
    http.InvalidSchema: _OURS,
    http.InvalidURL: _OURS,
    http.InvalidProxyURL: _OURS,
    http.InvalidHeader: _OURS,
    # After it may have left.
    http.ConnectionError: _CUT_OFF,  # before it left, when `_never_connected` says so
    http.ProxyError: _CUT_OFF,  # likewise: urllib3 also blames the proxy for an answer that broke off behind it
    http.SSLError: _CUT_OFF,  # likewise: urllib3 wraps handshake and mid-stream failures alike
    http.ReadTimeout: _NO_ANSWER,
    http.Timeout: _NO_ANSWER,
    http.ChunkedEncodingError: _CUT_OFF,
    http.ContentDecodingError: _UNREADABLE,
    http.StreamConsumedError: _UNREADABLE,
    http.JSONDecodeError: _UNREADABLE,
    http.InvalidJSONError: _UNREADABLE,
    http.TooManyRedirects: _UNREADABLE,
    http.RetryError: _CUT_OFF,
    http.UnrewindableBodyError: _CUT_OFF,
    http.HTTPError: _UNREADABLE,
    http.RequestException: _CUT_OFF,
    # The SDK's own come after an answer, which then speaks for itself; without one, nothing is known.
    sdk.TwilioException: _UNREADABLE,
    sdk.TwilioRestException: _UNREADABLE,
    sdk.TwilioServiceException: _UNREADABLE,
}
"""Every exception of requests and of the SDK, by exact class. A test fails when a new release adds one."""


def outcome_of_exception(error: Exception) -> Outcome:
    """What a failed request means. Whatever is not known to have failed before it left is in doubt."""
    if isinstance(error, http.ConnectionError) and _never_connected(error):
        return _NEVER_LEFT
    if isinstance(error, http.ConnectionError) and error.args and isinstance(error.args[0], ReadTimeoutError):
        return _NO_ANSWER  # it had begun, and did not end in time
    known = MEANINGS.get(type(error))
    return known or InDoubt(f"Unforeseen {type(error).__name__} while asking Twilio")


def _never_connected(error: http.ConnectionError) -> bool:
    """Whether urllib3 gave up while connecting: name not resolved, refused, timed out, or no tunnel from the proxy."""
    cause = error.args[0] if error.args else None
    reason = cause.reason if isinstance(cause, MaxRetryError) else None
    if isinstance(reason, ProxyError):
        reason = reason.original_error
    if isinstance(reason, NewConnectionError | ConnectTimeoutError):
        return True
    return isinstance(reason, OSError) and str(reason).startswith("Tunnel connection failed")  # http.client's words
