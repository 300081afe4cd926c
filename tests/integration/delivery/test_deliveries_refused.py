"""Twilio refuses to say what became of messages: a run notices soon, and nobody waits for another's message."""

from datetime import timedelta
from uuid import uuid4

import pytest

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import FetchError
from smsretry.sending.delivering import sync_deliveries
from smsretry.sending.ports import Services
from tests.conftest import Business
from tests.support.builders import run

REFUSALS = [FetchError(20003, http_status=401), FetchError(20429, http_status=429), FetchError()]


@pytest.fixture
def sent(stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender) -> None:
    """Twenty texts of one business and four of another were accepted, and arrived."""
    other = Business(business.connection, stack.now, id=uuid4()).open()
    for number in range(24):
        whose = other if number >= 20 else business
        whose.due_text(phone=f"+1212556{'8' if whose is other else '0'}{number:03}")
    assert run(queue, sender) == ["Sent"] * 24
    for entry in stack.twilio.ledger.entries():
        stack.twilio.report(entry.sid, "delivered")
    stack.move_clock(timedelta(minutes=6))
    stack.twilio.fetches = 0


@pytest.mark.usefixtures("sent")
@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_run_ends_its_asking_soon_and_says_so(
    stack: Stack, business: Business, services: Services, refusal: FetchError
) -> None:
    """It had asked for all of them, up to 2,000, in each run. What was not asked about is as it was."""
    stack.twilio.fail(refusal, times=None)
    summary = sync_deliveries(services, limit=100)
    assert summary.needs_somebody
    assert (summary.stopped_because or "").startswith("The provider said nothing of the last")
    assert stack.twilio.fetches == 8
    untouched = business.connection.execute("select count(*) as n from sms_send_attempts where delivery_looks = 0")
    assert untouched.fetchone() == {"n": 16}


@pytest.mark.usefixtures("sent")
def test_a_refusal_that_lasts_costs_a_few_requests_a_run(stack: Stack, services: Services) -> None:
    """And each of them is another message, until all have been asked about once."""
    stack.twilio.fail(REFUSALS[0], times=None)
    asked = []
    for _ in range(3):
        before = stack.twilio.fetches
        sync_deliveries(services, limit=100)
        asked.append(stack.twilio.fetches - before)
    assert asked == [8, 8, 8]
    stack.twilio.heal()
    told = 0
    for _ in range(3):
        stack.move_clock(timedelta(minutes=11))
        told += sync_deliveries(services, limit=100).counts["delivered"]
    assert told == 24


@pytest.mark.usefixtures("sent")
def test_messages_that_cannot_be_read_stop_nobody_else_s(stack: Stack, services: Services) -> None:
    """Those of one business: the other one's come in turns between them, and its answers say that Twilio answers."""
    for number in range(4):
        stack.twilio.fail(FetchError(), to=f"+12125560{number:03}", times=None)
    summary = sync_deliveries(services, limit=100)
    assert summary.stopped_because is None
    assert (summary.counts["delivered"], summary.counts["not asked"]) == (20, 4)
