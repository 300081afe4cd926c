"""What somebody can mend never costs a text: it waits, says for what, and goes on by itself once that is mended."""

from datetime import timedelta
from uuid import UUID

import pytest

from smsretry import process_sms_retry_item, queue_sms_retry
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.stack import Stack
from tests.conftest import Business
from tests.support.builders import BODY, begin, results_of, run, run_over, sent_by_hand
from tests.support.claims import claim_due

LOUISIANA = "+15045550123"


def unreadable(business: Business) -> None:
    """Hours that close before they open: the column's check lets them through."""
    business.connection.execute("update businesses set sms_hours = '18:00-09:00'")


def readable(business: Business) -> None:
    """The hours mended."""
    business.connection.execute("update businesses set sms_hours = null")


def test_unreadable_hours_hold_a_business_s_texts_until_they_are_mended(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """They had failed every text of the business."""
    row = business.due_text()
    unreadable(business)
    [result] = results_of(run_over(queue, sender))
    assert result.fate == "Held"
    held = business.row(row)
    assert (held["status"], held["attempt_count"]) == ("pending", 0)
    assert held["why"].startswith("The business's sms_hours cannot be read: ")
    assert held["held_since"] is not None
    readable(business)
    stack.move_clock(timedelta(minutes=15))
    assert run(queue, sender) == ["Sent"]
    assert business.row(row)["held_since"] is None


def test_a_stopped_state_holds_its_texts_until_the_stop_is_lifted(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, operators: SupabaseOperators
) -> None:
    """As `smsretry stop` has always said."""
    row = business.due_text(phone=LOUISIANA, timezone="America/Chicago")
    operators.set_state_stop("LA", "hurricane")
    [result] = results_of(run_over(queue, sender))
    assert result.fate == "Held"
    assert "LA" in business.row(row)["why"]
    operators.set_state_stop("LA", None)
    stack.move_clock(timedelta(minutes=15))
    assert run(queue, sender) == ["Sent"]


KEPT, SPELLED = "+4407700900123", "+447700900123"
"""A number with its national zero, and without."""


def test_a_number_that_is_spelled_otherwise_holds_its_text_until_it_is_corrected(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Its list was asked for in vain, so in doubt it had gone out twice."""
    row = business.due_text(phone=KEPT, timezone="Europe/London")
    assert run(queue, sender) == ["Held"]
    held = business.row(row)
    assert (held["status"], held["why_code"], held["attempt_count"]) == ("pending", "number_spelling", 0)
    assert "write +44 and 10 digits, without the 0" in held["why"]
    business.connection.execute("update customers set phone = %s", [SPELLED])
    stack.move_clock(timedelta(minutes=15))
    assert run(queue, sender) == ["Sent"]
    assert [message.to for message in stack.twilio.ledger.entries()] == [SPELLED]


def test_what_the_application_sent_to_a_number_in_another_spelling_is_found_and_not_sent_again(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Its own processor sends to whatever is stored; the provider lists the number as it is."""
    row = business.due_text(phone=KEPT, timezone="Europe/London")
    business.connection.execute("select * from claim_due_sms_retries(1)")
    sent_by_hand(sender, KEPT, BODY)
    stack.move_clock(timedelta(minutes=11))
    run(queue, sender)
    stack.move_clock(timedelta(minutes=1))
    run(queue, sender)
    assert business.row(row)["status"] == "completed"
    assert len(stack.twilio.ledger.entries()) == 1


def test_a_held_text_ends_when_it_is_of_no_more_use_and_says_what_it_waited_for(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """48 hours after the first moment it might have gone out."""
    row = business.due_text()
    unreadable(business)
    assert run(queue, sender) == ["Held"]
    stack.move_clock(timedelta(hours=48))
    assert run(queue, sender) == ["Cancelled"]
    assert "(UTC). The business's sms_hours cannot be read" in business.row(row)["last_error"]


def queued_for(business: Business, queue: SupabaseQueue, stack: Stack, ahead: timedelta) -> UUID:
    """A text that the application wants sent some time from now."""
    log = business.send_log(business.customer())
    queued = queue_sms_retry(log, None, scheduled_for=stack.now() + ahead, queue=queue)
    assert queued.retry_id is not None
    return queued.retry_id


@pytest.mark.parametrize("by_function", [True, False])
def test_a_text_planned_for_days_ahead_lives_from_then_on(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, by_function: bool
) -> None:
    """Its 48 hours had begun when it was queued, and it was cancelled on the day."""
    ahead = timedelta(days=3)
    row = queued_for(business, queue, stack, ahead) if by_function else business.due_text(due=ahead)
    assert business.row(row)["expires_at"] is None
    stack.move_clock(ahead)
    assert run(queue, sender) == ["Sent"]


def test_waiting_for_an_opening_costs_no_life(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """A holiday weekend is longer than 48 hours."""
    row = business.due_text()
    business.connection.execute("update businesses set sms_hours = 'Fri 09:00-18:00'")
    assert run(queue, sender) == ["Deferred"], "noon on a Tuesday"
    stack.set_clock(business.row(row)["scheduled_for"])
    assert run(queue, sender) == ["Sent"]


CHANGES = {
    "number": "update customers set phone = '+12125550199'",
    "zone": "update customers set timezone = 'Asia/Tokyo'",
    "business's zone": "update businesses set timezone = 'Asia/Tokyo'",
    "hours": "update businesses set sms_hours = '09:00-10:00'",
    "words": "update send_logs set subject = 'We are closed tomorrow'",
    "class": "update sms_retry_queue set message_class = 'transactional'",
    "stopped states": "insert into smsretry.stops (kind, subject, since, why) values ('state', 'NY', now(), 'A storm')",
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_a_decision_was_made_from_may_not_change_before_the_send_begins(
    stack: Stack, business: Business, queue: SupabaseQueue, what: str
) -> None:
    """The next run decides anew: it may be night there."""
    business.due_text()
    [claim] = claim_due(queue, 10)
    business.connection.execute(CHANGES[what].encode())
    assert begin(queue, claim).answer == "changed"


def test_words_that_change_before_the_send_begins_are_the_ones_that_go_out(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """The ones of its claim had gone out."""
    row = business.due_text()
    [claim] = claim_due(queue, 10)
    business.connection.execute(CHANGES["words"].encode())
    result = process_sms_retry_item(claim, queue=queue, sender=sender)
    assert (result.fate, result.why_code) == ("GivenBack", "data_changed")
    assert not stack.twilio.ledger.entries()
    stack.set_clock(business.row(row)["scheduled_for"])
    assert run(queue, sender) == ["Sent"]
    assert [entry.body for entry in stack.twilio.ledger.entries()] == ["We are closed tomorrow"]
