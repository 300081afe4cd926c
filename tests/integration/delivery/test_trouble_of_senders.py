"""What carriers do not take of a sender costs no text: it waits, visibly, and is sent again. Nobody else notices."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.desk.pages.runs import delivery_events
from smsretry.desk.questions.queue_status import QueueStatus
from smsretry.local.stack import SENDER, Stack
from smsretry.local.twilio.faults import FetchError
from smsretry.sending.delivering import sync_deliveries
from smsretry.sending.ports import Services
from smsretry.sending.summary import FollowedUp
from tests.conftest import Business
from tests.support.builders import run
from tests.support.senders import open_account, texts_from

MIDNIGHT = datetime(2027, 1, 13, 8, 0, tzinfo=UTC)
"""Of Pacific time, at the end of the day of `NOON`."""
NUMBER, OTHER_NUMBER = "+12025550101", "+12025550102"
REGISTER = "Register the number: add it to a messaging service that has a verified A2P campaign"
UNREGISTERED = f"Not delivered: Twilio 30034: US A2P 10DLC - Message from an Unregistered Number. {REGISTER}"


def looked_after(stack: Stack, services: Services) -> FollowedUp:
    """What a look at the newest message came to, once Twilio had time to report by itself."""
    stack.move_clock(timedelta(minutes=6))
    newest = stack.twilio.ledger.entries()[-1].sid
    [followed] = [one for one in sync_deliveries(services, limit=10).followed if one.message.sid == newest]
    return followed


def test_a_text_of_an_unregistered_number_is_held_and_goes_out_once_that_is_mended(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, services: Services
) -> None:
    """It says what to mend, costs no attempt, and waits longer each time, because each message costs."""
    refused = stack.twilio.accounts.main.refused_by_carriers
    refused[SENDER] = 30034
    row = business.due_text()
    for waits in (timedelta(minutes=30), timedelta(hours=2), timedelta(hours=6)):
        assert run(queue, sender) == ["Sent"]
        followed = looked_after(stack, services)
        assert (followed.came_to, followed.code, followed.blames_sender) == ("held", 30034, True)
        held, log = business.row(row), business.log_of(row)
        assert (held["status"], held["attempt_count"], held["why_code"]) == ("pending", 0, "account_refused")
        assert (held["held_since"] is not None, held["why"], log["error_message"]) == (True, UNREGISTERED, UNREGISTERED)
        assert log["status"] == "pending"
        assert held["scheduled_for"] - stack.now() == pytest.approx(waits, abs=timedelta(seconds=30))
        assert run(queue, sender) == []
        stack.set_clock(held["scheduled_for"])
    refused.clear()
    assert run(queue, sender) == ["Sent"]
    stack.twilio.report(stack.twilio.ledger.entries()[-1].sid, "delivered")
    assert looked_after(stack, services).came_to == "delivered"
    ended = business.row(row)
    assert (ended["status"], ended["attempt_count"], ended["held_since"]) == ("completed", 1, None)
    assert stack.twilio.ledger.arrived() == 1


def test_a_spent_day_is_waited_for_and_is_no_failed_delivery(
    stack: Stack,
    business: Business,
    queue: SupabaseQueue,
    sender: TwilioSender,
    services: Services,
    operators: SupabaseOperators,
) -> None:
    """Until midnight Pacific time, and then until the recipient's window opens."""
    stack.twilio.accounts.main.segments_per_day[SENDER] = 1
    business.due_text(phone="+12125550124")
    assert run(queue, sender) == ["Sent"]
    stack.twilio.report(stack.twilio.ledger.entries()[0].sid, "delivered")
    row = business.due_text()
    assert run(queue, sender) == ["Sent"]
    stack.move_clock(timedelta(minutes=6))
    summary = sync_deliveries(services, limit=10)
    assert str(summary) == "delivered 1 · retried 1"
    assert [event.name for event in delivery_events(summary, None)] == ["sms.text.retried"]
    waits = business.row(row)
    assert (waits["status"], waits["attempt_count"], waits["why_code"]) == ("pending", 0, "day_spent")
    assert waits["held_since"] is None
    assert waits["scheduled_for"] - MIDNIGHT < timedelta(minutes=1)
    assert QueueStatus.of(operators.status()).delivery == {"delivered": 1}
    stack.set_clock(waits["scheduled_for"])
    assert run(queue, sender) == ["Deferred"]
    stack.set_clock(datetime(2027, 1, 13, 17, 0, tzinfo=UTC))
    assert run(queue, sender) == ["Sent"]
    stack.twilio.report(stack.twilio.ledger.entries()[-1].sid, "undelivered", 30008)
    assert looked_after(stack, services).came_to == "retried", "it is the first that was lost"
    assert business.row(row)["attempt_count"] == 1


