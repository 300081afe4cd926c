"""By SQL alone, given the customer's id."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.e2e.at_the_desk.diary import Diary

_EXPLAIN = "select state, why, code, can, events from explain_sms(customer_id => %s)"
_REQUEUE = """select matched, changed
              from change_sms_texts('requeue', jsonb_build_object('customer_id', %s::uuid)"""


def by_sql(
    connection: psycopg.Connection[dict[str, Any]],
    customer: UUID,
    code: int,
    diary: Diary,
    *,
    until: Callable[[Callable[[], bool]], None],
) -> None:
    """The same, by the functions.

    Args:
        until: lets runs happen until this is true.
    """

    def ask(query: str) -> dict[str, Any]:
        row = connection.execute(query.encode(), [customer]).fetchone()
        assert row is not None, query
        return row

    told = ask(_EXPLAIN)
    assert (told["state"], told["code"], told["can"]) == ("failed", code, ["requeue"]), told
    diary.note("explain_sms says why, and what can be done")

    with pytest.raises(psycopg.Error, match="who"):
        ask(f"{_REQUEUE}, dry_run => false)")
    diary.note("Without a name it is refused in words")
    assert ask(f"{_REQUEUE})") == {"matched": 1, "changed": 1}
    diary.note("change_sms_texts says what it would do")
    order = f"{_REQUEUE}, dry_run => false, who => 'Ann', because => 'The sender was mended')"
    assert ask(order) == {"matched": 1, "changed": 1}
    diary.note("change_sms_texts does it")

    until(lambda: bool(ask(_EXPLAIN)["state"] == "sent"))
    assert "Ann" in [step["who"] for step in ask(_EXPLAIN)["events"]]
    diary.note("The next run takes it; explain_sms says that it was sent, and who had it sent")
