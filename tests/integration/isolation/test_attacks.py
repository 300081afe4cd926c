"""Hostile tenants, clumsy applications and clumsy operators, as they were tried: each had got through."""

from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.errors import SmsRetryError
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import AcceptThenDrop
from smsretry.retry.decision import Hold
from smsretry.retry.models import Text
from tests.conftest import Business
from tests.support.builders import BODY, PHONE, begin, doubt, finish, results_of, run, run_over
from tests.support.claims import claim_due


def another(business: Business) -> Business:
    """A second business, of somebody else."""
    return Business(business.connection, business.now).open()


# Hostile tenants

OF_ONE_VALUE = 70
"""Pages that fifty megabytes of one letter take, compressed: what it costs to open them once."""


@pytest.mark.parametrize(
    "change",
    [
        "update customers set timezone = repeat('x', 50000000) where business_id = %s",
        """update send_logs set provider_message_id = jsonb_build_object('x', repeat('x', 50000000))
           where business_id = %s""",
    ],
    ids=["zone", "provider_message_id"],
)
def test_fifty_megabytes_in_a_column_cost_the_claim_no_time(
    business: Business, queue: SupabaseQueue, change: str
) -> None:
    """Each claim had opened and hashed all of it, until PostgREST's statement timeout: nobody's texts were claimed."""
    hostile = another(business)
    customer = hostile.customer()
    for _ in range(12):
        hostile.queue_row(hostile.send_log(customer), customer)
    good = business.due_text()
    cheap = _fewest_pages_of_a_claim(business)
    business.connection.execute(change.encode(), [hostile.id])
    assert _fewest_pages_of_a_claim(business) - cheap < OF_ONE_VALUE
    assert good in [claim.id for claim in claim_due(queue, 50)]


def _fewest_pages_of_a_claim(business: Business) -> int:
    """In pages, because time depends on the machine, and without the dead rows that other tests have left behind.

    A claim reads more when its plans are made anew: the first one of a connection, and whichever follows an analyze by
    autovacuum.
    """
    business.connection.execute("vacuum customers, send_logs, sms_retry_queue, sms_send_attempts, businesses")
    return min(_pages_of_a_claim(business) for _ in range(3))


