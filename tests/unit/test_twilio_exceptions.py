"""What a failed request means: it provably never left, or nobody knows."""

import socket
from http.client import RemoteDisconnected
from types import ModuleType

import pytest
import requests.exceptions as http
import twilio.base.exceptions as sdk
import urllib3.exceptions as wire
from urllib3 import HTTPSConnectionPool
from urllib3.connection import HTTPSConnection

from smsretry.adapters.twilio.http import MEANINGS, outcome_of_exception
from smsretry.retry.outcome import InDoubt, NotSent

POOL = HTTPSConnectionPool("api.twilio.com")
CONNECTION = HTTPSConnection("api.twilio.com")
REFUSED = wire.NewConnectionError(CONNECTION, "Failed to establish a new connection: [Errno 111] Connection refused")
NO_SUCH_NAME = wire.NameResolutionError("api.twilio.com", CONNECTION, socket.gaierror("Name or service not known"))
TOO_SLOW = wire.ConnectTimeoutError(CONNECTION, "Connection to api.twilio.com timed out. (connect timeout=5)")


def gave_up(reason: Exception) -> wire.MaxRetryError:
    """urllib3's wrapping of the reason for which it gave up."""
    return wire.MaxRetryError(POOL, "/2010-04-01/Accounts/Messages.json", reason)


def exceptions_of(module: ModuleType) -> list[type[Exception]]:
    """The exception classes that a module defines itself; warnings are not raised."""
    return [
        thing
        for thing in vars(module).values()
        if isinstance(thing, type)
        and issubclass(thing, Exception)
        and not issubclass(thing, Warning)
        and thing.__module__ == module.__name__
    ]


@pytest.mark.parametrize("kind", [*exceptions_of(http), *exceptions_of(sdk)], ids=lambda kind: kind.__name__)
def test_every_exception_of_the_libraries_below_has_a_meaning(kind: type[Exception]) -> None:
    """A release that adds one fails here, until somebody decides what it means."""
    assert kind in MEANINGS


def test_the_libraries_still_define_their_exceptions_where_we_look() -> None:
    """The check above would pass on empty modules."""
    assert {http.RequestException, http.ConnectionError, http.Timeout} <= set(exceptions_of(http))
    assert {sdk.TwilioException, sdk.TwilioRestException} <= set(exceptions_of(sdk))


NEVER_LEFT = [
    pytest.param(http.ConnectionError(gave_up(REFUSED)), id="connection refused"),
    pytest.param(http.ConnectionError(gave_up(NO_SUCH_NAME)), id="name not resolved"),
    pytest.param(http.ConnectionError(gave_up(TOO_SLOW)), id="connect timeout, as a connection error"),
    pytest.param(http.ConnectTimeout(gave_up(TOO_SLOW)), id="connect timeout"),
    pytest.param(http.ProxyError(gave_up(wire.ProxyError("Unable to connect to proxy", REFUSED))), id="proxy refused"),
    pytest.param(
        http.ProxyError(
            gave_up(wire.ProxyError("Unable to connect to proxy", OSError("Tunnel connection failed: 407")))
        ),
        id="proxy wants credentials",
    ),
    pytest.param(http.InvalidURL("Invalid URL"), id="no URL"),
    pytest.param(http.MissingSchema("No scheme supplied"), id="no scheme"),
    pytest.param(http.InvalidHeader("Invalid header"), id="a header that cannot be sent"),
]
MAY_HAVE_LEFT = [
    pytest.param(
        http.ConnectionError(wire.ProtocolError("Connection aborted.", ConnectionResetError(104, "reset"))),
        id="reset after the request",
    ),
    pytest.param(
        http.ConnectionError(wire.ProtocolError("Connection aborted.", RemoteDisconnected("closed"))),
        id="closed without an answer",
    ),
    pytest.param(
        http.ConnectionError(gave_up(wire.ProtocolError("Connection aborted."))), id="aborted, as urllib3 gives up"
    ),
    pytest.param(http.ConnectionError(), id="connection error without a cause"),
    pytest.param(
        http.ReadTimeout(wire.ReadTimeoutError(POOL, "/", "Read timed out. (read timeout=35)")), id="read timeout"
    ),
    pytest.param(http.Timeout(), id="some timeout"),
    pytest.param(http.SSLError(gave_up(wire.SSLError("bad record mac"))), id="TLS broke, before or after"),
    pytest.param(http.ChunkedEncodingError(wire.ProtocolError("broken")), id="answer cut short"),
    pytest.param(http.JSONDecodeError("Expecting value", "<html>", 0), id="answer is not JSON"),
    pytest.param(http.RequestException(), id="requests, unspecified"),
    pytest.param(sdk.TwilioRestException(500, "/Messages.json"), id="the SDK, without an answer"),
]


@pytest.mark.parametrize("error", NEVER_LEFT)
def test_a_request_that_never_left_was_not_sent(error: Exception) -> None:
    """It may be made again without fear of a second text."""
    assert isinstance(outcome_of_exception(error), NotSent)


@pytest.mark.parametrize("error", MAY_HAVE_LEFT)
def test_a_request_that_may_have_left_is_in_doubt(error: Exception) -> None:
    """Twilio may have made the message before the connection broke."""
    assert isinstance(outcome_of_exception(error), InDoubt)


@pytest.mark.parametrize(
    "cause",
    [RemoteDisconnected("Remote end closed connection without response"), ConnectionResetError(104, "reset")],
    ids=["closed", "reset"],
)
def test_a_connection_through_a_proxy_that_broke_after_the_request_is_in_doubt(cause: Exception) -> None:
    """urllib3 forgets that it had reached the proxy once the connection closes, and says it never did."""
    error = http.ProxyError(gave_up(wire.ProxyError("Unable to connect to proxy", cause)))
    assert isinstance(outcome_of_exception(error), InDoubt)


def test_an_exception_from_nowhere_is_in_doubt() -> None:
    """Its kind is named, its words are not: they may quote the recipient."""

    class Surprise(Exception):
        pass

    assert outcome_of_exception(Surprise("for +12125550123")) == InDoubt("Unforeseen Surprise while asking Twilio")


def test_a_subclass_of_a_known_exception_does_not_inherit_its_meaning() -> None:
    """Only classes that somebody looked at count as never having left."""

    class NewKindOfTimeout(http.ConnectTimeout):
        pass

    assert isinstance(outcome_of_exception(NewKindOfTimeout()), InDoubt)
