"""How texts enter: `send_sms`, `queue_sms_retry`, and the application's own inserts and calls."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import httpx
import psycopg
import pytest

from smsretry import next_retry_delay, queue_sms_retry, send_sms
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.errors import InputError
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import AcceptThenDrop, JsonError
from tests.conftest import Business
from tests.support.builders import results_of, run, run_over
from tests.support.waiting import until_locked_out

PASSING = JsonError(21702, http_status=400)


def test_a_first_send_goes_out_and_is_on_record(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """It has a row from the start, so that a crash in the middle loses nothing."""
    log = business.send_log(business.customer())
    result = send_sms(log, queue=queue, sender=sender)
    assert result.fate == "Sent"
    assert len(stack.twilio.ledger.entries()) == 1
    assert business.row(result.retry_id)["status"] == "completed"
    assert business.attempts_of(result.retry_id)[0]["attempt_number"] == 0


def test_a_first_send_that_fails_for_a_moment_is_retried_three_times_after_each_of_the_delays(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """The first send is not one of the three retries."""
    stack.twilio.fail(PASSING, times=None)
    result = send_sms(business.send_log(business.customer()), queue=queue, sender=sender)
    assert result.fate == "RetryScheduled"
    assert business.row(result.retry_id)["reason"] == "twilio_error"
    waits = []
    while business.row(result.retry_id)["status"] == "pending":
        wait = business.row(result.retry_id)["scheduled_for"] - stack.now()
        waits.append(timedelta(minutes=round(wait / timedelta(minutes=1))))
        stack.move_clock(wait + timedelta(seconds=1))
        run(queue, sender)
    assert waits == [next_retry_delay(retries) for retries in (0, 1, 2)]
    assert len(business.attempts_of(result.retry_id)) == 4
    assert business.log_of(result.retry_id)["status"] == "failed"


def test_a_first_send_at_night_waits_for_the_morning(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """With the same check as every retry."""
    result = send_sms(business.send_log(business.customer(timezone="Pacific/Honolulu")), queue=queue, sender=sender)
    assert result.fate == "Deferred"
    assert business.row(result.retry_id)["reason"] == "quiet_hours"
    assert not stack.twilio.ledger.entries()


def test_a_first_send_whose_answer_is_lost_is_in_doubt(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Asking again does not send it again."""
    log = business.send_log(business.customer())
    stack.twilio.fail(AcceptThenDrop())
    assert send_sms(log, queue=queue, sender=sender).fate == "InDoubt"
    again = send_sms(log, queue=queue, sender=sender)
    assert (again.fate, again.detail) == ("Deferred", "Already in the queue")
    assert len(stack.twilio.ledger.entries()) == 1


@pytest.mark.parametrize(
    ("customer", "fate", "why"),
    [
        ({"consent": "opted_out"}, "Cancelled", "Customer opted out"),
        ({"phone": "212-555-0123"}, "Failed", "Phone number is not E.164"),
        ({"phone": None}, "Failed", "Customer has no phone number"),
    ],
)
def test_a_first_send_has_the_checks_of_every_retry(
    stack: Stack,
    business: Business,
    queue: SupabaseQueue,
    sender: TwilioSender,
    customer: dict[str, str | None],
    fate: str,
    why: str,
) -> None:
    """Consent and phone number."""
    result = send_sms(business.send_log(business.customer(**customer)), queue=queue, sender=sender)  # type: ignore[arg-type]
    assert result.fate == fate
    assert result.detail.startswith(why)
    assert not stack.twilio.ledger.entries()


