"""A STOP, a START or a telephone call while somebody's transaction holds rows locked: it holds, and delays nobody else.

A long import, a campaign or a report of one business had cost every business the STOP.
"""

from typing import Any

import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.desk.actions.requests import ExplainText
from tests.integration.hearing import consents, consents_of, hear, hear_in_full
from tests.support.shop import Shop

STOP, START = "SM" + "a" * 32, "SM" + "b" * 32


def record_answer(
    answer: str, *, customers: int = 0, cancelled: int = 0, unmarked: int = 0
) -> dict[str, Any]:
    """The whole answer as it should be."""
    return {
        "answer": answer,
        "customers": customers,
        "cancelled": cancelled,
        "unmarked": unmarked,
    }


HELD = {
    "customers of one business, by an import": "select from customers where business_id = %s for update",
    "customers, by a trigger that refuses their change": "",
    "send logs": "select from send_logs where business_id = %s for update",
    "the business, so that two imports do not run at once": "select from businesses where id = %s for update",
    "customers' keys, by texts that are being written": "select from customers where business_id = %s for key share",
    "a customer who is being inserted": """insert into customers (business_id, phone, sms_consent_status)
                                           values (%s, '+12125550123', 'opted_out')""",
}


@pytest.mark.parametrize("held", HELD)
def test_what_one_business_holds_or_refuses_costs_no_stop(
    shop: Shop, held: str
) -> None:
    """The number is opted out everywhere at once. Who could not be marked is marked by the next run."""
    neighbors = [shop.neighbor() for _ in range(2)]
    rows = [one.due_text() for one in (shop, *neighbors)]
    refuses = "trigger" in held
    unmarked = int("customers of" in held or refuses or held == "send logs")
    if refuses:
        shop.sql(
            f"""create function forbid() returns trigger language plpgsql as $$ begin
                    if new.business_id = '{shop.id}' then raise 'not this one'; end if; return new; end $$;
                create trigger forbid before update on customers for each row execute function forbid()"""
        )
    with shop.stack.connect() as importing, importing.transaction(force_rollback=True):
        if not refuses:
            importing.execute(HELD[held].encode(), [shop.id])
        shop.sql("set statement_timeout = '3s'")
        reply = hear_in_full(shop, "STOP", sid=STOP)
        shop.sql("reset statement_timeout")
    shop.sql("drop function if exists forbid cascade")
    assert reply == record_answer(
        "opted_out", customers=3 - unmarked, cancelled=3 - unmarked, unmarked=unmarked
    )
    assert [consents_of(one) for one in neighbors] == [
        [("opted_out", "inbound_stop")]
    ] * 2
    assert consents_of(shop) == [
        ("opted_in", None) if unmarked else ("opted_out", "inbound_stop")
    ]
    shop.run()
    assert shop.ends(*rows) == "cancelled cancelled cancelled"
    assert consents_of(shop) == [("opted_out", "inbound_stop")]
    row = shop.due_text()
    assert shop.run() == ["Cancelled"]
    assert shop.row(row)["last_error"].startswith("Customer opted out (it is on record")
    shop.sql("delete from customers where id = %s", shop.row(row)["customer_id"])
    shop.later(minutes=1)
    assert hear_in_full(shop, "STOP", sid=STOP) == record_answer("already_recorded")
    assert hear_in_full(shop, "START", sid=START) == record_answer(
        "opted_in", customers=3
    )


@pytest.mark.parametrize("then", ["START", "a form", "the application"])
def test_a_run_that_marks_who_could_not_be_marked_undoes_nothing_that_was_said_since(
    shop: Shop, then: str
) -> None:
    """The later word wins, and the row says so."""
    shop.due_text()
    with shop.locked("customers"):
        assert hear_in_full(shop, "STOP", sid=STOP)["unmarked"] == 1
    shop.later(minutes=1)
    if then == "START":
        assert hear(shop, "START") == ("opted_in", 0, 0)
    elif then == "a form":
        shop.record_consent("opted_in", "form")
    else:
        shop.sql("update customers set sms_consent_at = %s", shop.now())
    before = consents(shop)
    assert shop.run() == ["Sent"]
    assert (consents(shop), before[0][0]) == (before, "opted_in")
    shop.due_text()
    assert shop.run() == ["Sent"]


def test_a_start_that_met_a_locked_customer_is_completed_by_a_run_unless_a_stop_came_since(
    shop: Shop,
) -> None:
    """Until then nobody is texted."""
    neighbor = shop.neighbor()
    shop.customer()
    neighbor.customer()
    for stop_again in (False, True):
        sid = "SM" + ("d" if stop_again else "c") * 32
        hear(shop, "STOP")
        shop.later(minutes=1)
        with shop.locked("customers where business_id = %s", shop.id):
            assert hear_in_full(shop, "START", sid=sid) == record_answer(
                "opted_in", customers=1, unmarked=1
            )
        assert (consents_of(shop)[0][0], consents_of(neighbor)[0][0]) == (
            "opted_out",
            "opted_in",
        )
        shop.later(minutes=1)
        if stop_again:
            hear(shop, "STOP")
        shop.run()
        assert consents_of(shop)[0][0] == ("opted_out" if stop_again else "opted_in")
        assert shop.value("select count(distinct sms_consent_at) from customers") == (
            2 if stop_again else 1
        )


def test_an_opt_out_by_telephone_of_a_locked_customer_holds_and_no_stop_or_start_makes_it_less(
    shop: Shop, operators: SupabaseOperators
) -> None:
    """A run marks it. A START beside one that is being written does not lift it either."""
    row = shop.due_text()
    with shop.locked("customers"):
        answer = shop.record_consent("opted_out", everywhere=True)
    assert (answer.customers, answer.cancelled, answer.unmarked) == (0, 0, 1)
    [text] = operators.texts(ExplainText(id=row))
    assert text.opted_out_since is not None
    shop.later(minutes=1)
    hear(shop, "STOP")
    assert consents(shop) == [("opted_out", "telephone")]
    assert shop.status_of(row) == "cancelled"
    shop.later(minutes=1)
    assert hear(shop, "START") == ("opted_in", 0, 0)
    shop.run()
    assert consents(shop) == [("opted_out", "telephone")]

    shop.record_consent("opted_in", "form")
    hear(shop, "STOP")
    shop.later(minutes=1)
    with shop.stack.connect() as writing, writing.transaction():
        writing.execute("update customers set sms_consent_source = 'telephone'")
        assert hear_in_full(shop, "START", sid=START) == record_answer(
            "opted_in", unmarked=1
        )
    shop.run()
    assert consents(shop) == [("opted_out", "telephone")]
