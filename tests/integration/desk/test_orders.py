"""What a person's order changes and what it leaves alone, as the SQL functions decide it."""

import json
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from smsretry.local.stack import Stack
from tests.conftest import Business

DONE: Final[dict[str, Any]] = {"dry_run": False, "who": "Ann", "because": "It is mended"}
LATER: Final = timedelta(hours=1)


def order(business: Business, what: str, **values: Any) -> tuple[int, dict[str, int]]:
    """How many rows it changed, and why it left others alone."""
    signed = {name: values.pop(name) for name in DONE if name in values}
    given = {"what": what, "which": json.dumps(values, default=str), **signed}
    arguments = ", ".join(f"{name} => %({name})s" for name in given)
    [told] = business.connection.execute(f"select * from change_sms_texts({arguments})".encode(), given).fetchall()
    return told["changed"], told["skipped"]


def became(business: Business, row: UUID, change: str) -> None:
    """What the application or a worker has made of it."""
    business.connection.execute(f"update sms_retry_queue set {change} where id = %s".encode(), [row])


def failed(business: Business, **text: Any) -> UUID:
    """A text that has ended."""
    row = business.due_text(**text)
    became(business, row, "status = 'failed', last_error = 'It failed'")
    return row


_AS_IT_WAS: Final = """
create or replace function smsretry.texts_that_fit(which jsonb) returns setof uuid language sql as $$
    select q.id from public.sms_retry_queue q
$$
"""
"""A list that is out of date."""


def test_what_a_text_became_since_it_was_found_is_asked_again(stack: Stack, business: Business) -> None:
    """Somebody was faster. A send log that somebody writes at this moment may be about to say that it was sent."""
    row = business.due_text(due=LATER)
    for what, change, why in (
        ("requeue", "status = 'completed'", "It is sent already"),
        ("cancel", "status = 'completed'", "It is sent already"),
        ("look", "status = 'failed'", "It has ended, it is failed: requeue it"),
        ("look", "status = 'processing', claimed_at = smsretry.clock()", "A worker has it at this moment"),
    ):
        with business.connection.transaction(force_rollback=True):
            became(business, row, f"why_code = 'unreachable', {change}")
            before = business.row(row)
            business.connection.execute(_AS_IT_WAS.encode())
            assert order(business, what, retry_ids=[row], **DONE) == (0, {why: 1})
            assert business.row(row) == before
    became(business, row, "status = 'failed'")
    with stack.connect() as other, other.transaction(), business.connection.transaction(force_rollback=True):
        other.execute("update send_logs set status = 'sent'")
        business.connection.execute("set local lock_timeout = '10ms'")
        assert order(business, "requeue", retry_ids=[row])[0] == 0


def test_an_order_keeps_to_the_business_the_customer_and_the_rows_that_it_names(business: Business) -> None:
    """Each of them narrows it. A requeued text lives anew: it was over, and would be again at once."""
    first, second = failed(business), failed(business)
    became(business, second, "expires_at = smsretry.clock() - interval '1 minute'")
    neighbor = Business(business.connection, business.now).open()
    theirs = failed(neighbor)
    customer = business.row(first)["customer_id"]
    for which, changed in (
        ({"retry_ids": [first, theirs]}, 2),
        ({"business_id": business.id}, 2),
        ({"customer_id": customer}, 1),
        ({"business_id": neighbor.id, "customer_id": customer}, 0),
    ):
        before = [business.row(row) for row in (first, second, theirs)]
        assert order(business, "requeue", **which)[0] == changed
        assert [business.row(row) for row in (first, second, theirs)] == before, "it was only tried"
    assert order(business, "requeue", business_id=business.id, retry_ids=[second, theirs], **DONE)[0] == 1
    assert [business.row(row)["status"] for row in (first, second, theirs)] == ["failed", "pending", "failed"]
    assert business.row(second)["expires_at"] is None


def test_what_may_reach_somebody_twice_is_left_alone(business: Business) -> None:
    """One live row a text. Evidence decides about a doubt, or a person who has looked: it stays held."""
    older = business.row(business.due_text(due=LATER))
    copied = [older[name] for name in ("business_id", "send_log_id", "customer_id", "scheduled_for")]
    [newer] = business.connection.execute(
        """insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for, status, created_at)
           values (%s, %s, %s, %s, 'failed', %s) returning id""",
        [*copied, business.now() + LATER],
    ).fetchall()
    skipped = {"Another row of the same text waits": 1}
    assert order(business, "requeue", retry_ids=[newer["id"]], **DONE) == (0, skipped)
    row = older["id"]
    doubt = (
        "in_doubt_since = smsretry.clock(), attempt_id = gen_random_uuid(), held_since = smsretry.clock(), why = 'Two'"
    )
    became(business, row, doubt)
    skipped = {"It is unknown whether it went out: evidence is looked for": 1}
    assert order(business, "cancel", retry_ids=[row], **DONE) == (0, skipped)
    assert order(business, "look", retry_ids=[row], **DONE) == (1, {})
    assert business.row(row)["held_since"] is not None
