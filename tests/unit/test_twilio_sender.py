"""What a request to Twilio carries besides number and body, how Twilio lists a body, and a send without the SDK."""

import json
import sys
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from pydantic import HttpUrl

from smsretry.adapters.twilio.accounts import Accounts
from smsretry.adapters.twilio.http import TwilioHttp
from smsretry.adapters.twilio.lists import _may_be_from, _sighting
from smsretry.adapters.twilio.sender import TwilioSender, _validity_period, _with_attempt
from smsretry.retry.evidence import Sent, find
from smsretry.retry.models import Look, SenderId, Text
from smsretry.retry.outcome import Accepted, InDoubt, NotSent
from smsretry.settings import Settings
from tests.support.builders import ACCOUNT, BODY, NOON, PHONE, SID


def test_a_validity_period_is_one_second_to_ten_hours() -> None:
    """What Twilio takes; rounded down, so that no text leaves after its end."""
    told = {-3600: 1, 0: 1, 0.999: 1, 10: 10, 10.999: 10, 36_000: 36_000, 36_001: 36_000, 172_800: 36_000}
    for valid_for, seconds in told.items():
        assert _validity_period(timedelta(seconds=valid_for)) == seconds


def test_the_callback_url_carries_the_attempts_id_and_keeps_what_it_had() -> None:
    """Twilio calls it even when its answer to us was lost."""
    url = "https://example.com/twilio"
    for query, called in {"": "?", "?shop=5": "?shop=5&", "?empty=": "?empty=&", "?note=a%20b": "?note=a+b&"}.items():
        assert _with_attempt(f"{url}{query}", UUID(int=5)) == f"{url}{called}attempt={UUID(int=5)}"


PREFIX = "Sent from your Twilio trial account - "
STOP = "Reply STOP to unsubscribe"
LISTED = [
    # what we sent, what Twilio shows, whether it is the same text
    (BODY, BODY, True),
    (BODY, f"{PREFIX}{BODY}", True),
    (f"  {BODY}", f"{PREFIX}{BODY}", True),
    ("Hi Ann", f"{PREFIX}Hi Ann", True),
    (BODY, f"{PREFIX}{BODY} {STOP}", True),
    (BODY, f"Dear customer: {BODY}", False),
    (BODY, f"{BODY} See you tomorrow.", False),
    ("Hi Ann", f"Hi Ann {PREFIX}", False),
    (BODY, "", False),
    (BODY, None, False),
    (BODY, PREFIX, False),
]


def test_a_trial_accounts_text_is_read_without_the_words_that_twilio_puts_before_it() -> None:
    """The text is ours then, and found; at any other place the words are somebody's text, and it is ambiguous."""
    for ours, shown, same in LISTED:
        message = SimpleNamespace(
            sid=SID, to=PHONE, body=shown, date_created=NOON, direction="outbound-api", from_=PHONE,
            messaging_service_sid=None,
        )  # fmt: skip
        found = find(Look(sightings=(_sighting(message),)), Sent(PHONE, ours, NOON, NOON))
        assert (found.ours, found.ambiguous) == (((SID,), ()) if same else ((), (SID,))), shown


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
    assert isinstance(http.outcome(fail), InDoubt)


def test_an_sdk_that_cannot_be_loaded_sends_nothing_and_leaves_no_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """No request has left, so the text may be sent once the installation is mended. No message is called absent."""
    monkeypatch.setitem(sys.modules, "smsretry.adapters.twilio.http", None)
    settings = Settings.model_construct(
        twilio_account_sid=ACCOUNT, twilio_from_number="+12125550100", twilio_messaging_service_sid=None
    )
    with TwilioSender(settings) as twilio:
        outcome = twilio.send(Text(attempt_id=uuid4(), to="+12125550161", body="Hello", valid_for=timedelta(hours=1)))
        assert isinstance(outcome, NotSent)
        assert twilio.look_up("+12125550161", sender=SenderId(None, None), since=NOON, at=NOON) is None
        assert twilio.what_became_of(SID, account=None) is None


def test_a_sender_that_is_written_in_capitals_is_the_same_sender() -> None:
    """Twilio lists SIDs in lower case: its message would have been called another's, and the text sent twice."""
    message = SimpleNamespace(direction="outbound-api", from_=None, messaging_service_sid="MG" + "ab" * 16)
    assert _may_be_from(message, "MG" + "AB" * 16)
    assert not _may_be_from(message, "MG" + "AC" * 16)
