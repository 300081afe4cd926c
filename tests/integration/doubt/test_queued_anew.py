"""A text that ended in doubt and is queued anew is in doubt about its earlier send, until that is settled.

It had simply been sent once more: only the row that had ended knew of the doubt.
"""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest

from smsretry import next_retry_delay, queue_sms_retry
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.desk.actions.requests import Requeue, WhichText
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import AcceptThenDrop, DropUnaccepted, ListError, SendFault
from smsretry.retry.before import LIFE
from smsretry.sending.pipeline import process_sms_retry_item
from smsretry.sending.scheduled import queue_scheduled_sends
from tests.conftest import Business
from tests.integration.doubt.test_in_doubt import half_an_hour, settle
from tests.support.builders import BODY, begin, resolution, run
from tests.support.claims import claim_doubtful
from tests.support.orders import ordered, resolve

SO_LONG = LIFE + timedelta(hours=1)
WHY = "An earlier send of this text may have gone out: it is looked for before another one leaves"


def fails_in_doubt(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, fault: SendFault
) -> UUID:
    """A text whose answer was lost, and whose life ended before Twilio's list could be had. Now it can."""
    row = business.due_text()
    stack.twilio.fail(fault)
    assert run(queue, sender) == ["InDoubt"]
    stack.twilio.fail(ListError(), times=None)
    stack.move_clock(SO_LONG)
    assert run(queue, sender) == ["Failed"]
    stack.twilio.heal()
    return row


def by_the_function(business: Business, queue: SupabaseQueue, row: UUID) -> UUID:
    """As the application does that retries what has failed."""
    queued = queue_sms_retry(business.row(row)["send_log_id"], None, queue=queue)
    assert queued.result == "queued"
    assert queued.retry_id is not None
    return queued.retry_id


def by_an_insert(business: Business, _queue: SupabaseQueue, row: UUID) -> UUID:
    """As it always did."""
    ended = business.row(row)
    return business.queue_row(ended["send_log_id"], ended["customer_id"])


ANEW: dict[str, Callable[[Business, SupabaseQueue, UUID], UUID]] = {
    "queue_sms_retry": by_the_function,
    "insert": by_an_insert,
}


@pytest.mark.parametrize("anew", ANEW)
def test_a_text_that_twilio_has_is_found_and_not_sent_again(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, anew: str
) -> None:
    """The new row says what it waits for, and is completed with the message that is found."""
    row = fails_in_doubt(stack, business, queue, sender, AcceptThenDrop())
    new = ANEW[anew](business, queue, row)
    waits = business.row(new)
    assert (waits["status"], waits["in_doubt_since"] is not None, waits["why"]) == ("pending", True, WHY)
    assert waits["attempt_id"] == business.attempts_of(row)[0]["id"]
    half_an_hour(stack, business, queue, sender)
    [entry] = stack.twilio.ledger.entries()
    assert (business.row(row)["status"], business.row(new)["status"]) == ("failed", "completed")
    assert business.log_of(new)["provider_message_id"] == {"twilio_sid": entry.sid}
    [attempt] = business.attempts_of(new)
    assert (attempt["outcome"], attempt["settled_by"], attempt["twilio_sid"]) == ("accepted", "reconcile", entry.sid)


@pytest.mark.parametrize("anew", ANEW)
def test_a_text_that_twilio_does_not_have_is_sent_once_after_three_looks(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, anew: str
) -> None:
    """As every text in doubt is; its life begins anew with the first of them."""
    row = fails_in_doubt(stack, business, queue, sender, DropUnaccepted())
    new = ANEW[anew](business, queue, row)
    stack.move_clock(next_retry_delay(0))
    assert run(queue, sender) == ["InDoubt"]
    assert timedelta(0) <= stack.now() + LIFE - business.row(new)["expires_at"] < timedelta(minutes=1)
    stack.move_clock(timedelta(minutes=5))
    assert run(queue, sender) == ["InDoubt"]
    assert not stack.twilio.ledger.entries()
    half_an_hour(stack, business, queue, sender)
    assert len(stack.twilio.ledger.entries()) == 1
    assert [attempt["outcome"] for attempt in business.attempts_of(row)] == ["not_sent"]
    assert [attempt["outcome"] for attempt in business.attempts_of(new)] == ["accepted"]


