"""What a person's order changes and what it leaves alone, as the SQL functions decide it."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from smsretry.local.stack import Stack
from tests.conftest import Business

ORDERS = ("requeue", "cancel", "look")
DONE: dict[str, Any] = {"dry_run": False, "who": "Ann", "because": "It is mended"}
LATER = timedelta(hours=1)


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


_AS_IT_WAS = """
create or replace function smsretry.texts_that_fit(which jsonb) returns setof uuid language sql as $$
    select q.id from public.sms_retry_queue q
$$
"""
"""A list that is out of date."""


@pytest.mark.parametrize(
    ("function", "change", "why"),
    [
        ("requeue", "status = 'completed'", "It is sent already"),
        ("cancel", "status = 'completed'", "It is sent already"),
        ("look", "status = 'failed'", "It has ended, it is failed: requeue it"),
        (
            "look",
            "status = 'processing', claimed_at = smsretry.clock()",
            "A worker has it at this moment",
        ),
    ],
)
def test_what_a_text_became_since_it_was_found_is_asked_again(
    business: Business, function: str, change: str, why: str
) -> None:
    """Somebody was faster."""
    row = business.due_text(due=LATER)
    became(business, row, "why_code = 'unreachable'")
    became(business, row, change)
    before = business.row(row)
    with business.connection.transaction(force_rollback=True):
        business.connection.execute(_AS_IT_WAS.encode())
        assert order(business, function, retry_ids=[row], **DONE) == (0, {why: 1})
        assert business.row(row) == before


def test_a_send_log_that_somebody_writes_at_this_moment_is_waited_for(stack: Stack, business: Business) -> None:
    """It may be about to say that the text was sent."""
    row = failed(business)
    with stack.connect() as other, other.transaction(), business.connection.transaction(force_rollback=True):
        other.execute("update send_logs set status = 'sent'")
        business.connection.execute("set local lock_timeout = '10ms'")
        assert order(business, "requeue", retry_ids=[row])[0] == 0


@pytest.mark.parametrize("function", ORDERS)
def test_an_order_that_is_only_tried_changes_nothing(business: Business, function: str) -> None:
    """It says how many it would change."""
    row = failed(business) if function == "requeue" else business.due_text(due=LATER)
    became(business, row, "why_code = 'unreachable'")
    before = business.row(row)
    assert order(business, function, retry_ids=[row]) == (1, {})
    assert business.row(row) == before


def test_an_order_keeps_to_the_business_the_customer_and_the_rows_that_it_names(business: Business) -> None:
    """Each of them narrows it."""
    first, second = failed(business), failed(business)
    neighbor = Business(business.connection, business.now).open()
    theirs = failed(neighbor)
    customer = business.row(first)["customer_id"]
    for which, changed in (
        ({"retry_ids": [first, theirs]}, 2),
        ({"business_id": business.id}, 2),
        ({"customer_id": customer}, 1),
        ({"business_id": neighbor.id, "customer_id": customer}, 0),
    ):
        assert order(business, "requeue", **which)[0] == changed
    assert order(business, "requeue", business_id=business.id, retry_ids=[second, theirs], **DONE)[0] == 1
    assert [business.row(row)["status"] for row in (first, second, theirs)] == ["failed", "pending", "failed"]


def test_a_requeued_text_lives_anew(business: Business) -> None:
    """It was over, and would be again at once."""
    row = failed(business)
    became(business, row, "expires_at = smsretry.clock() - interval '1 minute'")
    assert order(business, "requeue", retry_ids=[row], **DONE) == (1, {})
    assert business.row(row)["expires_at"] is None


def test_a_text_is_not_requeued_while_an_older_row_of_it_waits(business: Business) -> None:
    """One live row a text."""
    older = business.row(business.due_text(due=LATER))
    [newer] = business.connection.execute(
        """insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for, status, created_at)
           values (%s, %s, %s, %s, 'failed', %s) returning id""",
        [
            *(older[name] for name in ("business_id", "send_log_id", "customer_id", "scheduled_for")),
            business.now() + LATER,
        ],
    ).fetchall()
    skipped = {"Another row of the same text waits": 1}
    assert order(business, "requeue", retry_ids=[newer["id"]], **DONE) == (0, skipped)


def test_what_is_in_doubt_is_not_cancelled_and_stays_held_when_it_is_looked_at_again(business: Business) -> None:
    """Evidence decides about it, or a person who has looked."""
    row = business.due_text(due=LATER)
    became(
        business,
        row,
        """in_doubt_since = smsretry.clock(), attempt_id = gen_random_uuid(), held_since = smsretry.clock(),
           why = 'Two fit'""",
    )
    skipped = {"It is unknown whether it went out: evidence is looked for": 1}
    assert order(business, "cancel", retry_ids=[row], **DONE) == (0, skipped)
    assert order(business, "look", retry_ids=[row], **DONE) == (1, {})
    assert business.row(row)["held_since"] is not None


def test_a_row_that_somebody_has_locked_keeps_no_other_history_from_being_pruned(
    stack: Stack, business: Business
) -> None:
    """It goes the next time."""
    locked, _ = failed(business), failed(business)
    business.connection.execute("update sms_retry_queue set updated_at = updated_at - interval '1 year'")
    with stack.connect() as other, other.transaction(), business.connection.transaction():
        other.execute("select from sms_retry_queue where id = %s for update", [locked])
        business.connection.execute("set local lock_timeout = '10ms'")
        business.connection.execute("select * from prune_sms_history(7)")
    assert business.connection.execute("select id from sms_retry_queue").fetchall() == [{"id": locked}]


def test_the_last_week_is_never_pruned(business: Business) -> None:
    """Doubts are settled by it, and daily caps count it."""
    with pytest.raises(psycopg.Error, match="keep_days is 7 or more"):
        business.connection.execute("select * from prune_sms_history(6)")