def test_an_account_that_does_not_answer_ends_the_asking_about_its_own_messages_alone(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, services: Services
) -> None:
    """Here its parent no longer reaches it. Its messages stay as they are; the others' are all asked about."""
    account = open_account(stack, number=NUMBER)
    texts_from(business.connection, business.id, account.sid, NUMBER)
    other = Business(business.connection, stack.now, id=uuid4()).open()
    for number in range(40):
        whose = business if number < 20 else other
        whose.due_text(phone=f"+1212556{number:04}")
    assert run(queue, sender) == ["Sent"] * 40
    for entry in stack.twilio.ledger.entries():
        assert entry.account_sid == (account.sid if entry.to < "+12125560020" else stack.twilio.accounts.main.sid)
        stack.twilio.report(entry.sid, "delivered")
    account.owner = None
    stack.twilio.fetches = 0
    stack.move_clock(timedelta(minutes=6))
    summary = sync_deliveries(services, limit=100)
    assert summary.counts["delivered"] == 20
    assert (summary.stopped_because, summary.silent_accounts) == (None, (account.sid,))
    assert f"No answer for {account.sid}" in str(summary)
    assert 5 <= summary.counts["not asked"] <= 8
    account.owner = stack.twilio.accounts.main
    stack.move_clock(timedelta(minutes=11))
    assert sync_deliveries(services, limit=100).counts["delivered"] == 20


def test_a_provider_that_cannot_be_reached_costs_a_few_requests_whatever_the_accounts(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, services: Services
) -> None:
    """An outage is everybody's: one account after the other need not be tried."""
    for number in range(12):
        whose = Business(business.connection, stack.now, id=uuid4()).open()
        account = open_account(stack, number=f"+1202555{number:04}")
        texts_from(business.connection, whose.id, account.sid, f"+1202555{number:04}")
        whose.due_text(phone=f"+1212556{number:04}")
    assert run(queue, sender) == ["Sent"] * 12
    stack.twilio.fail(FetchError(), times=None)
    stack.twilio.fetches = 0
    stack.move_clock(timedelta(minutes=6))
    summary = sync_deliveries(services, limit=100)
    assert (summary.stopped_because or "").startswith("The provider said nothing of the last 8 messages")
    assert stack.twilio.fetches == 8


def test_a_message_that_another_account_keeps_is_not_called_missing(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, services: Services
) -> None:
    """A failure that was reported would have been taken for the last word, and the text sent twice."""
    account = open_account(stack, number=NUMBER)
    texts_from(business.connection, business.id, account.sid, NUMBER)
    row = business.due_text()
    assert run(queue, sender) == ["Sent"]
    [entry] = stack.twilio.ledger.entries()
    business.connection.execute(
        "select settle_sms_attempt(id, twilio_sid, delivery_status => 'undelivered', error_code => 30008) "
        "from sms_send_attempts"
    )
    stack.twilio.report(entry.sid, "delivered")
    account.owner = None
    stack.move_clock(timedelta(minutes=6))
    followed = sync_deliveries(services, limit=10).followed
    assert [(one.came_to, one.report.status) for one in followed] == [("not asked", "denied")]
    assert business.row(row)["status"] == "completed"
    account.owner = stack.twilio.accounts.main
    stack.move_clock(timedelta(minutes=11))
    assert [one.came_to for one in sync_deliveries(services, limit=10).followed] == ["delivered"]


def test_a_lost_message_is_asked_about_in_the_account_that_it_left(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, services: Services
) -> None:
    """Its business has moved to another one meanwhile, from which the next message goes."""
    old, new = open_account(stack, number=NUMBER), open_account(stack, number=OTHER_NUMBER)
    texts_from(business.connection, business.id, old.sid, NUMBER)
    row = business.due_text()
    assert run(queue, sender) == ["Sent"]
    stack.twilio.report(stack.twilio.ledger.entries()[0].sid, "undelivered", 30008)
    assert looked_after(stack, services).came_to == "retried"
    texts_from(business.connection, business.id, new.sid, OTHER_NUMBER)
    stack.move_clock(timedelta(minutes=31))
    stack.twilio.fetches = 0
    assert run(queue, sender) == ["Sent"]
    assert [one.account_sid for one in stack.twilio.ledger.entries()] == [old.sid, new.sid]
    assert (stack.twilio.fetches, len(business.attempts_of(row))) == (1, 2)
