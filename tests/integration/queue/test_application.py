"""What others write and delete, under a worker's hands too; the change-over from the application's own processor.

That processor claims with `claim_due_sms_retries(limit_count)`, sends, and begins nothing. When a send fails, it
inserts the next try as a row of its own and marks the present one.
"""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import ListError
from smsretry.retry.before import LIFE
from smsretry.sending.pipeline import process_sms_retry_item
from tests.conftest import Business
from tests.integration.hearing import another
from tests.support.builders import PHONE, run, sent_by_hand
from tests.support.claims import claim_doubtful, claim_due, claim_suspect


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("customers", "phone", "repeat(md5(random()::text), 40000)"),
        ("customers", "timezone", "repeat('z', 1000000)"),
        ("send_logs", "subject", "repeat('x', 1000000)"),
        ("send_logs", "provider_message_id", "jsonb_build_object('twilio_sid', repeat(md5(random()::text), 40000))"),
        ("send_logs", "provider_message_id", """'["SM", {"twilio_sid": 7}]'::jsonb"""),
    ],
)
def test_no_index_and_no_trigger_of_ours_refuses_a_value(
    business: Business, table: str, column: str, value: str
) -> None:
    """An index entry longer than a third of a page is an error of the insert, and of the migration."""
    row_id = business.due_text()
    row: dict[str, Any] = business.row(row_id)
    key = row["customer_id"] if table == "customers" else row["send_log_id"]

    done = business.connection.execute(f"update {table} set {column} = {value} where id = %s".encode(), [key])

    assert done.rowcount == 1


def test_a_tenant_may_queue_a_retry(business: Business) -> None:
    """With the application's own key for its users, not the service's: row level security and grants apply."""
    customer_id = business.customer()
    log_id = business.send_log(customer_id)
    claims = json.dumps({"sub": str(business.user_id), "role": "authenticated"})

    with business.connection.transaction():
        business.connection.execute("select set_config('request.jwt.claims', %s, true)", [claims])
        business.connection.execute("set local role authenticated")
        row_id = business.queue_row(log_id, customer_id)

    assert business.row(row_id)["status"] == "pending"


@pytest.mark.parametrize("gone", ["customers", "send_logs"])
def test_what_is_deleted_between_claim_and_begin_ends_the_row_with_that_reason(
    business: Business, queue: SupabaseQueue, sender: TwilioSender, gone: str, stack: Stack
) -> None:
    """It is not sent, and nobody is said to have opted out who was only deleted."""
    row_id = business.due_text()
    row = business.row(row_id)
    (claim,) = claim_due(queue, 1)
    key = row["customer_id"] if gone == "customers" else row["send_log_id"]
    business.connection.execute(f"delete from {gone} where id = %s".encode(), [key])

    assert process_sms_retry_item(claim, queue=queue, sender=sender).fate == "GivenBack"
    (claim,) = claim_due(queue, 1)
    result = process_sms_retry_item(claim, queue=queue, sender=sender)

    reason = {"customers": "Customer not found", "send_logs": "Send log not found"}[gone]
    assert (result.fate, result.detail) == ("Failed", reason)
    row = business.row(row_id)
    assert (row["status"], row["last_error"]) == ("failed", reason)
    assert not stack.twilio.ledger.entries()


def test_a_row_whose_claims_keep_dying_says_so(business: Business, queue: SupabaseQueue, stack: Stack) -> None:
    """It waits, is claimed alone, and a person can see why."""
    row_id = business.due_text()
    for _ in range(2):
        assert claim_due(queue, 1)
        stack.move_clock(timedelta(minutes=11))
        queue.recover(10)

    row = business.row(row_id)
    assert row["recover_count"] == 2
    assert row["why"] == "Its worker died 2 times before the send began: it is claimed alone from now on"


@pytest.mark.parametrize("phone", [None, " "])
def test_a_text_without_a_number_that_the_old_processor_claimed_is_not_in_doubt(
    business: Business, queue: SupabaseQueue, stack: Stack, phone: str | None
) -> None:
    """It cannot have gone out, and there is no number by which to look for it."""
    row_id = business.due_text(phone=phone)
    business.connection.execute("select id from claim_due_sms_retries(5)")
    stack.move_clock(timedelta(minutes=11))

    queue.recover(10)

    row = business.row(row_id)
    assert (row["status"], row["in_doubt_since"]) == ("pending", None)


