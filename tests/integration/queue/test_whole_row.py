"""What a function sets on the variable of a row is kept, whichever way the row leaves: no column is forgotten."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.conftest import Business

WHAT_THE_TEXT_IS: Final = {
    "id",
    "business_id",
    "send_log_id",
    "customer_id",
    "message_class",
    "created_at",
    "first_due_at",
}
"""Never changes: by these the row is found, and everything that was decided was decided about them."""
NOBODY_HAS_IT: Final = {"status", "updated_at", "claimed_at", "begun_at", "claimed_by_application"}
"""The way out says what these are: which state it is in, since when, and that no worker has it."""
ENDED: Final = NOBODY_HAS_IT | {
    "last_error",
    "error_code",
    "why",
    "why_code",
    "held_since",
    "attempt_id",
    "in_doubt_since",
}
"""Likewise: how it ended, and that it waits for nothing more."""
WAYS_OUT: Final[Mapping[str, tuple[str, set[str]]]] = {
    "smsretry.save_row": ("smsretry.save_row({row}, now())", {"updated_at"}),
    "smsretry.save_row, due": ("smsretry.save_row({row}, now(), due => now())", NOBODY_HAS_IT | {"scheduled_for"}),
    "smsretry.close_row": ("smsretry.close_row({row}, 'failed', 'No', null, 1, now())", ENDED),
    "smsretry.complete_row": ("smsretry.complete_row({row}, null, now())", ENDED),
}
"""The call, and the columns that it does not take from the variable, with the reason above."""
ONE_OF_FEW: Final = {
    "status": "processing",
    "reason": "rate_limit",
    "attempt_count": 1,
    "max_attempts": 7,
}
"""What the table's rules allow beside any value of the type."""


def _other(column: str, kind: str, now: datetime) -> object:
    by_type = {
        "uuid": str(uuid4()), "text": f"another {column}", "int4": 41, "int8": 42, "bool": True,
        "timestamptz": (now + timedelta(days=9)).isoformat(), "why_code": "expired",
    }  # fmt: skip
    return ONE_OF_FEW.get(column, by_type[kind])


def forgotten_columns(connection: psycopg.Connection[dict[str, Any]], row_id: UUID, way_out: str) -> set[str]:
    """The columns that are not what they were set to on the row's variable, but for those that are named above."""
    call, settled = WAYS_OUT[way_out]
    columns = connection.execute(
        """select attname as name, t.typname as kind from pg_attribute a
           join pg_type t on t.oid = a.atttypid
           where attrelid = 'sms_retry_queue'::regclass and attnum > 0 and not attisdropped and attgenerated = ''"""
    ).fetchall()
    [before] = connection.execute("select now(), to_jsonb(q) as row from sms_retry_queue q where id = %s", [row_id])
    wanted = {
        column["name"]: _other(column["name"], column["kind"], before["now"])
        for column in columns
        if column["name"] not in WHAT_THE_TEXT_IS
    }
    assert [name for name, value in wanted.items() if before["row"][name] == value] == []
    changed = "jsonb_populate_record(q, %(wanted)s)"
    statement = (
        f"select {call.format(row=changed)}, to_jsonb({changed}) as set from sms_retry_queue q where id = %(id)s"
    )
    [made] = connection.execute(statement.encode(), {"wanted": Jsonb(wanted), "id": row_id}).fetchall()
    [after] = connection.execute("select to_jsonb(q) as row from sms_retry_queue q where id = %s", [row_id]).fetchall()
    return {name for name in wanted.keys() - settled if after["row"][name] != made["set"][name]}


@pytest.mark.parametrize("way_out", WAYS_OUT)
def test_each_column_that_is_set_on_a_row_is_kept(business: Business, way_out: str) -> None:
    """By the catalog's columns, so that a new one is asked for as soon as it is there."""
    assert forgotten_columns(business.connection, business.due_text(), way_out) == set()


@pytest.mark.parametrize("way_out", WAYS_OUT)
def test_a_new_column_that_nobody_writes_is_noticed(business: Business, way_out: str) -> None:
    """It was forgotten in silence: set on the variable, it stayed null."""
    row = business.due_text()
    with business.connection.transaction(force_rollback=True):
        business.connection.execute("alter table sms_retry_queue add column new_one text")
        assert forgotten_columns(business.connection, row, way_out) == {"new_one"}
