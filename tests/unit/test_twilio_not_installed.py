"""What comes of a send when Twilio's SDK cannot be loaded."""

import sys
from datetime import timedelta
from uuid import uuid4

import pytest

from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.retry.models import Text
from smsretry.retry.outcome import NotSent
from smsretry.settings import Settings
from tests.support.builders import NOON, SID


def test_an_sdk_that_cannot_be_loaded_sends_nothing_and_leaves_no_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """No request has left, so the text may be sent once the installation is mended."""
    monkeypatch.setitem(sys.modules, "smsretry.adapters.twilio.http", None)
    settings = Settings.model_construct(twilio_from_number="+12125550100", twilio_messaging_service_sid=None)
    with TwilioSender(settings) as twilio:
        outcome = twilio.send(Text(attempt_id=uuid4(), to="+12125550161", body="Hello", valid_for=timedelta(hours=1)))
    assert twilio.sent_by == "+12125550100"
    assert outcome == NotSent("Twilio's SDK could not be loaded (ModuleNotFoundError): install smsretry anew")


def test_an_sdk_that_cannot_be_loaded_says_nothing_of_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look for a text in doubt had ended as an error, and a look after deliveries with a traceback."""
    monkeypatch.setitem(sys.modules, "smsretry.adapters.twilio.http", None)
    settings = Settings.model_construct(twilio_from_number="+12125550100", twilio_messaging_service_sid=None)
    with TwilioSender(settings) as twilio:
        assert twilio.look_up("+12125550161", sent_by=None, since=NOON, at=NOON) is None
        assert twilio.what_became_of(SID) is None