def test_a_scheduled_send_of_the_same_text_is_in_doubt_too(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Its send log has its id, and knows of the send: somebody deleted the plan and made it again."""
    planned = business.scheduled(due=timedelta(minutes=-1))
    queue_scheduled_sends(queue)
    row = business.text_of(planned)
    stack.twilio.fail(AcceptThenDrop())
    assert run(queue, sender) == ["InDoubt"]
    stack.twilio.fail(ListError(), times=None)
    stack.move_clock(SO_LONG)
    assert run(queue, sender) == ["Failed"]
    stack.twilio.heal()
    business.connection.execute("delete from scheduled_sends where id = %s", [planned])
    business.connection.execute(
        """insert into scheduled_sends (id, business_id, customer_id, body, scheduled_for)
           values (%s, %s, %s, %s, %s)""",
        [planned, business.id, row["customer_id"], BODY, stack.now()],
    )
    queue_scheduled_sends(queue)
    assert run(queue, sender) == ["Sent"]
    assert len(stack.twilio.ledger.entries()) == 1


@pytest.mark.parametrize("held", [False, True], ids=["waits", "is looked for"])
def test_a_callback_about_the_earlier_send_completes_the_new_row(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, held: bool
) -> None:
    """At once, also while a worker looks: whatever that one found then changes nothing."""
    row = fails_in_doubt(stack, business, queue, sender, AcceptThenDrop())
    new = by_an_insert(business, queue, row)
    attempt = business.row(new)["attempt_id"]
    claims = claim_doubtful(queue, 1) if held else []
    assert settle(business, attempt) == "settled"
    assert settle(business, attempt) == "already_settled"
    assert business.row(new)["status"] == "completed"
    assert [known["id"] for known in business.attempts_of(new)] == [attempt]
    assert business.log_of(new)["status"] == "sent"
    assert all(process_sms_retry_item(claim, queue=queue, sender=sender).fate == "Lost" for claim in claims)
    half_an_hour(stack, business, queue, sender)
    assert len(stack.twilio.ledger.entries()) == 1


@pytest.mark.parametrize("asked", ["old", "new"])
def test_a_person_says_by_either_row_that_it_did_not_go_out(
    stack: Stack,
    business: Business,
    queue: SupabaseQueue,
    sender: TwilioSender,
    operators: SupabaseOperators,
    asked: str,
) -> None:
    """Then the new row is sent at once, with every check."""
    row = fails_in_doubt(stack, business, queue, sender, DropUnaccepted())
    new = by_an_insert(business, queue, row)
    assert resolve(operators, resolution({"old": row, "new": new}[asked], None))
    assert run(queue, sender) == ["Sent"]
    assert [attempt["settled_by"] for attempt in business.attempts_of(row)] == ["operator"]
    assert [attempt["outcome"] for attempt in business.attempts_of(new)] == ["accepted"]


@pytest.mark.parametrize("asked", ["old", "new"])
def test_a_person_says_by_either_row_that_it_went_out(
    stack: Stack,
    business: Business,
    queue: SupabaseQueue,
    sender: TwilioSender,
    operators: SupabaseOperators,
    asked: str,
) -> None:
    """The new row is completed with that message. The answer may be given twice."""
    row = fails_in_doubt(stack, business, queue, sender, AcceptThenDrop())
    new = by_an_insert(business, queue, row)
    [entry] = stack.twilio.ledger.entries()
    for _ in range(2):
        assert resolve(operators, resolution({"old": row, "new": new}[asked], entry.sid))
    assert business.row(new)["status"] == "completed"
    assert business.log_of(new)["provider_message_id"] == {"twilio_sid": entry.sid}
    assert run(queue, sender) == []


def test_a_word_that_came_while_it_was_queued_is_found_by_the_next_look(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """The person's transaction did not see the new row yet, nor the new row's that the doubt was over."""
    row = fails_in_doubt(stack, business, queue, sender, DropUnaccepted())
    new = by_an_insert(business, queue, row)
    business.connection.execute(
        """update sms_send_attempts
           set outcome = 'not_sent', settled_by = 'operator', sent_to = null, sent_body = null
           where id = %s""",
        [business.row(new)["attempt_id"]],
    )
    half_an_hour(stack, business, queue, sender)
    assert business.row(new)["status"] == "completed"
    assert len(stack.twilio.ledger.entries()) == 1
    assert [attempt["settled_by"] for attempt in business.attempts_of(row)] == ["operator"]


def test_a_row_that_failed_is_not_requeued_while_another_one_of_its_text_is_in_doubt(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, operators: SupabaseOperators
) -> None:
    """The desk had asked for the doubts of the one row. Either row may be named to settle it."""
    row = fails_in_doubt(stack, business, queue, sender, DropUnaccepted())
    newer = by_an_insert(business, queue, row)
    business.connection.execute(
        """update sms_retry_queue
           set status = 'failed', last_error = 'It failed', attempt_id = null, in_doubt_since = null where id = %s""",
        [newer],
    )
    requeue = Requeue(retry_ids=[newer], dry_run=False, who="Ann", because="It never went out")
    assert ordered(operators, requeue).skipped == {
        "It is unknown whether it went out: look in the provider's log, then resolve_sms_doubt": 1
    }
    assert operators.explain(WhichText(retry_id=newer))[0].can == ("resolve",)
    assert resolve(operators, resolution(newer, None))
    assert ordered(operators, requeue).changed == 1
    assert run(queue, sender) == ["Sent"]


def test_a_row_that_somebody_put_back_by_hand_is_in_doubt_about_its_send(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """However it comes back, and it cannot be begun."""
    row = fails_in_doubt(stack, business, queue, sender, AcceptThenDrop())
    business.connection.execute("update sms_retry_queue set status = 'pending', expires_at = null")
    back = business.row(row)
    assert (back["attempt_id"], back["why"]) == (business.attempts_of(row)[0]["id"], WHY)
    [claim] = claim_doubtful(queue, 1)
    assert begin(queue, claim).answer == "lost"
    assert process_sms_retry_item(claim, queue=queue, sender=sender).fate == "Sent"
    assert len(stack.twilio.ledger.entries()) == 1


def test_another_businesss_row_of_the_same_send_log_keeps_no_text_waiting(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Whoever wrote it there: a row answers for itself alone."""
    customer = business.customer()
    log = business.send_log(customer)
    with stack.connect() as connection:
        other = Business(connection, stack.now).open()
        theirs = other.queue_row(log, other.customer(phone="+12125550199"))
        connection.execute("select * from claim_due_sms_retries(limit_count => 50)")
        stack.move_clock(timedelta(minutes=11))
        queue.recover(10)
        connection.execute("update sms_retry_queue set status = 'failed' where id = %s", [theirs])
        assert other.attempts_of(theirs)[0]["outcome"] == "in_doubt"
    business.queue_row(log, customer)
    assert run(queue, sender) == ["Sent"]
