"""A desk on the real database, and texts with a past."""

from uuid import UUID

import pytest

from smsretry.adapters.desk import Desk
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.twilio.errors import code_meaning
from smsretry.local.twilio.faults import AcceptThenDrop, JsonError
from tests.support.builders import AT_ONCE
from tests.support.shop import Shop


@pytest.fixture
def desk(operators: SupabaseOperators) -> Desk:
    """The desk as `wiring` makes it."""
    return Desk(operators, profile=AT_ONCE, meaning=code_meaning)


@pytest.fixture
def failed(shop: Shop) -> UUID:
    """A text that Twilio refused for good, once."""
    row = shop.due_text()
    shop.twilio.fail(JsonError(21612, http_status=400))
    assert shop.run() == ["Failed"]
    return row


@pytest.fixture
def doubtful(shop: Shop) -> UUID:
    """A text that Twilio took, while its answer was lost."""
    row = shop.due_text()
    shop.twilio.fail(AcceptThenDrop())
    assert shop.run() == ["InDoubt"]
    return row
