"""The change-over from the application's own processor: in whichever order, no text is lost or doubled.

That processor claims with `claim_due_sms_retries(limit_count)`, sends, and begins nothing. When a send fails, it
inserts the next try as a row of its own and marks the present one.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import ListError
from smsretry.retry.policy import LIFE
from tests.conftest import Business
from tests.support.builders import PHONE, run


def claims_of_the_application(business: Business) -> list[dict[str, Any]]:
    """What its processor gets."""
    return business.connection.execute("select * from claim_due_sms_retries(limit_count => 50)").fetchall()


def test_its_next_try_takes_the_place_of_the_row_it_holds(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Its insert had met the one live row (23505); it then marked the present row failed, and the text was gone."""
    row = business.due_text()
    [claim] = claims_of_the_application(business)
    next_row = business.queue_row(claim["send_log_id"], claim["customer_id"], attempts=1)
    business.connection.execute("update sms_retry_queue set status = 'failed' where id = %s", [row])
    assert run(queue, sender) == ["Sent"]
    assert business.row(next_row)["status"] == "completed"
    assert len(stack.twilio.ledger.entries()) == 1


def test_its_next_try_by_the_function_takes_the_place_too(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """`queue_sms_retry` had said that the text was queued already."""
    row = business.due_text()
    [claim] = claims_of_the_application(business)
    [queued] = business.connection.execute(
        "select * from queue_sms_retry(%s, 'twilio_error', 1)", [claim["send_log_id"]]
    ).fetchall()
    assert queued["result"] == "queued"
    business.connection.execute("update sms_retry_queue set status = 'failed' where id = %s", [row])
    stack.move_clock(timedelta(minutes=1))
    assert run(queue, sender) == ["Sent"]


def test_what_it_completes_is_complete(business: Business, queue: SupabaseQueue, sender: TwilioSender) -> None:
    """It writes the row itself."""
    row = business.due_text()
    claims_of_the_application(business)
    business.connection.execute("update sms_retry_queue set status = 'completed' where id = %s", [row])
    assert run(queue, sender) == []


def test_what_it_held_when_it_died_may_have_been_sent(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """It had been recovered as never begun, and was sent twice."""
    row = business.due_text()
    [claim] = claims_of_the_application(business)
    sent_by_the_application(sender, claim)
    stack.move_clock(timedelta(minutes=11))
    assert run(queue, sender) == []
    assert business.row(row)["in_doubt_since"] is not None
    stack.move_clock(timedelta(minutes=1))
    assert run(queue, sender) == ["Sent"]
    assert len(stack.twilio.ledger.entries()) == 1, "the look found what the application had sent"


def test_what_it_held_when_it_died_is_of_use_for_as_long_as_every_text(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """From its claim on. It had no end: without Twilio's list it had been looked for every 15 minutes for ever."""
    row = business.due_text()
    claims_of_the_application(business)
    stack.move_clock(timedelta(minutes=11))
    assert run(queue, sender) == []
    [attempt] = business.attempts_of(row)
    assert business.row(row)["expires_at"] == attempt["begun_at"] + LIFE
    stack.twilio.fail(ListError(), times=None)
    stack.move_clock(LIFE)
    assert run(queue, sender) == ["Failed"]
    assert business.row(row)["last_error"].startswith("In doubt: the provider's list could not be had")


def test_what_nobody_decides_about_ends_too(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """A message with another body may be it. It had been held every hour for ever."""
    row = business.due_text()
    claims_of_the_application(business)
    sender._messages.create(to=PHONE, body="Something that somebody sent by hand", **sender._sender)
    stack.move_clock(timedelta(minutes=11))
    run(queue, sender)
    stack.move_clock(timedelta(minutes=1))
    assert run(queue, sender) == ["Held"]
    stack.move_clock(LIFE)
    assert run(queue, sender) == ["Failed"]
    assert business.row(row)["status"] == "failed"


def sent_by_the_application(sender: TwilioSender, claim: dict[str, Any]) -> None:
    """It sends with the same account."""
    sender._messages.create(to=claim["phone"], body=claim["body"], **sender._sender)


def test_our_own_claims_are_not_superseded(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """A row that our worker holds stays the one live row of its text."""
    row = business.due_text()
    [claim] = queue.claim_due(50)
    [queued] = business.connection.execute(
        "select * from queue_sms_retry(%s)", [business.row(row)["send_log_id"]]
    ).fetchall()
    assert (queued["result"], queued["retry_id"]) == ("already_queued", UUID(str(claim.id)))


def test_a_text_that_is_queued_twice_while_it_is_being_sent_stays_one(
    stack: Stack, business: Business, queue: SupabaseQueue
) -> None:
    """Somebody else's second call counts no attempt more, so it is no next try."""
    row = business.due_text()
    [claim] = claims_of_the_application(business)
    [queued] = business.connection.execute("select * from queue_sms_retry(%s)", [claim["send_log_id"]]).fetchall()
    assert (queued["result"], queued["retry_id"]) == ("already_queued", row)