def test_a_text_is_not_sent_twice_by_asking_twice(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """The second is told what to do instead."""
    log = business.send_log(business.customer())
    send_sms(log, queue=queue, sender=sender)
    with pytest.raises(InputError, match="was already sent: insert a new send log for a new text"):
        send_sms(log, queue=queue, sender=sender)
    assert len(stack.twilio.ledger.entries()) == 1


def test_queueing_a_text_twice_gives_the_row_it_already_has(
    stack: Stack, business: Business, queue: SupabaseQueue
) -> None:
    """One live row a text."""
    log = business.send_log(business.customer())
    first = queue_sms_retry(log, "twilio_error", queue=queue)
    second = queue_sms_retry(log, "rate_limit", 1, queue=queue)
    assert (first.result, second.result) == ("queued", "already_queued")
    assert first.retry_id == second.retry_id


def test_a_text_that_somebody_inserts_at_the_same_moment_is_that_row(stack: Stack, business: Business) -> None:
    """Past the function, which locks the send log: one of the two would be an error."""
    customer = business.customer()
    log = business.send_log(customer)
    with ThreadPoolExecutor(1) as pool, stack.connect() as other:
        with other.transaction():
            row = Business(other, stack.now, id=business.id).queue_row(log, customer)
            asked = pool.submit(business.connection.execute, "select * from queue_sms_retry(%s)", [log])
            until_locked_out(business.connection, seen_by=other)
        [queued] = asked.result().fetchall()
    assert (queued["result"], queued["retry_id"]) == ("already_queued", row)


@pytest.mark.parametrize("attempts", [0, 1, 2, 9])
def test_a_queued_retry_waits_as_long_as_its_attempts_say(
    stack: Stack, business: Business, queue: SupabaseQueue, attempts: int
) -> None:
    """Whether Python or the application's own SQL queues it. SQL had waited one minute."""
    by_python = queue_sms_retry(business.send_log(business.customer()), "quiet_hours", attempts, queue=queue)
    [by_sql] = business.connection.execute(
        "select * from queue_sms_retry(%s, 'quiet_hours', %s)", [business.send_log(business.customer()), attempts]
    ).fetchall()
    for due_at in (by_python.due_at, by_sql["due_at"]):
        assert due_at is not None
        assert abs(due_at - stack.now() - next_retry_delay(attempts)) < timedelta(seconds=6)


def test_retries_cannot_be_fewer_than_none(business: Business, queue: SupabaseQueue) -> None:
    """Nothing is queued, whoever asks."""
    log = business.send_log(business.customer())
    with pytest.raises(InputError, match="attempt_count"):
        queue_sms_retry(log, "twilio_error", -1, queue=queue)


def test_past_the_last_attempt_the_send_log_is_failed_and_nothing_is_queued(
    business: Business, queue: SupabaseQueue
) -> None:
    """With the error it was queued with."""
    log = business.send_log(business.customer())
    queued = queue_sms_retry(log, "twilio_error", 3, error="Twilio 30008: Unknown error", queue=queue)
    assert (queued.retry_id, queued.result) == (None, "attempts_exhausted")
    found = business.connection.execute("select status, error_message from send_logs where id = %s", [log]).fetchone()
    assert found == {"status": "failed", "error_message": "Twilio 30008: Unknown error"}


def test_an_unknown_send_log_is_refused_by_name(queue: SupabaseQueue, stack: Stack) -> None:
    """With what to do."""
    missing = uuid4()
    with pytest.raises(InputError, match=rf"^There is no send log {missing}\. Insert the send_logs row first"):
        queue_sms_retry(missing, "twilio_error", queue=queue)


def test_an_email_is_refused(business: Business, queue: SupabaseQueue) -> None:
    """send_logs holds emails too."""
    log = business.send_log(business.customer())
    business.connection.execute("update send_logs set channel = 'email'")
    with pytest.raises(InputError, match="is of channel email, not sms"):
        queue_sms_retry(log, None, queue=queue)


def test_a_customer_of_another_business_is_refused(business: Business, queue: SupabaseQueue) -> None:
    """Consent would be read there."""
    neighbor = Business(business.connection, business.now).open()
    log = business.send_log(neighbor.customer())
    with pytest.raises(InputError, match="names a customer of another business"):
        queue_sms_retry(log, None, queue=queue)


def test_a_send_log_that_somebody_writes_at_this_moment_is_waited_for(stack: Stack, business: Business) -> None:
    """It may be about to say that the text was sent."""
    log = business.send_log(business.customer())
    with stack.connect() as other, other.transaction(), business.connection.transaction(force_rollback=True):
        other.execute("update send_logs set status = 'sent' where id = %s", [log])
        business.connection.execute("set local lock_timeout = '10ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            business.connection.execute("select * from queue_sms_retry(%s)", [log])


def test_the_applications_two_calls_keep_working(stack: Stack, business: Business) -> None:
    """As its TypeScript makes them: by name, over HTTP, answered with arrays of rows with the original columns."""
    row = business.due_text()
    url, key = stack.environment()["SUPABASE_URL"], stack.key("service_role")
    headers = {"apikey": key, "Authorization": f"Bearer {key}"}
    claimed = httpx.post(f"{url}/rest/v1/rpc/claim_due_sms_retries", json={"limit_count": 50}, headers=headers).json()
    stack.move_clock(timedelta(minutes=11))
    recovered = httpx.post(
        f"{url}/rest/v1/rpc/recover_stuck_sms_retries", json={"stale_minutes": 10}, headers=headers
    ).json()
    original = {
        "id", "business_id", "send_log_id", "customer_id", "status", "attempt_count", "max_attempts", "scheduled_for",
        "last_attempted_at", "last_error", "reason", "created_at", "updated_at",
    }  # fmt: skip
    for answer, status in ((claimed, "processing"), (recovered, "pending")):
        (found,) = answer
        assert found["id"] == str(row)
        assert found["status"] == status
        assert original <= found.keys()


def test_a_row_the_application_inserted_is_sent(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """With the original columns and no others."""
    row = business.due_text()
    (result,) = results_of(run_over(queue, sender))
    assert (result.retry_id, result.fate) == (row, "Sent")
