"""What a request to Twilio carries besides number and body, how Twilio lists a body, and a send without the SDK."""

import json
import logging
import sys
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from pydantic import HttpUrl
from requests.exceptions import ConnectionError as NoConnection

from smsretry.adapters.twilio.accounts import Accounts
from smsretry.adapters.twilio.http import TwilioHttp
from smsretry.adapters.twilio.lists import _may_be_from, _sighting
from smsretry.adapters.twilio.sender import TwilioSender, _validity_period, _with_attempt
from smsretry.retry.evidence import Sent, find
from smsretry.retry.models import Look, SenderId, Text
from smsretry.retry.outcome import Accepted, InDoubt, NotSent
from smsretry.settings import Settings
from tests.support.builders import ACCOUNT, BODY, NOON, PHONE, SID

HOUR = timedelta(hours=1)
PERIODS = [
    # how long Twilio may keep the text, the seconds it is told
    (-HOUR, 1),
    (timedelta(0), 1),
    (timedelta(milliseconds=999), 1),
    (timedelta(seconds=10), 10),
    (timedelta(seconds=10, milliseconds=999), 10),
    (9 * HOUR, 32_400),
    (10 * HOUR, 36_000),
    (10 * HOUR + timedelta(seconds=1), 36_000),
    (48 * HOUR, 36_000),
]


@pytest.mark.parametrize(("valid_for", "seconds"), PERIODS)
def test_a_validity_period_is_one_second_to_ten_hours(valid_for: timedelta, seconds: int) -> None:
    """What Twilio takes; rounded down, so that no text leaves after its end."""
    assert _validity_period(valid_for) == seconds


CALLBACKS = [
    ("https://example.com/twilio", "https://example.com/twilio?attempt="),
    ("https://example.com/twilio?shop=5", "https://example.com/twilio?shop=5&attempt="),
    ("https://example.com/twilio?empty=", "https://example.com/twilio?empty=&attempt="),
    ("https://example.com/twilio?note=a%20b", "https://example.com/twilio?note=a+b&attempt="),
]


@pytest.mark.parametrize(("url", "called"), CALLBACKS)
def test_the_callback_url_carries_the_attempts_id_and_keeps_what_it_had(url: str, called: str) -> None:
    """Twilio calls it even when its answer to us was lost."""
    assert _with_attempt(url, UUID(int=5)) == f"{called}{UUID(int=5)}"


PREFIX = "Sent from your Twilio trial account - "
LISTED = [
    # what we sent, what Twilio shows, whether it is the same text
    pytest.param(BODY, f"{PREFIX}{BODY}", True, id="with the prefix"),
    pytest.param(f"  {BODY}", f"{PREFIX}{BODY}", True, id="trimmed behind the prefix"),
    pytest.param("Hi Ann", f"{PREFIX}Hi Ann", True, id="with the prefix, and short"),
    pytest.param(BODY, BODY, True, id="without the prefix"),
    pytest.param(BODY, f"{BODY} Reply STOP to unsubscribe", True, id="with an opt-out instruction"),
    pytest.param(BODY, f"{PREFIX}{BODY} Reply STOP to unsubscribe", True, id="with the prefix and such an instruction"),
    pytest.param(
        f"{BODY} Reply STOP to end", f"{PREFIX}{BODY} Reply STOP to end", True, id="whose instruction is ours"
    ),
    pytest.param(BODY, f"Dear customer: {BODY}", False, id="with some other prefix"),
    pytest.param(BODY, f"{BODY} See you tomorrow.", False, id="with some other words behind it"),
    pytest.param("Hi Ann", "Dear customer: Hi Ann", False, id="short, with some other prefix"),
    pytest.param("Hi Ann", f"Hi Ann {PREFIX}", False, id="short, with the prefix at the end"),
    pytest.param(BODY, "", False, id="redacted"),
    pytest.param(BODY, None, False, id="without a body"),
    pytest.param(BODY, PREFIX, False, id="redacted behind the prefix"),
]


