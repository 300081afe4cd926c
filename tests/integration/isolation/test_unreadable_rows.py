"""Rows whose values no worker can read: each ends with that reason, and costs the other rows of its claim nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import pytest

from smsretry import send_sms
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.errors import QueueMismatch
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import AcceptThenDrop
from smsretry.retry.profile import DEFAULT
from smsretry.sending.ports import Services
from smsretry.sending.run import Run, run_once
from tests.conftest import Business
from tests.support.claims import claim_doubtful, claim_due

UNREADABLE: Final = ("-infinity", "0044-03-15 12:00+00 BC")


@pytest.fixture
def unbounded(stack: Stack) -> Iterator[None]:
    """A database without the bounds on instants, such as one whose owner took them away."""
    with stack.connect() as connection:
        row = connection.execute(
            "select pg_get_constraintdef(oid) as bounds from pg_constraint where conname = 'sms_retry_queue_instants'"
        ).fetchone()
        assert row is not None
        connection.execute("alter table sms_retry_queue drop constraint sms_retry_queue_instants")
        yield
        connection.execute("truncate sms_retry_queue cascade")
        bounds = row["bounds"]
        connection.execute(f"alter table sms_retry_queue add constraint sms_retry_queue_instants {bounds}".encode())


@contextmanager
def _every_new_row(business: Business, change: str) -> Iterator[None]:
    """A trigger of somebody's that changes what is queued."""
    business.connection.execute(
        f"""create function public.meddle() returns trigger language plpgsql as $$ begin {change}; return new; end $$;
            create trigger zz_meddle before insert on sms_retry_queue for each row execute function public.meddle()"""
    )
    try:
        yield
    finally:
        business.connection.execute("drop function public.meddle() cascade")


def _readable(business: Business, row_id: UUID) -> dict[str, Any]:
    """Of a row, what psycopg can read, too."""
    query = "select status, last_error, why, held_since from sms_retry_queue where id = %s"
    row = business.connection.execute(query, [row_id]).fetchone()
    assert row is not None
    return row


@pytest.fixture
def run(queue: SupabaseQueue, sender: TwilioSender) -> Run:
    """One run with the production adapters."""
    return Run(Services(queue, sender, DEFAULT))


@pytest.mark.usefixtures("unbounded")
@pytest.mark.parametrize("instant", UNREADABLE)
def test_a_row_that_cannot_be_read_ends_with_that_reason_and_the_others_are_sent(
    business: Business, run: Run, stack: Stack, instant: str
) -> None:
    """The reason names the column, and quotes no value of it."""
    bad = business.due_text(phone="+12125550100")
    good = [business.due_text(phone=f"+1212555010{n}", body=f"Text {n}") for n in range(1, 6)]
    business.connection.execute("update sms_retry_queue set scheduled_for = %s where id = %s", [instant, bad])

    items, _ = run_once(run, limit=50)

    assert [item.retry_id for item in items] == good
    assert {business.row(row_id)["status"] for row_id in good} == {"completed"}
    assert len(stack.twilio.ledger.entries()) == len(good)
    row = _readable(business, bad)
    assert (row["status"], row["last_error"]) == ("failed", "Row cannot be read: columns scheduled_for")
    assert business.log_of(bad)["error_message"] == "Row cannot be read: columns scheduled_for"


@pytest.mark.usefixtures("unbounded")
def test_a_first_send_whose_row_cannot_be_read_says_so(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """It has ended with that reason, and is not in the queue."""
    with _every_new_row(business, "new.expires_at := 'infinity'"):
        result = send_sms(business.send_log(business.customer()), queue=queue, sender=sender)
    assert (result.fate, result.detail) == ("Failed", "Row cannot be read: columns expires_at")
    assert _readable(business, result.retry_id)["status"] == "failed"
    assert not stack.twilio.ledger.entries()


def test_a_first_send_whose_row_is_gone_at_once_says_so(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """An opt-out, say, may be faster."""
    with _every_new_row(business, "new.status := 'cancelled'"):
        result = send_sms(business.send_log(business.customer()), queue=queue, sender=sender)
    assert (result.fate, result.detail) == ("Lost", "Another worker has taken it, or somebody cancelled it")
    assert business.row(result.retry_id)["status"] == "cancelled"
    assert not stack.twilio.ledger.entries()


@pytest.mark.usefixtures("unbounded")
def test_a_row_in_doubt_that_cannot_be_read_is_held_and_not_called_failed(
    business: Business, queue: SupabaseQueue, run: Run, stack: Stack
) -> None:
    """It may have gone out."""
    row_id = business.due_text()
    stack.twilio.fail(AcceptThenDrop())
    run_once(run, limit=50)
    assert business.row(row_id)["in_doubt_since"] is not None
    stack.move_clock(timedelta(minutes=2))
    business.connection.execute("update sms_retry_queue set expires_at = 'infinity' where id = %s", [row_id])

    assert claim_doubtful(queue, 50) == []

    row = _readable(business, row_id)
    assert row["status"] == "pending"
    assert row["held_since"] is not None
    assert "Row cannot be read: columns expires_at" in row["why"]


@pytest.mark.usefixtures("unbounded")
def test_what_recovery_took_back_is_told_of_as_far_as_it_can_be_read(
    business: Business, queue: SupabaseQueue, stack: Stack
) -> None:
    """A row that cannot be read must not stop the run before it has claimed anything."""
    good, bad = business.due_text(), business.due_text(phone="+12125550199")
    claim_due(queue, 50)
    stack.move_clock(timedelta(minutes=11))
    business.connection.execute(
        "update sms_retry_queue set in_doubt_since = 'infinity', attempt_id = gen_random_uuid() where id = %s", [bad]
    )

    assert [row.id for row in queue.recover(10)] == [good]
    assert _readable(business, bad)["status"] == "pending"


def test_when_columns_are_missing_all_claims_are_given_back(
    business: Business, queue: SupabaseQueue, stack: Stack
) -> None:
    """Code and database are of different versions: no row's fault, so no row pays."""
    rows = [business.due_text(phone=f"+1212555010{n}") for n in range(3)]
    before = [business.row(row_id) for row_id in rows]
    with stack.connect() as connection:
        [was] = connection.execute("select pg_get_functiondef('smsretry.claim_of'::regproc) as sql").fetchall()
        assert "jsonb_agg(to_jsonb(r) " in was["sql"]
        connection.execute(
            was["sql"].replace("jsonb_agg(to_jsonb(r) ", "jsonb_agg(to_jsonb(r) - 'decided_by' ").encode()
        )
        try:
            with pytest.raises(QueueMismatch, match="unusable columns: decided_by"):
                claim_due(queue, 50)
        finally:
            connection.execute(was["sql"].encode())

    after = [business.row(row_id) for row_id in rows]
    assert {row["status"] for row in after} == {"pending"}
    assert [row["scheduled_for"] for row in after] == [row["scheduled_for"] for row in before]
    assert {row["recover_count"] for row in after} == {0}
    assert len(claim_due(queue, 50)) == len(rows)
