"""A STOP, a START or a telephone call while somebody's transaction holds rows locked: it holds, and delays nobody else.

A long import, a campaign or a report of one business had cost every business the STOP.
"""

from datetime import timedelta
from typing import Any

import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.desk.actions.requests import WhichText
from smsretry.local.stack import Stack
from tests.conftest import Business
from tests.integration.hearing import another, consents, consents_of, hear, hear_in_full
from tests.support.builders import PHONE, run

STOP, START = "SM" + "a" * 32, "SM" + "b" * 32


def answered(answer: str, *, customers: int = 0, cancelled: int = 0, unmarked: int = 0) -> dict[str, Any]:
    """The whole answer as it should be."""
    return {"answer": answer, "customers": customers, "cancelled": cancelled, "unmarked": unmarked}


def test_a_customer_whom_one_business_holds_locked_costs_no_other_business_the_stop(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """A long import had held one row; then the statement's time was over, and the STOP was lost everywhere."""
    others = [another(business) for _ in range(2)]
    rows = [shop.due_text() for shop in (business, *others)]
    with stack.connect() as importing, importing.transaction():
        importing.execute("select from customers where business_id = %s for update", [business.id])
        business.connection.execute("set statement_timeout = '3s'")
        assert hear_in_full(business, "STOP", sid=STOP) == answered("opted_out", customers=2, cancelled=3, unmarked=1)
        business.connection.execute("reset statement_timeout")
    assert [consents_of(shop) for shop in others] == [[("opted_out", "inbound_stop")]] * 2
    assert consents_of(business) == [("opted_in", None)]
    assert business.row(rows[0])["status"] == "cancelled"
    row = business.due_text()
    assert run(queue, sender) == ["Cancelled"]
    assert business.row(row)["last_error"].startswith("Customer opted out (the number did")
    business.connection.execute("delete from customers where id = %s", [business.row(row)["customer_id"]])
    stack.move_clock(timedelta(minutes=1))
    assert hear_in_full(business, "STOP", sid=STOP) == answered("already_recorded", customers=1)
    assert consents_of(business) == [("opted_out", "inbound_stop")]
    assert hear_in_full(business, "STOP", sid=STOP) == answered("already_recorded")
    assert hear_in_full(business, "START", sid=START) == answered("opted_in", customers=3)


@pytest.mark.parametrize("then", ["START", "a form", "the application"])
def test_a_stop_that_is_said_again_undoes_nothing_that_was_said_since(
    stack: Stack,
    business: Business,
    queue: SupabaseQueue,
    sender: TwilioSender,
    operators: SupabaseOperators,
    then: str,
) -> None:
    """Though the customer could not be marked when it was heard."""
    business.due_text()
    with stack.connect() as importing, importing.transaction():
        importing.execute("select from customers for update")
        assert hear_in_full(business, "STOP", sid=STOP)["unmarked"] == 1
    stack.move_clock(timedelta(minutes=1))
    if then == "START":
        assert hear(business, "START") == ("opted_in", 0, 0)
    elif then == "a form":
        operators.record_consent(PHONE, consent="opted_in", source="form", business_id=business.id)
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
        stack.move_clock(timedelta(minutes=1))
        with stack.connect() as importing, importing.transaction():
            importing.execute("select from customers where business_id = %s for update", [business.id])
            assert hear_in_full(business, "START", sid=sid) == answered("opted_in", customers=1, unmarked=1)
        assert (consents_of(business)[0][0], consents_of(other)[0][0]) == ("opted_out", "opted_in")
        stack.move_clock(timedelta(minutes=1))
        if stop_again:
            hear(business, "STOP")
        said = answered("already_recorded", customers=0 if stop_again else 1)
        assert hear_in_full(business, "START", sid=sid) == said
        assert consents_of(business)[0][0] == ("opted_out" if stop_again else "opted_in")
        hear(business, "STOP")


def test_an_opt_out_by_telephone_of_a_locked_customer_holds_and_is_completed_when_it_is_said_again(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, operators: SupabaseOperators
) -> None:
    """A STOP in between does not make it one that a START lifts."""
    row = business.due_text()
    with stack.connect() as importing, importing.transaction():
        importing.execute("select from customers for update")
        said = operators.record_consent(PHONE, consent="opted_out", source="telephone", business_id=None)
    assert (said.customers, said.cancelled, said.unmarked) == (0, 1, 1)
    assert business.row(row)["status"] == "cancelled"
    [told] = operators.explain(WhichText(retry_id=row))
    assert told.opted_out_since is not None
    stack.move_clock(timedelta(minutes=1))
    hear(business, "STOP")
    assert consents(business) == [("opted_out", "telephone")]
    stack.move_clock(timedelta(minutes=1))
    assert hear(business, "START") == ("opted_in", 0, 0)
    said = operators.record_consent(PHONE, consent="opted_out", source="telephone", business_id=None)
    assert (said.customers, said.unmarked) == (1, 0)


def test_a_suppression_that_an_import_is_writing_delays_no_stop(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """The import is rolled back, and the row is deleted: the STOP still holds."""
    other = another(business)
    for shop in (business, other):
        shop.customer()
    with stack.connect() as importing, importing.transaction(force_rollback=True):
        importing.execute(
            "insert into customers (business_id, phone, sms_consent_status) values (%s, %s, 'opted_out')",
            [business.id, PHONE],
        )
        assert hear_in_full(business, "STOP", sid=STOP) == answered("opted_out", customers=2)
    assert consents(business) == [("opted_out", "inbound_stop")] * 2
    business.connection.execute("delete from customers")
    business.due_text()
    assert run(queue, sender) == ["Cancelled"]


def test_a_business_whose_rules_refuse_an_opt_out_costs_no_other_the_stop(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """A trigger of the application's refuses one row; the number is opted out there all the same."""
    other = another(business)
    texts = [shop.due_text() for shop in (business, other)]
    business.connection.execute(
        f"""create function forbid() returns trigger language plpgsql as $$ begin
                if new.business_id = '{business.id}' then raise 'not this one'; end if; return new; end $$;
            create trigger forbid before update on customers for each row execute function forbid()""".encode()
    )
    try:
        said = hear_in_full(business, "STOP", sid=STOP)
    finally:
        business.connection.execute("drop function forbid cascade")
    assert said == answered("opted_out", customers=1, cancelled=2, unmarked=1)
    assert [business.row(text)["status"] for text in texts] == ["cancelled"] * 2
    business.due_text()
    assert run(queue, sender) == ["Cancelled"]


def test_a_send_log_that_somebody_holds_locked_keeps_no_customer_from_being_marked(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Its text is refused when its turn comes."""
    row = business.due_text()
    with stack.connect() as importing, importing.transaction():
        importing.execute("select from send_logs for update")
        assert hear_in_full(business, "STOP", sid=STOP) == answered("opted_out", customers=1)
    assert consents(business) == [("opted_out", "inbound_stop")]
    assert run(queue, sender) == ["Cancelled"]
    assert business.row(row)["last_error"] == "Customer opted out"


def test_texts_that_are_being_written_for_a_customer_do_not_delay_a_stop(stack: Stack, business: Business) -> None:
    """A foreign key of the application's locks the customer's key for as long as a campaign is written, and no more."""
    business.customer()
    with stack.connect() as campaign, campaign.transaction():
        campaign.execute("select from customers for key share")
        assert hear_in_full(business, "STOP", sid=STOP) == answered("opted_out", customers=1)


def test_a_business_that_holds_its_own_row_locked_delays_no_stop(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """So that two imports of it do not run at once. A suppression points to that row."""
    business.customer()
    with stack.connect() as importing, importing.transaction():
        importing.execute("select from businesses for update")
        assert hear_in_full(business, "STOP", sid=STOP) == answered("opted_out", customers=1)
    business.connection.execute("delete from customers")
    business.due_text()
    assert run(queue, sender) == ["Cancelled"]
    stack.move_clock(timedelta(minutes=1))
    hear(business, "START")
    business.due_text()
    assert run(queue, sender) == ["Sent"]
