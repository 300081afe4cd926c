"""What the tests of deliveries work with."""

from collections.abc import Iterator

import pytest

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.stack import Stack
from smsretry.retry.profile import DEFAULT
from smsretry.sending.ports import Services


@pytest.fixture
def services(stack: Stack, sender: TwilioSender) -> Iterator[Services]:
    """The production adapters, over HTTP. Four are asked for at once."""
    with SupabaseQueue(stack.settings()) as records:
        yield Services(records, sender, DEFAULT, 4)
