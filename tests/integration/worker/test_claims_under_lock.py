"""What is read before a lock is asked again under it, and what is decided by is held until the decision is written."""

from datetime import timedelta
from typing import Final
from uuid import UUID

import pytest

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.local.stack import Stack
from tests.conftest import Business

CLAIMS: Final = {
    "in turn": "select (smsretry.claim_in_turn('texts', 10, smsretry.clock())).ids",
    "by sender": "select (smsretry.claim_by_sender(10, smsretry.clock(), null, null, '{}')).ids",
}
_OUT_OF_DATE: Final = """
    create or replace function smsretry.work_in_turn(
        kind text, businesses uuid[], each integer, most integer, at timestamptz, settled timestamptz default null)
    returns uuid[] language sql as 'select array_agg(q.id order by q.id) from public.sms_retry_queue q';
    create or replace function smsretry.texts_of_turns(
        businesses uuid[], classes text[], each integer, most integer, at timestamptz, out id uuid, out place bigint)
    returns setof record language sql as 'select q.id, 1::bigint from public.sms_retry_queue q';
"""
"""Lists that still name every row."""


def claimed(business: Business, claim: str) -> list[UUID]:
    """What a claim takes. It may wait for nobody, and here it would for a second."""
    business.connection.execute("set local lock_timeout = '1s'")
    row = business.connection.execute(CLAIMS[claim].encode()).fetchone()
    assert row is not None
    ids: list[UUID] = row["ids"]
    return ids


@pytest.mark.parametrize("claim", CLAIMS)
@pytest.mark.parametrize(
    "became",
    [
        "status = 'failed'",
        "scheduled_for = smsretry.clock() + interval '1 hour'",
        "recover_count = smsretry.suspect_after()",
        "attempt_id = gen_random_uuid(), in_doubt_since = smsretry.clock()",
    ],
)
def test_what_a_text_became_since_it_was_found_is_asked_again(business: Business, claim: str, became: str) -> None:
    """Another worker, a person or the application was faster."""
    still_due, changed = business.due_text(), business.due_text()
    with business.connection.transaction(force_rollback=True):
        business.connection.execute(_OUT_OF_DATE)
        business.connection.execute(f"update sms_retry_queue set {became} where id = %s".encode(), [changed])
        assert claimed(business, claim) == [still_due]


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_text_that_somebody_has_locked_is_passed_over(stack: Stack, business: Business, claim: str) -> None:
    """It is not waited for, and not claimed beside them."""
    locked, free = business.due_text(), business.due_text()
    with stack.connect() as other, other.transaction(), business.connection.transaction():
        other.execute("select from sms_retry_queue where id = %s for update", [locked])
        assert claimed(business, claim) == [free]


def test_a_suspect_is_claimed_alone_when_it_is_due_and_nobody_has_it(stack: Stack, business: Business) -> None:
    """What is locked costs its business nothing."""
    locked, first, second, later = (business.due_text(due=timedelta(minutes=due)) for due in (-3, -2, -1, 60))
    business.connection.execute("update sms_retry_queue set recover_count = 4")
    business.connection.execute("update sms_retry_queue set recover_count = 3 where id = %s", [later])
    claim = "select id from claim_suspect_sms_retry()"
    with stack.connect() as other, other.transaction():
        other.execute("select from sms_retry_queue where id = %s for update", [locked])
        claims = [business.connection.execute(claim).fetchall() for _ in range(3)]
    assert claims == [[{"id": first}], [{"id": second}], []]
    assert business.connection.execute("select from smsretry.set_apart").fetchall() == []


def test_the_fence_holds_its_row(stack: Stack, business: Business, queue: SupabaseQueue) -> None:
    """Until the worker's write is done."""
    business.due_text()
    (claim,) = queue.claim_due(1)
    with stack.connect() as other, business.connection.transaction():
        business.connection.execute("select smsretry.fenced(%s, %s)", [claim.id, claim.claim_no])
        assert other.execute("select from sms_retry_queue for update skip locked").fetchall() == []


@pytest.mark.parametrize("table", ["customers", "send_logs"])
def test_what_a_begin_decides_by_stays_so_until_it_is_written(
    stack: Stack, business: Business, queue: SupabaseQueue, table: str
) -> None:
    """An opt-out, or another's word that it was sent, waits until this send is on record, or is seen by it."""
    business.due_text()
    (claim,) = queue.claim_due(1)
    begin = "select answer from begin_sms_attempt(%s, %s, gen_random_uuid(), smsretry.clock() + interval '1 hour', '')"
    with stack.connect() as other, business.connection.transaction():
        assert business.connection.execute(begin, [claim.id, claim.claim_no]).fetchall() == [{"answer": "go"}]
        assert other.execute(f"select from {table} for update skip locked".encode()).fetchall() == []
