"""What a person's order changes and what it leaves alone, as the SQL functions decide it."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import psycopg
import pytest

from smsretry.adapters.desk import Desk
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.desk.actions.form import Form, Signed
from smsretry.desk.actions.requests import (
    Cancel,
    ImportOptOuts,
    LookAgain,
    MarkDatabase,
    Order,
    RecordConsent,
    ReportRestore,
    Requeue,
    Resolve,
    StopTexts,
)
from smsretry.desk.actions.senders import AddSender, ChangeSender, RemoveSender
from tests.support.records import columns
from tests.support.shop import Shop
from tests.support.waiting import until_locked_out

DONE: Final[dict[str, Any]] = {
    "dry_run": False,
    "who": "Ann",
    "because": "It is mended",
}
LATER = timedelta(hours=1)


def order(shop: Shop, what: str, **values: Any) -> tuple[int, dict[str, int]]:
    """How many rows it changed, and why it left others alone."""
    signed = {name: values.pop(name) for name in DONE if name in values}
    given = {"what": what, "which": json.dumps(values, default=str), **signed}
    arguments = ", ".join(f"{name} => %({name})s" for name in given)
    [answer] = shop.connection.execute(
        f"select * from change_sms_texts({arguments})".encode(), given
    ).fetchall()
    return columns(answer, "changed", "skipped")


def became(shop: Shop, row: UUID, change: str) -> None:
    """What the application or a worker has made of it."""
    shop.sql(f"update sms_retry_queue set {change} where id = %s", row)


def failed(shop: Shop, **text: Any) -> UUID:
    """A text that has ended."""
    row = shop.due_text(**text)
    became(shop, row, "status = 'failed', last_error = 'It failed'")
    return row


_AS_IT_WAS = """
create or replace function smsretry.texts_that_fit(which jsonb) returns setof uuid language sql as $$
    select q.id from public.sms_retry_queue q
$$
"""
"""A list that is out of date."""


def test_what_a_text_became_since_it_was_found_is_asked_again(shop: Shop) -> None:
    """Somebody was faster. A send log that somebody writes at this moment may be about to say that it was sent."""
    row = shop.due_text(due=LATER)
    for what, change, reason in (
        ("requeue", "status = 'completed'", "It is sent already"),
        ("cancel", "status = 'completed'", "It is sent already"),
        ("look", "status = 'failed'", "It has ended, it is failed: requeue it"),
        (
            "look",
            "status = 'processing', claimed_at = smsretry.clock()",
            "A worker has it at this moment",
        ),
    ):
        with shop.connection.transaction(force_rollback=True):
            became(shop, row, f"why_code = 'unreachable', {change}")
            before = shop.row(row)
            shop.sql(_AS_IT_WAS)
            assert order(shop, what, retry_ids=[row], **DONE) == (0, {reason: 1})
            assert shop.row(row) == before
    became(shop, row, "status = 'failed'")
    with (
        shop.stack.connect() as other_connection,
        other_connection.transaction(),
        shop.connection.transaction(force_rollback=True),
    ):
        other_connection.execute("update send_logs set status = 'sent'")
        shop.connection.execute("set local lock_timeout = '10ms'")
        assert order(shop, "requeue", retry_ids=[row])[0] == 0


def test_an_order_keeps_to_the_business_the_customer_and_the_rows_that_it_names(
    shop: Shop,
) -> None:
    """Each of them narrows it. A requeued text lives anew: it was over, and would be again at once."""
    first, second = failed(shop), failed(shop)
    became(shop, second, "expires_at = smsretry.clock() - interval '1 minute'")
    neighbor = shop.neighbor()
    theirs = failed(neighbor)
    customer = shop.row(first)["customer_id"]
    for which, changed in (
        ({"retry_ids": [first, theirs]}, 2),
        ({"business_id": shop.id}, 2),
        ({"customer_id": customer}, 1),
        ({"business_id": neighbor.id, "customer_id": customer}, 0),
    ):
        before = [shop.row(row) for row in (first, second, theirs)]
        assert order(shop, "requeue", **which)[0] == changed
        assert [shop.row(row) for row in (first, second, theirs)] == before, (
            "it was only tried"
        )
    some = "select changed from change_sms_texts('requeue', %s, row_limit => 2)"
    assert (
        shop.value(
            some,
            json.dumps({"retry_ids": [str(row) for row in (first, second, theirs)]}),
        )
        == 2
    )
    with pytest.raises(psycopg.Error, match="by more than their states"):
        order(shop, "requeue", states=["failed"])
    assert (
        order(shop, "requeue", business_id=shop.id, retry_ids=[second, theirs], **DONE)[
            0
        ]
        == 1
    )
    assert shop.ends(first, second, theirs) == "failed pending failed"
    assert shop.row(second)["expires_at"] is None
    assert (
        shop.sql(
            "select from list_sms(%s)", json.dumps({"states": ["waiting", "held"]})
        )
        == []
    ), "it is due"


def test_an_order_waits_for_a_claim_that_is_under_way(shop: Shop) -> None:
    """Else the text would be cancelled under the worker's hands."""
    row = shop.due_text()
    with ThreadPoolExecutor(1) as pool, shop.stack.connect() as worker:
        with worker.transaction():
            worker.execute("select from claim_due_sms_retries()")
            waiting = pool.submit(order, shop, "cancel", retry_ids=[row], **DONE)
            until_locked_out(shop.connection, seen_by=worker)
        assert waiting.result() == (0, {"A worker has it at this moment": 1})


