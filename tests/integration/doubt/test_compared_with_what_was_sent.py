"""Evidence is compared with what was sent, and not with what the rows say now; what is ambiguous is held."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import AcceptThenDrop, DropUnaccepted
from tests.conftest import Business
from tests.support.builders import BODY, PHONE, resolution, run

MEANWHILE: dict[str, Callable[[Business], object]] = {
    "the customer's number changed": lambda b: b.connection.execute("update customers set phone = '+12125550199'"),
    "the text changed": lambda b: b.connection.execute("update send_logs set subject = 'Another text'"),
    "the customer was deleted": lambda b: b.connection.execute("delete from customers"),
    "the send log was deleted": lambda b: b.connection.execute("delete from send_logs"),
}


def doubtful(stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender) -> UUID:
    """A text that Twilio took, and whose answer was lost."""
    row = business.due_text()
    stack.twilio.fail(AcceptThenDrop())
    assert run(queue, sender) == ["InDoubt"]
    return row


@pytest.mark.parametrize("meanwhile", MEANWHILE)
def test_a_text_in_doubt_is_found_although(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, meanwhile: str
) -> None:
    """What begin kept with the attempt is what went to Twilio."""
    row = doubtful(stack, business, queue, sender)
    MEANWHILE[meanwhile](business)
    stack.move_clock(timedelta(minutes=1, seconds=1))
    assert run(queue, sender) == ["Sent"]
    assert business.row(row)["status"] == "completed"
    assert len(stack.twilio.ledger.entries()) == 1


def test_the_application_s_own_identical_text_is_not_taken_for_ours(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Ours never reached Twilio; theirs did, and its SID is in their send log. Ours had been settled with it: lost."""
    row = business.due_text()
    stack.twilio.fail(DropUnaccepted())
    assert run(queue, sender) == ["InDoubt"]
    theirs = sender._messages.create(to=PHONE, body=BODY, **sender._sender)
    log = business.send_log(business.customer())
    business.connection.execute(
        """update send_logs set status = 'sent', provider_message_id = jsonb_build_object('twilio_sid', %s::text)
           where id = %s""",
        [theirs.sid, log],
    )
    for _ in range(30):
        stack.move_clock(timedelta(minutes=1))
        run(queue, sender)
    assert business.row(row)["status"] == "completed"
    assert len(stack.twilio.ledger.entries()) == 2


def test_a_log_that_says_delivered_is_not_sent_again(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Begin had asked for the SID alone."""
    row = business.due_text()
    business.connection.execute("update send_logs set status = 'delivered'")
    assert run(queue, sender) == ["Cancelled"]
    assert business.row(row)["last_error"] == "Already sent"


def test_workers_that_die_between_begin_and_send_cost_no_attempt(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Three of them had used up a text that was never at Twilio."""
    from tests.support.builders import begin

    row = business.due_text()
    for _ in range(4):
        [claim] = queue.claim_due(10)
        assert begin(queue, claim).answer == "go"
        for _ in range(45):
            stack.move_clock(timedelta(minutes=1))
            queue.recover(10)
            for doubt in queue.claim_doubtful(10):
                from smsretry.retry.profile import DEFAULT
                from smsretry.sending.reconciling import reconcile

                reconcile(doubt, queue=queue, sender=sender, profile=DEFAULT)
            if business.row(row)["in_doubt_since"] is None and business.row(row)["status"] == "pending":
                break
        assert business.row(row)["attempt_count"] == 0
    assert run(queue, sender) == ["Sent"]


def test_a_message_with_another_body_holds_the_text_until_a_person_says_which_it_was(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, operators: SupabaseOperators
) -> None:
    """Redaction shows an empty body; it had counted as no message at all, and the text was sent again."""
    row = business.due_text()
    stack.twilio.fail(DropUnaccepted())
    assert run(queue, sender) == ["InDoubt"]
    message = sender._messages.create(to=PHONE, body="Something that somebody sent by hand", **sender._sender)
    stack.move_clock(timedelta(minutes=1, seconds=1))
    assert run(queue, sender) == ["Held"]
    held = business.row(row)
    assert message.sid in held["why"]
    assert held["in_doubt_since"] is not None
    assert operators.resolve(resolution(row, message.sid))
    assert business.row(row)["status"] == "completed"
    assert business.log_of(row)["provider_message_id"] == {"twilio_sid": message.sid}


def test_a_person_may_say_that_none_of_them_was_it(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, operators: SupabaseOperators
) -> None:
    """Then it is sent again, with all its checks."""
    row = business.due_text()
    stack.twilio.fail(DropUnaccepted())
    run(queue, sender)
    sender._messages.create(to=PHONE, body="Something that somebody sent by hand", **sender._sender)
    stack.move_clock(timedelta(minutes=1, seconds=1))
    assert run(queue, sender) == ["Held"]
    assert operators.resolve(resolution(row, None))
    assert run(queue, sender) == ["Sent"]


def test_what_was_sent_is_kept_no_longer_than_it_is_needed(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Afterwards a keyed hash of the number is enough."""
    row = doubtful(stack, business, queue, sender)
    [attempt] = business.attempts_of(row)
    assert (attempt["sent_to"], attempt["sent_body"]) == (PHONE, BODY)
    stack.move_clock(timedelta(minutes=1, seconds=1))
    run(queue, sender)
    [attempt] = business.attempts_of(row)
    assert (attempt["sent_to"], attempt["sent_body"]) == (None, None)
    assert len(attempt["number_key"]) == 32
