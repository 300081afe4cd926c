"""What somebody has locked is passed over, and what is decided by is held until the decision is written."""

from datetime import timedelta

import pytest

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.local.stack import Stack
from tests.conftest import Business
from tests.support.claims import claim_due


def test_a_text_that_somebody_has_locked_is_passed_over(stack: Stack, business: Business, queue: SupabaseQueue) -> None:
    """It is not waited for, and not claimed beside the others."""
    locked, free = business.due_text(), business.due_text()
    with stack.connect() as other, other.transaction():
        other.execute("select from sms_retry_queue where id = %s for update", [locked])
        assert [claim.id for claim in claim_due(queue, 10)] == [free]


def test_a_suspect_is_claimed_alone_when_it_is_due_and_nobody_has_it(stack: Stack, business: Business) -> None:
    """What is locked costs its business nothing."""
    locked, first, second, later = (business.due_text(due=timedelta(minutes=due)) for due in (-3, -2, -1, 60))
    business.connection.execute("update sms_retry_queue set recover_count = 4")
    business.connection.execute("update sms_retry_queue set recover_count = 3 where id = %s", [later])
    claim = """select (claim_sms_texts(1, suspect => true) -> 'texts' -> 0 ->> 'id')::uuid as id"""
    with stack.connect() as other, other.transaction():
        other.execute("select from sms_retry_queue where id = %s for update", [locked])
        claims = [business.connection.execute(claim).fetchall() for _ in range(3)]
    assert claims == [[{"id": first}], [{"id": second}], [{"id": None}]]


def test_the_fence_holds_its_row(stack: Stack, business: Business, queue: SupabaseQueue) -> None:
    """Until the worker's write is done."""
    business.due_text()
    (claim,) = claim_due(queue, 1)
    with stack.connect() as other, business.connection.transaction():
        business.connection.execute("select smsretry.fenced(%s, %s)", [claim.id, claim.claim_no])
        assert other.execute("select from sms_retry_queue for update skip locked").fetchall() == []


@pytest.mark.parametrize("table", ["customers", "send_logs"])
def test_what_a_begin_decides_by_stays_so_until_it_is_written(
    stack: Stack, business: Business, queue: SupabaseQueue, table: str
) -> None:
    """An opt-out, or another's word that it was sent, waits until this send is on record, or is seen by it."""
    business.due_text()
    (claim,) = claim_due(queue, 1)
    begin = "select answer from begin_sms_attempt(%s, %s, gen_random_uuid(), smsretry.clock() + interval '1 hour', '')"
    with stack.connect() as other, business.connection.transaction():
        assert business.connection.execute(begin, [claim.id, claim.claim_no]).fetchall() == [{"answer": "go"}]
        assert other.execute(f"select from {table} for update skip locked".encode()).fetchall() == []