def test_what_may_reach_somebody_twice_is_left_alone(shop: Shop) -> None:
    """One live row a text. Evidence decides about a doubt, or a person who has looked: it stays held."""
    older = shop.row(shop.due_text(due=LATER))
    copied = [
        older[name]
        for name in ("business_id", "send_log_id", "customer_id", "scheduled_for")
    ]
    [newer] = shop.connection.execute(
        """insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for, status, created_at)
           values (%s, %s, %s, %s, 'failed', %s) returning id""",
        [*copied, shop.now() + LATER],
    ).fetchall()
    skipped = {"Another row of the same text waits, or is newer": 1}
    assert order(shop, "requeue", retry_ids=[newer["id"]], **DONE) == (0, skipped)
    row = older["id"]
    doubt = (
        "in_doubt_since = smsretry.clock(), attempt_id = gen_random_uuid(), "
        "held_since = smsretry.clock(), why = 'Two'"
    )
    became(shop, row, doubt)
    skipped = {"It may have gone out, and the provider's log is being checked": 1}
    assert order(shop, "cancel", retry_ids=[row], **DONE) == (0, skipped)
    assert order(shop, "look", retry_ids=[row], **DONE) == (1, {})
    assert shop.row(row)["held_since"] is not None


NOBODYS: Final = "+12125550177"
OWN: Final = {"sent_by": "MG" + "7" * 32, "account": "AC" + "7" * 32}


def test_each_order_keeps_who_gave_it_and_why(
    shop: Shop,
    desk: Desk,
    operators: SupabaseOperators,
    failed: UUID,
    doubtful: UUID,
) -> None:
    """As its form says: also of what is lifted again, and of a number that no customer has."""
    business, customer = str(shop.id), str(shop.row(failed)["customer_id"])
    row = shop.due_text(due=LATER)
    became(shop, row, "why_code = 'unreachable'")
    waiting = {"retry_ids": [str(row)]}
    now = shop.now().isoformat()
    orders: list[tuple[type[Form], dict[str, Any]]] = [
        (Resolve, {"retry_id": str(doubtful), "went_out_as": "nothing"}),
        (Requeue, {"retry_ids": [str(failed)]}),
        (LookAgain, waiting),
        (Cancel, waiting),
        *(
            (RecordConsent, {"customer_id": who, "consent": said, "source": "call"})
            for who, said in (
                (customer, "opted_out"), (customer, "opted_in"), (NOBODYS, "opted_out")
            )
        ),
        *(
            (StopTexts, {**stopped, "lift": lift})
            for stopped in ({"state": "LA"}, {"business_id": business})
            for lift in (False, True)
        ),
        *((MarkDatabase, {"kind": kind}) for kind in ("staging", "production", "none")),
        (AddSender, {"business_id": business, **OWN}),
        (ChangeSender, {"sender": OWN["sent_by"], "paused": "yes"}),
        (RemoveSender, {"business_id": business}),
        (ImportOptOuts, {"business_id": business}),
        (ReportRestore, {"backup_of": now}),
    ]  # fmt: skip
    for number, (kind, values) in enumerate(orders):
        because = f"Reason {number}."
        signed: dict[str, Any] = {"who": "Ann", "because": because}
        if issubclass(kind, Order):
            signed["dry_run"] = False
        form = kind.model_validate({**values, **signed}, context="terminal")
        if kind is ImportOptOuts:
            lines = [{"phone": NOBODYS, "at": now}]
            operators.carry_out(form, opt_outs=lines)
        else:
            desk.answer(form)
        kept = "select who from smsretry.events where detail ->> 'because' like %s"
        assert {row["who"] for row in shop.sql(kept, f"%{because}")} == {"Ann"}, form
    assert {kind for kind, _ in orders} == _orders(Signed) | _orders(Order)


def _orders(base: type[Form]) -> set[type[Form]]:
    """The forms that are made of a base."""
    kinds = base.__subclasses__()
    return {base} if not kinds else set().union(*map(_orders, kinds))
