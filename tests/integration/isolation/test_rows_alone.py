"""A row answers for itself alone: whatever it holds, whoever wrote it, the others go on as if it were not there."""

from datetime import timedelta

import psycopg
import pytest

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.stack import Stack
from tests.conftest import Business
from tests.support.builders import results_of, run, run_over
from tests.support.claims import claim_due, claim_suspect

IMPOSSIBLE = ["infinity", "-infinity", "0044-03-15 12:00+00 BC", "10000-01-01 00:00+00"]


@pytest.mark.parametrize("column", ["scheduled_for", "expires_at", "last_attempted_at", "created_at", "updated_at"])
@pytest.mark.parametrize("instant", IMPOSSIBLE)
def test_an_instant_that_no_calendar_has_is_refused_by_name(
    stack: Stack, business: Business, column: str, instant: str
) -> None:
    """One such row had cost every row of its claim theirs."""
    row = business.due_text()
    with stack.connect() as connection, pytest.raises(psycopg.errors.CheckViolation, match="sms_retry_queue_instants"):
        connection.execute(f"update sms_retry_queue set {column} = %s where id = %s".encode(), [instant, row])


def test_an_error_of_megabytes_is_cut_where_it_enters(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Forty-five of them had made every claim fail for good."""
    customer = business.customer()
    business.connection.execute(
        """insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for, last_error)
           values (%s, %s, %s, %s, repeat('x', 5000000))""",
        [business.id, business.send_log(customer), customer, stack.now()],
    )
    [claim] = claim_due(queue, 10)
    assert len(business.row(claim.id)["last_error"]) == 2000


def test_bodies_of_megabytes_end_their_own_rows(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """The claim returns no more of a body than a text can have."""
    long = [business.due_text(body="long " * 400_000, phone=f"+1212555{n:04}") for n in range(10)]
    good = business.due_text()
    assert sorted(run(queue, sender)) == ["Failed"] * 10 + ["Sent"]
    assert business.row(good)["status"] == "completed"
    for row in long:
        assert business.row(row)["last_error"].startswith("Text is longer than 1600 characters")


def test_a_log_of_another_channel_is_no_text(
    business: Business, queue: SupabaseQueue, sender: TwilioSender, stack: Stack
) -> None:
    """An e-mail log inserted by hand had been texted."""
    row = business.due_text()
    business.connection.execute("update send_logs set channel = 'email'")
    assert run(queue, sender) == ["Failed"]
    assert business.row(row)["last_error"] == "Send log is of channel email, not sms"
    assert not stack.twilio.ledger.entries()


def test_a_text_whose_workers_die_is_never_failed_and_is_claimed_alone(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """After six dead workers a text that was never tried had been given up, with an untrue reason."""
    rows = [business.due_text(phone=f"+1212555{n:04}") for n in range(5)]
    for _ in range(7):
        claim_due(queue, 50)
        while claim_suspect(queue):
            pass
        stack.move_clock(timedelta(minutes=26))
        queue.recover(10)
    assert {business.row(row)["status"] for row in rows} == {"pending"}
    assert claim_due(queue, 50) == [], "they are under suspicion"
    stack.move_clock(timedelta(minutes=16))
    assert len(claim_suspect(queue)) == 1
    stack.move_clock(timedelta(minutes=30))
    queue.recover(10)
    stack.move_clock(timedelta(minutes=16))
    assert [result.fate for result in results_of(run_over(queue, sender))] == ["Sent"] * 5
    assert len(stack.twilio.ledger.entries()) == 5


def test_a_begin_that_cannot_be_asked_gives_the_claims_back(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """An hour of a revoked grant had failed everything that was due."""
    rows = [business.due_text(phone=f"+1212555{n:04}") for n in range(4)]
    with stack.connect() as connection:
        connection.execute("revoke execute on function begin_sms_attempt from service_role")
        try:
            for _ in range(60):
                assert {result.fate for result in results_of(run_over(queue, sender))} <= {"GivenBack", "Deferred"}
                stack.move_clock(timedelta(minutes=1))
        finally:
            connection.execute("grant execute on function begin_sms_attempt to service_role")
    assert [business.row(row)["attempt_count"] for row in rows] == [0] * 4
    assert run(queue, sender) == ["Sent"] * 4


def test_a_customer_that_another_transaction_holds_locked_delays_only_its_own_text(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """One idle transaction had cost its text all its recoveries."""
    locked, free = business.due_text(phone="+12125550101"), business.due_text(phone="+12125550102")
    with stack.connect() as connection, connection.transaction():
        connection.execute(
            "select from customers where id = (select customer_id from sms_retry_queue where id = %s) for update",
            [locked],
        )
        fates = {result.retry_id: result.fate for result in results_of(run_over(queue, sender))}
    assert fates == {locked: "Deferred", free: "Sent"}
    stack.move_clock(timedelta(minutes=1))
    assert run(queue, sender) == ["Sent"]


def test_a_trigger_that_swallows_inserts_is_said_and_not_looped_over(
    stack: Stack, business: Business, queue: SupabaseQueue
) -> None:
    """`queue_sms_retry` had tried for ever."""
    log = business.send_log(business.customer())
    with stack.connect() as connection:
        connection.execute("create function swallow() returns trigger language plpgsql as 'begin return null; end'")
        connection.execute(
            "create trigger swallow before insert on sms_retry_queue for each row execute function swallow()"
        )
        try:
            with pytest.raises(psycopg.Error, match="was not kept"):
                connection.execute("select * from queue_sms_retry(%s)", [log])
        finally:
            connection.execute("drop function swallow cascade")
