"""What the libraries below say of their requests, when somebody lets the root logger have it all."""

import base64
import logging
import logging.config
from collections.abc import Iterator
from datetime import timedelta

import pytest
import requests

from smsretry import next_retry_delay, queue_sms_retry
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.provider import TwilioProvider
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import AcceptThenDrop
from smsretry.settings import Settings
from tests.conftest import Business
from tests.support.builders import BODY, PHONE, run

LOGGERS = (
    "urllib3",
    "urllib3.connectionpool",
    "urllib3.connection",
    "httpx",
    "httpcore.http11",
    "twilio.http_client",
)


@pytest.fixture
def everything_logged(
    caplog: pytest.LogCaptureFixture,
) -> Iterator[pytest.LogCaptureFixture]:
    """The root logger at DEBUG, and each library's own turned up by a configuration made after ours."""
    names = {
        name: {"level": "DEBUG", "propagate": True, "filters": []} for name in LOGGERS
    }
    before = {name: logging.getLogger(name).level for name in LOGGERS}
    with caplog.at_level(logging.DEBUG):
        logging.config.dictConfig(
            {"version": 1, "disable_existing_loggers": False, "loggers": names}
        )
        yield caplog
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def test_no_line_of_any_library_has_number_body_or_key(
    stack: Stack, business: Business, settings: Settings, request: pytest.FixtureRequest
) -> None:
    """Queued, sent, lost, looked for and found, with what such requests carry. Others of the process are logged on."""
    with SupabaseQueue(settings) as queue, TwilioProvider(settings) as sender:
        caplog: pytest.LogCaptureFixture = request.getfixturevalue("everything_logged")
        stack.twilio.fail(AcceptThenDrop())
        queue_sms_retry(
            business.send_log(business.customer()), "twilio_error", queue=queue
        )
        stack.move_clock(next_retry_delay(0) + timedelta(seconds=1))
        assert run(queue, sender) == ["InDoubt"]
        stack.move_clock(timedelta(minutes=1, seconds=1))
        assert run(queue, sender) == ["Sent"]
        requests.get(f"{settings.twilio_base_url}/somewhere?else=1", timeout=5)

    form = logging.Formatter()
    logged = "\n".join(
        f"{record.name} {form.format(record)} {vars(record)}"
        for record in caplog.records
    )
    assert ("httpcore" in logged, "/somewhere?else=1" in logged) == (True, True), (
        "nothing was turned up"
    )
    assert "/2010-04-01/" not in logged
    assert settings.twilio_auth_token is not None
    token = settings.twilio_auth_token.get_secret_value()
    login = base64.b64encode(f"{settings.twilio_account_sid}:{token}".encode()).decode()
    for private in (
        PHONE[1:],
        BODY,
        settings.supabase_service_role_key.get_secret_value(),
        token,
        login,
    ):
        assert private not in logged
