"""What a function sets on the variable of a row is kept, whichever way the row leaves: no column is forgotten."""

from uuid import uuid4

import pytest
from psycopg.types.json import Jsonb

from tests.support.shop import Shop

WHAT_THE_TEXT_IS = {
    "id", "business_id", "send_log_id", "customer_id", "message_class", "created_at", "first_due_at",
}  # fmt: skip
"""Never changes: everything that was decided was decided about these."""
NOBODY_HAS_IT = {
    "status",
    "updated_at",
    "claimed_at",
    "begun_at",
    "claimed_by_application",
}
"""The way out says in which state the row is, since when, and that no worker has it."""
ENDED = NOBODY_HAS_IT | {
    "last_error", "error_code", "why", "why_code", "held_since", "attempt_id", "in_doubt_since",
}  # fmt: skip
"""Likewise how it ended, and that it waits for nothing more."""
OF_TYPE = {
    "uuid": str(uuid4()), "text": "another", "int4": 41, "int8": 42, "bool": True,
    "timestamptz": "2029-01-01T00:00:00+00:00", "why_code": "expired",
}  # fmt: skip
ONE_OF_FEW = {
    "status": "processing",
    "reason": "rate_limit",
    "attempt_count": 1,
    "max_attempts": 7,
}
"""What the table's rules allow beside any value of the type."""


@pytest.mark.parametrize(
    ("way_out", "says"),
    [
        ("now()", {"updated_at"}),
        ("now(), due => now()", NOBODY_HAS_IT | {"scheduled_for"}),
        ("now(), ended => 'failed', why => 'No'", ENDED),
        ("now(), ended => 'completed'", ENDED),
    ],
)
def test_each_column_that_is_set_on_a_row_is_kept(
    shop: Shop, way_out: str, says: set[str]
) -> None:
    """By the catalog's columns, so that a new one is asked for as soon as it is there."""
    row = shop.due_text()
    columns = shop.sql(
        """select attname as name, t.typname as kind from pg_attribute a join pg_type t on t.oid = a.atttypid
           where attrelid = 'sms_retry_queue'::regclass and attnum > 0 and not attisdropped and attname <> 'work'"""
    )
    kinds = {
        column["name"]: column["kind"]
        for column in columns
        if column["name"] not in WHAT_THE_TEXT_IS
    }
    wanted = Jsonb(
        {name: ONE_OF_FEW.get(name, OF_TYPE[kind]) for name, kind in kinds.items()}
    )
    changed = "jsonb_populate_record(q, %s)"
    [made] = shop.sql(
        f"""select to_jsonb(q) as before, to_jsonb({changed}) as set, smsretry.save_row({changed}, {way_out})
            from sms_retry_queue q where q.id = %s""",
        *[wanted, wanted, row],
    )
    after = shop.value("select to_jsonb(q) from sms_retry_queue q where id = %s", row)
    assert [name for name in kinds if made["before"][name] == made["set"][name]] == []
    assert {
        name for name in kinds.keys() - says if after[name] != made["set"][name]
    } == set()
