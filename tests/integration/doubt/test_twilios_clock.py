"""A message is dated by Twilio's own clock, which its answers tell."""

from datetime import timedelta

import pytest

from smsretry.local.twilio.faults import AcceptThenDrop
from tests.support.builders import BODY
from tests.support.shop import Shop


def test_a_text_in_doubt_is_found_though_twilios_clock_is_behind(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is dated minutes before its send began by our clock. It is no older message, and nobody need decide."""
    monkeypatch.setattr(shop.stack.twilio, "clock_ahead", timedelta(minutes=-8))
    row = shop.due_text(body=BODY)
    shop.stack.twilio.fail(AcceptThenDrop())
    assert shop.run() == ["InDoubt"]
    shop.later(minutes=2)
    assert shop.run() == ["Sent"]
    assert shop.end_of(row)[0] == "completed"
    assert len(shop.messages) == 1
