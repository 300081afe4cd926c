"""What a function sets on the variable of a row is kept, whichever way the row leaves: no column is forgotten."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final
from uuid import uuid4

import pytest
from psycopg.types.json import Jsonb

from tests.support.shop import Shop

WHAT_THE_TEXT_IS: Final = {
    "id", "business_id", "send_log_id", "customer_id", "message_class", "created_at", "first_due_at",
}  # fmt: skip
"""Never changes: by these the row is found, and everything that was decided was decided about them."""
NOBODY_HAS_IT: Final = {"status", "updated_at", "claimed_at", "begun_at", "claimed_by_application"}
"""The way out says what these are: which state it is in, since when, and that no worker has it."""
ENDED: Final = NOBODY_HAS_IT | {
    "last_error", "error_code", "why", "why_code", "held_since", "attempt_id", "in_doubt_since",
}  # fmt: skip
"""Likewise: how it ended, and that it waits for nothing more."""
WAYS_OUT: Final[Mapping[str, set[str]]] = {
    "smsretry.save_row({row}, now())": {"updated_at"},
    "smsretry.save_row({row}, now(), due => now())": NOBODY_HAS_IT | {"scheduled_for"},
    "smsretry.save_row({row}, now(), ended => 'failed', because => 'No')": ENDED,
    "smsretry.save_row({row}, now(), ended => 'completed')": ENDED,
}
"""The call, and the columns that it does not take from the variable, with the reason above."""
ONE_OF_FEW: Final = {"status": "processing", "reason": "rate_limit", "attempt_count": 1, "max_attempts": 7}
"""What the table's rules allow beside any value of the type."""


@pytest.mark.parametrize("way_out", WAYS_OUT)
def test_each_column_that_is_set_on_a_row_is_kept(shop: Shop, way_out: str) -> None:
    """By the catalog's columns, so that a new one is asked for as soon as it is there."""
    row, later = shop.due_text(), (shop.now() + timedelta(days=9)).isoformat()
    columns = shop.sql(
        """select attname as name, t.typname as kind from pg_attribute a join pg_type t on t.oid = a.atttypid
           where attrelid = 'sms_retry_queue'::regclass and attnum > 0 and not attisdropped and attgenerated = ''"""
    )
    by_type = {
        "uuid": str(uuid4()), "text": "another", "int4": 41, "int8": 42, "bool": True, "timestamptz": later,
        "why_code": "expired",
    }  # fmt: skip
    wanted = {
        column["name"]: ONE_OF_FEW.get(column["name"], by_type[column["kind"]])
        for column in columns
        if column["name"] not in WHAT_THE_TEXT_IS
    }
    as_json = "select to_jsonb(q) from sms_retry_queue q where id = %s"
    before = shop.value(as_json, row)
    assert [name for name, value in wanted.items() if before[name] == value] == []
    changed = "jsonb_populate_record(q, %s)"
    [made] = shop.sql(
        f"select {way_out.format(row=changed)}, to_jsonb({changed}) as set from sms_retry_queue q where id = %s",
        *[Jsonb(wanted), Jsonb(wanted), row],
    )
    after = shop.value(as_json, row)
    assert {name for name in wanted.keys() - WAYS_OUT[way_out] if after[name] != made["set"][name]} == set()
