"""What is told of a text is the best that became of its messages, whatever the last one came to."""

from datetime import timedelta
from uuid import UUID

import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.errors import code_meaning
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.desk.actions.requests import WhichText
from smsretry.desk.desk import Desk
from smsretry.desk.questions.explanation import Explanation
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import AcceptThenDrop
from tests.conftest import Business
from tests.support.builders import AT_ONCE, PHONE, fates_of, run_over


@pytest.fixture
def desk(operators: SupabaseOperators) -> Desk:
    """The desk as `wiring` makes it."""
    return Desk(operators, profile=AT_ONCE, meaning=code_meaning)


def report(business: Business, message: int, status: str, code: int | None = None) -> None:
    """Twilio's callback about a message of the text, by the order in which they were sent."""
    [attempt] = business.connection.execute(
        "select id, twilio_sid from sms_send_attempts order by begun_at offset %s limit 1", [message]
    ).fetchall()
    sid = attempt["twilio_sid"] or "SM" + f"{message}" * 32
    business.connection.execute(
        "select settle_sms_attempt(%s, %s, delivery_status => %s, error_code => %s)", [attempt["id"], sid, status, code]
    )


def story_of(desk: Desk, row: UUID) -> Explanation:
    """What is told of it."""
    [explanation] = desk.explain(WhichText(retry_id=row))
    return explanation


def test_a_text_whose_first_message_arrived_did_arrive(
    stack: Stack, desk: Desk, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Its second one was lost meanwhile: it had been told that the text did not arrive."""
    row = business.due_text()
    assert fates_of(run_over(queue, sender)) == ["Sent"]
    stack.twilio.report(stack.twilio.ledger.entries()[0].sid, "undelivered", 30003, arrived=False)
    report(business, 0, "undelivered", 30003)
    business.connection.execute(
        """select finish_sms_delivery(id, delivery_looks, 'send_again', 'undelivered', 30003,
                                      error => 'Not delivered', retry_in => '1 minute')
           from sms_send_attempts"""
    )
    stack.move_clock(timedelta(minutes=1))
    assert fates_of(run_over(queue, sender)) == ["Sent"]
    assert "it did not arrive" not in story_of(desk, row).next
    report(business, 1, "undelivered", 30003)
    assert story_of(desk, row).next.startswith("it did not arrive; the next run of sync-delivery-status decides")
    report(business, 0, "delivered")
    assert [attempt.delivery for attempt in story_of(desk, row).text.history] == ["delivered", "undelivered"]
    assert story_of(desk, row).next == "nothing more; it was delivered"
    assert business.log_of(row)["status"] == "delivered"


def cancelled_after_it_left(stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender) -> UUID:
    """Its answer was lost and no evidence found, so it was to be sent again; then its customer said STOP."""
    row = business.due_text()
    stack.twilio.fail(AcceptThenDrop())
    assert fates_of(run_over(queue, sender)) == ["InDoubt"]
    business.connection.execute(
        """update sms_retry_queue set in_doubt_since = null, attempt_id = null, scheduled_for = smsretry.clock()
           where id = %s""",
        [row],
    )
    business.connection.execute("select record_inbound_sms(%s, %s, 'STOP', 'stop')", [PHONE, "SM" + "e" * 32])
    assert business.row(row)["status"] == "cancelled"
    return row


def test_a_text_that_was_cancelled_and_then_delivered_says_both(
    stack: Stack, desk: Desk, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """The row is completed and the send log says delivered, as after a failure; why it had been cancelled is kept."""
    row = cancelled_after_it_left(stack, business, queue, sender)
    report(business, 0, "delivered")
    after = business.row(row)
    assert (after["status"], business.log_of(row)["status"]) == ("completed", "delivered")
    explanation = story_of(desk, row)
    why = "It was delivered after all. Before that it had been cancelled: Customer opted out"
    assert explanation.headline.startswith(f"Sent, accepted by the provider: {why}")
    assert (explanation.next, explanation.levers) == ("nothing more; it was delivered", ())


def test_a_text_that_had_failed_and_then_arrives_says_both(
    stack: Stack, desk: Desk, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """The carrier had called it lost."""
    row = business.due_text()
    assert fates_of(run_over(queue, sender)) == ["Sent"]
    report(business, 0, "undelivered", 30006)
    business.connection.execute(
        "select finish_sms_delivery(id, delivery_looks, 'give_up', 'undelivered', 30006, error => 'A landline')"
        " from sms_send_attempts"
    )
    assert business.row(row)["status"] == "failed"
    report(business, 0, "delivered")
    assert "Before that it had failed: A landline" in story_of(desk, row).headline
