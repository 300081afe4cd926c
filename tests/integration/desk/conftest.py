"""A desk on the real database, and texts with a past."""

from uuid import UUID

import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.errors import code_meaning
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.desk.desk import Desk
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import AcceptThenDrop, JsonError
from tests.conftest import Business
from tests.support.builders import AT_ONCE, run


@pytest.fixture
def desk(operators: SupabaseOperators) -> Desk:
    """The desk as `wiring` makes it."""
    return Desk(operators, profile=AT_ONCE, meaning=code_meaning)


@pytest.fixture
def failed(stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender) -> UUID:
    """A text that Twilio refused for good, once."""
    row = business.due_text()
    stack.twilio.fail(JsonError(21612, http_status=400))
    assert run(queue, sender) == ["Failed"]
    return row


@pytest.fixture
def doubtful(stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender) -> UUID:
    """A text that Twilio took, while its answer was lost."""
    row = business.due_text()
    stack.twilio.fail(AcceptThenDrop())
    assert run(queue, sender) == ["InDoubt"]
    return row
