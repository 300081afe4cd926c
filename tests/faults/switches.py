"""Take the fence away from the harness's own database, to see that the harness notices its absence."""

import re
from typing import Final

from smsretry.local.stack import Stack

_FENCED: Final = (
    "begin_sms_attempt", "finish_sms_attempt", "reconcile_sms_retry", "defer_sms_retry", "end_sms_retry",
)  # fmt: skip
_CLAIM_NUMBER: Final = re.compile(r"\s+(and|or) \w+\.claim_no (=|<>|is distinct from) \w+\.claim_no")
_BEGUN_ONCE: Final = re.compile(r"\s+or v_row\.begun_at is not null and v_row\.attempt_id <> \w+\.attempt_id")


def remove_fence(stack: Stack) -> None:
    """Let every worker write whatever number it holds, and begin what another one has begun."""
    with stack.connect() as connection:
        for function in _FENCED:
            found = connection.execute(
                "select pg_get_functiondef(oid) as source from pg_proc where proname = %s", [function]
            ).fetchone()
            assert found is not None, f"{function} is gone"
            source, removed = _CLAIM_NUMBER.subn("", found["source"])
            if function == "begin_sms_attempt":
                source, more = _BEGUN_ONCE.subn("", source)
                removed += more
                assert removed == 2, "begin_sms_attempt is fenced in a way this switch does not know"
            assert removed, f"{function} is fenced in a way this switch does not know"
            connection.execute(source.encode())
