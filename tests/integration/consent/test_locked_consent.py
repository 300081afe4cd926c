"""A STOP, a START or a telephone call while somebody's transaction holds rows locked: it holds, and delays nobody else.

A long import, a campaign or a report of one business had cost every business the STOP.
"""

from datetime import timedelta
from typing import Any, Final

import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.desk.actions.requests import WhichText
from smsretry.local.stack import Stack
from tests.conftest import Business
from tests.integration.hearing import another, consents, consents_of, hear, hear_in_full
from tests.support.builders import PHONE, run
from tests.support.orders import record_consent

STOP, START = "SM" + "a" * 32, "SM" + "b" * 32
MINUTE: Final = timedelta(minutes=1)


def answered(answer: str, *, customers: int = 0, cancelled: int = 0, unmarked: int = 0) -> dict[str, Any]:
    """The whole answer as it should be."""
    return {"answer": answer, "customers": customers, "cancelled": cancelled, "unmarked": unmarked}


HELD: Final = {
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
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, held: str
) -> None:
    """The number is opted out everywhere at once. Who could not be marked is marked by the same message again."""
    others = [another(business) for _ in range(2)]
    rows = [shop.due_text() for shop in (business, *others)]
    refuses, unmarked = "trigger" in held, int("customers of" in held or "trigger" in held)
    if refuses:
        business.connection.execute(
            f"""create function forbid() returns trigger language plpgsql as $$ begin
                    if new.business_id = '{business.id}' then raise 'not this one'; end if; return new; end $$;
                create trigger forbid before update on customers for each row execute function forbid()""".encode()
        )
    with stack.connect() as importing, importing.transaction(force_rollback=True):
        if not refuses:
            importing.execute(HELD[held].encode(), [business.id])
        business.connection.execute("set statement_timeout = '3s'")
        told = hear_in_full(business, "STOP", sid=STOP)
        business.connection.execute("reset statement_timeout")
    business.connection.execute("drop function if exists forbid cascade")
    cancelled = 2 if held == "send logs" else 3
    assert told == answered("opted_out", customers=3 - unmarked, cancelled=cancelled, unmarked=unmarked)
    assert [consents_of(shop) for shop in others] == [[("opted_out", "inbound_stop")]] * 2
    assert consents_of(business) == [("opted_in", None) if unmarked else ("opted_out", "inbound_stop")]
    run(queue, sender)
    assert [business.row(row)["status"] for row in rows] == ["cancelled"] * 3
    row = business.due_text()
    assert run(queue, sender) == ["Cancelled"]
    assert business.row(row)["last_error"].startswith("Customer opted out (the number did")
    business.connection.execute("delete from customers where id = %s", [business.row(row)["customer_id"]])
    stack.move_clock(MINUTE)
    assert hear_in_full(business, "STOP", sid=STOP) == answered("already_recorded", customers=3)
    assert consents_of(business) == [("opted_out", "inbound_stop")]
    assert hear_in_full(business, "START", sid=START) == answered("opted_in", customers=3)


@pytest.mark.parametrize("then", ["START", "a form", "the application"])
def test_a_stop_that_is_said_again_undoes_nothing_that_was_said_since(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, operators: SupabaseOperators,
    then: str,
) -> None:  # fmt: skip
    """Though the customer could not be marked when it was heard."""
    business.due_text()
    with stack.connect() as importing, importing.transaction():
        importing.execute("select from customers for update")
        assert hear_in_full(business, "STOP", sid=STOP)["unmarked"] == 1
    stack.move_clock(MINUTE)
    if then == "START":
        assert hear(business, "START") == ("opted_in", 0, 0)
    elif then == "a form":
        record_consent(operators, PHONE, consent="opted_in", source="form", business_id=business.id)
    else:
        business.connection.execute("update customers set sms_consent_at = %s", [stack.now()])
    before = consents(business)
    assert hear_in_full(business, "STOP", sid=STOP) == answered("already_recorded")
    assert (consents(business), before[0][0]) == (before, "opted_in")
    business.due_text()
    assert run(queue, sender) == ["Sent"]


def test_a_start_that_met_a_locked_customer_is_completed_by_the_same_message_unless_a_stop_came_since(
    stack: Stack, business: Business
) -> None:
    """Until then nobody is texted."""
    other = another(business)
    business.customer()
    other.customer()
    hear(business, "STOP")
    for stop_again in (False, True):
        sid = "SM" + ("d" if stop_again else "c") * 32
        stack.move_clock(MINUTE)
        with stack.connect() as importing, importing.transaction():
            importing.execute("select from customers where business_id = %s for update", [business.id])
            assert hear_in_full(business, "START", sid=sid) == answered("opted_in", customers=1, unmarked=1)
        assert (consents_of(business)[0][0], consents_of(other)[0][0]) == ("opted_out", "opted_in")
        stack.move_clock(MINUTE)
        if stop_again:
            hear(business, "STOP")
        said = answered("already_recorded", customers=0 if stop_again else 1)
        assert hear_in_full(business, "START", sid=sid) == said
        assert consents_of(business)[0][0] == ("opted_out" if stop_again else "opted_in")
        hear(business, "STOP")


def test_an_opt_out_by_telephone_of_a_locked_customer_holds_and_is_completed_when_it_is_said_again(
    stack: Stack, business: Business, operators: SupabaseOperators
) -> None:
    """A STOP in between does not make it one that a START lifts."""
    row = business.due_text()
    with stack.connect() as importing, importing.transaction():
        importing.execute("select from customers for update")
        said = record_consent(operators, PHONE, consent="opted_out", source="telephone", business_id=None)
    assert (said.customers, said.cancelled, said.unmarked) == (0, 1, 1)
    assert business.row(row)["status"] == "cancelled"
    [told] = operators.explain(WhichText(retry_id=row))
    assert told.opted_out_since is not None
    stack.move_clock(MINUTE)
    hear(business, "STOP")
    assert consents(business) == [("opted_out", "telephone")]
    stack.move_clock(MINUTE)
    assert hear(business, "START") == ("opted_in", 0, 0)
    said = record_consent(operators, PHONE, consent="opted_out", source="telephone", business_id=None)
    assert (said.customers, said.unmarked) == (1, 0)


def test_a_start_beside_an_opt_out_that_is_being_written_does_not_lift_it(stack: Stack, business: Business) -> None:
    """It had looked before, and would write over it."""
    business.customer()
    hear(business, "STOP")
    stack.move_clock(MINUTE)
    with stack.connect() as writing, writing.transaction():
        writing.execute("update customers set sms_consent_source = 'telephone'")
        assert hear_in_full(business, "START", sid=START) == answered("opted_in", unmarked=1)
    assert hear(business, "START", sid=START) == ("already_recorded", 0, 0)
    assert consents(business) == [("opted_out", "telephone")]