def _pages_of_a_claim(business: Business) -> int:
    with business.connection.transaction(force_rollback=True):
        found = business.connection.execute(
            "explain (analyze, buffers, format json) select id from claim_due_sms_retries(50)"
        ).fetchone()
    assert found is not None
    plan = found["QUERY PLAN"][0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


# Clumsy applications


@pytest.mark.parametrize("value", ['{"twilio_sid": null}', '{"twilio_sid": ""}', '{"twilio_sid": " "}', "[]", '"x"'])
def test_a_send_log_whose_sid_is_empty_was_not_sent(
    business: Business, queue: SupabaseQueue, sender: TwilioSender, value: str
) -> None:
    """The text had been cancelled as 'Already sent'."""
    row = business.due_text()
    business.connection.execute("update send_logs set provider_message_id = %s", [value])
    assert run(queue, sender) == ["Sent"]
    assert business.log_of(row)["provider_message_id"]["twilio_sid"].startswith("SM")


def test_a_held_text_that_the_applications_processor_claims_can_be_queued_again(
    stack: Stack, business: Business, queue: SupabaseQueue
) -> None:
    """The insert of its next try had met a constraint, and the processor then gave the text up."""
    row = business.due_text()
    [claim] = claim_due(queue, 1)
    queue.put_off(claim, Hold("No zone", "no_time_zone", look_in=timedelta(minutes=1)))
    stack.move_clock(timedelta(minutes=2))
    business.connection.execute("select * from claim_due_sms_retries(10)")
    held = business.row(row)
    business.connection.execute(
        """insert into sms_retry_queue (business_id, send_log_id, customer_id, attempt_count, scheduled_for)
           values (%s, %s, %s, 1, %s)""",
        [held["business_id"], held["send_log_id"], held["customer_id"], stack.now()],
    )
    assert business.row(row)["status"] == "failed"


def test_an_opt_out_without_its_time_is_of_now(business: Business, queue: SupabaseQueue, sender: TwilioSender) -> None:
    """It had had the time of the consent that it ends, and an older consent on another row had lifted it."""
    first, second = business.customer(), business.customer()
    connection = business.connection
    connection.execute("update customers set sms_consent_at = '2026-01-01' where id = %s", [first])
    connection.execute("update customers set sms_consent_at = '2026-02-01' where id = %s", [second])
    connection.execute("update customers set sms_consent_status = 'opted_out' where id = %s", [first])
    connection.execute("update customers set sms_consent_status = 'opted_in' where id = %s", [second])
    business.queue_row(business.send_log(second), second)
    assert run(queue, sender) == ["Cancelled"]
    connection.execute(
        "update customers set sms_consent_at = %s where id = %s", [business.now() + timedelta(minutes=1), second]
    )
    business.queue_row(business.send_log(second), second)
    assert run(queue, sender) == ["Sent"]


def test_a_customer_of_another_business_is_nobody_to_text(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Consent is given to one business."""
    customer = another(business).customer()
    row = business.queue_row(business.send_log(customer), customer)
    assert run(queue, sender) == ["Failed"]
    assert business.row(row)["last_error"] == "Customer not found"
    assert not stack.twilio.ledger.entries()


def test_a_send_log_of_another_business_is_neither_sent_nor_marked(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """It had been sent, or marked as failed, for somebody who does not own it."""
    theirs = another(business)
    log = theirs.send_log(theirs.customer())
    row = business.queue_row(log, business.customer())
    assert run(queue, sender) == ["Failed"]
    assert business.row(row)["last_error"] == "Send log not found"
    assert business.log_of(row)["status"] == "pending"
    assert not stack.twilio.ledger.entries()


def test_a_send_log_that_another_transaction_holds_locked_delays_only_its_own_text(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Each had been sent, and then had kept a thread of the run for half a minute and come into doubt."""
    locked, free = business.due_text(phone="+12125550101"), business.due_text(phone="+12125550102")
    with stack.connect() as connection, connection.transaction():
        connection.execute("select from send_logs where id = %s for update", [business.row(locked)["send_log_id"]])
        fates = {result.retry_id: result.fate for result in results_of(run_over(queue, sender))}
    assert fates == {locked: "Deferred", free: "Sent"}
    stack.move_clock(timedelta(minutes=1))
    assert run(queue, sender) == ["Sent"]


@pytest.mark.parametrize("alone", [True, False])
def test_a_row_that_the_database_refuses_to_begin_stops_no_other(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, alone: bool
) -> None:
    """A trigger of the application's refused one text; it was the oldest, and each run had stopped at it."""
    bad = business.due_text(due=timedelta(days=-1))
    others = [business if alone else another(business) for _ in range(3)]
    rows = [shop.due_text(phone=f"+1212555{n:04}") for n, shop in enumerate(others)]
    business.connection.execute(
        f"""create function forbid() returns trigger language plpgsql as $$ begin
                if new.retry_id = '{bad}' then raise 'not this one'; end if; return new; end $$;
            create trigger forbid before insert on sms_send_attempts for each row execute function forbid()""".encode()
    )
    try:
        for _ in range(2):
            run(queue, sender)
            stack.move_clock(timedelta(minutes=1))
    finally:
        business.connection.execute("drop function forbid cascade")
    assert [business.row(row)["status"] for row in rows] == ["completed"] * 3
    assert run(queue, sender) == ["Sent"]


# Clumsy operators


def test_without_the_key_of_the_hashes_nothing_is_sent(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Nobody who opted out had been recognized, and the text had gone out."""
    business.due_text()
    business.customer(consent="opted_out")
    found = business.connection.execute("delete from smsretry.secret returning key").fetchone()
    assert found is not None
    try:
        keyless = run_over(queue, sender)
        assert [result.fate for result in results_of(keyless)] == ["Deferred"]
        assert keyless.flow_control.database_trouble is not None
        assert "Run `smsretry migrate --again`" in keyless.flow_control.database_trouble
    finally:
        business.connection.execute("insert into smsretry.secret (key) values (%s)", [found["key"]])
    stack.move_clock(timedelta(minutes=1))
    assert run(queue, sender) == ["Cancelled"]


def test_without_the_key_of_the_hashes_no_opt_out_is_taken_that_could_not_be_kept(
    business: Business, operators: SupabaseOperators
) -> None:
    """Whoever writes one is told, and what to do; nobody takes it for recorded."""
    business.customer()
    found = business.connection.execute("delete from smsretry.secret returning key").fetchone()
    assert found is not None
    try:
        with pytest.raises(psycopg.errors.NoDataFound, match=r"smsretry\.secret is empty"):
            business.connection.execute("update customers set sms_consent_status = 'opted_out'")
        with pytest.raises(SmsRetryError):
            operators.record_consent(PHONE, consent="opted_out", source="telephone", business_id=None)
    finally:
        business.connection.execute("insert into smsretry.secret (key) values (%s)", [found["key"]])
    assert business.connection.execute("select sms_consent_status as it from customers").fetchall() == [
        {"it": "opted_in"}
    ]


# The database's clock


def test_a_claim_made_while_the_clock_was_ahead_is_recovered(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Its lease had lasted until then."""
    business.due_text()
    stack.move_clock(timedelta(days=400))
    claim_due(queue, 1)
    stack.move_clock(timedelta(days=-400))
    assert len(queue.recover(10)) == 1
    assert run(queue, sender) == ["Sent"]


def test_a_text_in_doubt_whose_clock_was_set_back_is_held_and_not_sent_again(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Its message seemed older than its own send, so it had been sent again."""
    row, attempt = business.due_text(), uuid4()
    stack.move_clock(timedelta(hours=1))
    [claim] = claim_due(queue, 1)
    begin(queue, claim, attempt, sent_by=sender.default.sent_by)
    stack.move_clock(timedelta(hours=-1))
    stack.twilio.fail(AcceptThenDrop())
    outcome = sender.send(Text(attempt_id=attempt, to=PHONE, body=BODY, valid_for=timedelta(hours=1)))
    finish(queue, claim, attempt, outcome, doubt())
    for _ in range(8):
        stack.move_clock(timedelta(minutes=16))
        run(queue, sender)
    assert len(stack.twilio.ledger.entries(PHONE)) == 1
    assert business.row(row)["why_code"] == "ambiguous"