@pytest.mark.parametrize(("ours", "shown", "same"), LISTED)
def test_a_trial_accounts_text_is_read_without_the_words_that_twilio_puts_before_it(
    ours: str, shown: str | None, same: bool
) -> None:
    """The text is ours then, and found; at any other place the words are somebody's text, and it is ambiguous."""
    message = SimpleNamespace(
        sid=SID,
        to=PHONE,
        body=shown,
        date_created=NOON,
        direction="outbound-api",
        from_=PHONE,
        messaging_service_sid=None,
    )
    look = Look(sightings=(_sighting(message),))
    found = find(look, Sent(PHONE, ours, NOON, NOON))
    assert (found.ours, found.ambiguous) == (((SID,), ()) if same else ((), (SID,)))


def http_to(base_url: str | None) -> TwilioHttp:
    """A session whose requests go to this address."""
    settings = Settings.model_construct(
        twilio_account_sid=ACCOUNT,
        twilio_base_url=HttpUrl(base_url) if base_url else None,
        twilio_connect_timeout_seconds=5,
        twilio_read_timeout_seconds=5,
        concurrency=1,
    )
    return TwilioHttp(settings, Accounts(settings))


def test_neither_the_sdk_nor_urllib3_logs_a_number(caplog: pytest.LogCaptureFixture) -> None:
    """The one logs every request with its parameters at INFO, the other its URL: a look for evidence names a number."""
    http = http_to("http://127.0.0.1:9")
    with caplog.at_level(logging.DEBUG), pytest.raises(NoConnection):
        http.request("GET", "https://api.twilio.com/2010-04-01/Messages.json", params={"To": PHONE})
    assert PHONE[1:] not in caplog.text


def test_the_environment_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading what it says of proxies costs a third of what a send costs. A change counts for the next run."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    http = http_to(None)
    monkeypatch.setenv("HTTPS_PROXY", "http://another.example:3128")
    found = http.session.merge_environment_settings("https://api.twilio.com/", {}, None, None, None)
    assert found["proxies"]["https"] == "http://proxy.example:3128"


def test_an_answer_speaks_for_its_own_text_alone() -> None:
    """A send that failed before its request would have been called sent, by the answer to the thread's last one."""

    class Created(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(201)
            self.end_headers()
            self.wfile.write(json.dumps({"sid": SID}).encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Created)
    threading.Thread(target=server.serve_forever).start()
    http = http_to(f"http://127.0.0.1:{server.server_port}")
    try:
        first = http.outcome(lambda: http.request("POST", "https://api.twilio.com/Messages.json"))
    finally:
        http.session.close()
        server.shutdown()
        server.server_close()

    def fail() -> None:
        raise TypeError("a broken request")

    assert first == Accepted(SID)
    assert http.outcome(fail) == InDoubt("Unforeseen TypeError while asking Twilio")


def test_an_sdk_that_cannot_be_loaded_sends_nothing_and_leaves_no_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """No request has left, so the text may be sent once the installation is mended."""
    monkeypatch.setitem(sys.modules, "smsretry.adapters.twilio.http", None)
    settings = Settings.model_construct(
        twilio_account_sid=ACCOUNT, twilio_from_number="+12125550100", twilio_messaging_service_sid=None
    )
    with TwilioSender(settings) as twilio:
        outcome = twilio.send(Text(attempt_id=uuid4(), to="+12125550161", body="Hello", valid_for=timedelta(hours=1)))
    assert twilio.default.sent_by == "+12125550100"
    assert outcome == NotSent("Twilio's SDK could not be loaded (ModuleNotFoundError): install smsretry anew")


def test_an_sdk_that_cannot_be_loaded_says_nothing_of_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look for a text in doubt had ended as an error, and a look after deliveries with a traceback."""
    monkeypatch.setitem(sys.modules, "smsretry.adapters.twilio.http", None)
    settings = Settings.model_construct(
        twilio_account_sid=ACCOUNT, twilio_from_number="+12125550100", twilio_messaging_service_sid=None
    )
    with TwilioSender(settings) as twilio:
        assert twilio.look_up("+12125550161", sender=SenderId(None, None), since=NOON, at=NOON) is None
        assert twilio.what_became_of(SID, account=None) is None


def test_a_sender_that_is_written_in_capitals_is_the_same_sender() -> None:
    """Twilio lists SIDs in lower case: its message would have been called another's, and the text sent twice."""
    message = SimpleNamespace(direction="outbound-api", from_=None, messaging_service_sid="MG" + "ab" * 16)
    assert _may_be_from(message, "MG" + "AB" * 16)
    assert not _may_be_from(message, "MG" + "AC" * 16)