def test_a_customer_that_is_locked_costs_the_worker_one_wait(
    business: Business, queue: SupabaseQueue, sender: TwilioSender, stack: Stack
) -> None:
    """Two seconds, and no repetition: an idle transaction may last for hours, and there may be many.

    It might have gone out now, so its life counts from here: what is locked for days is of no use afterwards.
    """
    row_id = business.due_text()
    (claim,) = claim_due(queue, 1)
    requests: list[str] = []
    queue._http.event_hooks["request"].append(lambda request: requests.append(request.url.path))
    with stack.connect() as other, other.transaction():
        other.execute("select 1 from customers for update")
        requests.clear()
        result = process_sms_retry_item(claim, queue=queue, sender=sender)

    assert (result.fate, result.detail) == ("Deferred", "Another transaction holds the customer locked")
    assert [request.rpartition("/")[2] for request in requests] == ["begin_sms_attempt", "defer_sms_retry"]
    assert business.row(row_id)["attempt_count"] == 0
    assert business.row(row_id)["expires_at"] is not None


def test_a_row_in_doubt_whose_looks_keep_dying_is_claimed_alone(
    business: Business, queue: SupabaseQueue, stack: Stack
) -> None:
    """It may be what kills its workers, and must not cost the others their looks."""
    row_id = business.due_text()
    business.connection.execute("select id from claim_due_sms_retries(5)")
    for _ in range(3):  # the old processor dies, and two workers that look for evidence
        stack.move_clock(timedelta(minutes=11))
        queue.recover(10)
        stack.move_clock(timedelta(minutes=2))
        claimed = claim_doubtful(queue, 5)

    assert claimed == []
    (claim,) = claim_suspect(queue)
    assert claim.id == row_id
    assert claim.in_doubt_since is not None


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
    stack.set_clock(queued["due_at"])
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
    sent_by_hand(sender, PHONE, "Something that somebody sent by hand")
    stack.move_clock(timedelta(minutes=11))
    run(queue, sender)
    stack.move_clock(timedelta(minutes=1))
    assert run(queue, sender) == ["Held"]
    stack.move_clock(LIFE)
    assert run(queue, sender) == ["Failed"]
    assert business.row(row)["status"] == "failed"


def sent_by_the_application(sender: TwilioSender, claim: dict[str, Any]) -> None:
    """It sends with the same account."""
    sent_by_hand(sender, claim["phone"], claim["body"])


def test_our_own_claims_are_not_superseded(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """A row that our worker holds stays the one live row of its text, whatever attempts somebody counts."""
    row = business.due_text()
    [claim] = claim_due(queue, 50)
    [queued] = business.connection.execute(
        "select * from queue_sms_retry(%s, 'twilio_error', 1)", [business.row(row)["send_log_id"]]
    ).fetchall()
    assert (queued["result"], queued["retry_id"]) == ("already_queued", UUID(str(claim.id)))


def test_a_row_of_another_business_ends_no_claim(stack: Stack, business: Business) -> None:
    """It may name any send log; the text that its own business's processor held had ended as failed."""
    row = business.due_text()
    [claim] = claims_of_the_application(business)
    other = another(business)
    with pytest.raises(psycopg.errors.UniqueViolation):
        business.connection.execute(
            """insert into sms_retry_queue (business_id, send_log_id, customer_id, attempt_count, scheduled_for)
               values (%s, %s, %s, 9, %s)""",
            [other.id, claim["send_log_id"], other.customer(), stack.now()],
        )
    assert (business.row(row)["status"], business.row(row)["why_code"]) == ("processing", None)


def test_a_text_that_is_queued_twice_while_it_is_being_sent_stays_one(
    stack: Stack, business: Business, queue: SupabaseQueue
) -> None:
    """Somebody else's second call counts no attempt more, so it is no next try."""
    row = business.due_text()
    [claim] = claims_of_the_application(business)
    [queued] = business.connection.execute("select * from queue_sms_retry(%s)", [claim["send_log_id"]]).fetchall()
    assert (queued["result"], queued["retry_id"]) == ("already_queued", row)


@pytest.mark.parametrize("log", [{"status": "sent"}, {"provider_message_id": {"twilio_sid": "SM1"}}], ids=str)
def test_the_application_s_own_processor_is_not_given_a_next_try_of_a_text_that_was_sent(
    business: Business, log: dict[str, Any]
) -> None:
    """It begins nothing, so nothing else would keep it from a second message. The row ends as a begin ends it."""
    row_id = business.due_text()
    other = business.due_text()
    for column, value in log.items():
        business.connection.execute(
            f"update send_logs set {column} = %s where id = %s".encode(),
            [value if isinstance(value, str) else json.dumps(value), business.row(row_id)["send_log_id"]],
        )

    claimed = business.connection.execute("select id from claim_due_sms_retries(10)").fetchall()

    assert [row["id"] for row in claimed] == [other]
    ended = business.row(row_id)
    assert (ended["status"], ended["last_error"], ended["why_code"]) == ("cancelled", "Already sent", "already_sent")
