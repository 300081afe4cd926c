"""What is kept of a word, for how long, and at what price. Who may be texted then: test_consent_in_any_order.py."""

from datetime import timedelta
from typing import Any, Final

import psycopg
import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.desk.actions.requests import Prune
from smsretry.local.stack import Stack
from tests.conftest import Business
from tests.integration.hearing import consents, hear, is_out
from tests.support.builders import PHONE, results_of, run, run_over

MIAMI: Final = "+13055550123"
MINUTE: Final = timedelta(minutes=1)


def value(business: Business, query: str, *values: object) -> Any:
    """The one value of a query."""
    found = business.connection.execute(query.encode(), values).fetchone()
    assert found is not None
    return next(iter(found.values()))


def test_a_bulk_write_of_the_application_costs_no_transaction_ids_of_its_rows(business: Business) -> None:
    """An exception block in a trigger would cost each of the 2,000 one. Autovacuum may use some meanwhile."""
    business.connection.execute(
        """insert into customers (business_id, phone, sms_consent_status)
           select %s, '+1212555' || lpad(n::text, 4, '0'), 'opted_in' from generate_series(1, 2000) n""",
        [business.id],
    )
    used = []
    for change in (
        "sms_consent_status = 'opted_out'",
        "sms_consent_status = 'opted_in', sms_consent_at = smsretry.clock()",
    ):
        before = value(business, "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint as next")
        business.connection.execute(f"update customers set {change}".encode())
        used.append(value(business, "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint as next") - before)
    assert max(used) < 100
    assert value(business, "select count(*) from smsretry.standing_opt_outs") == 0


def test_a_row_that_cannot_be_kept_refuses_the_write_and_nothing_says_opted_out(business: Business) -> None:
    """Nobody takes an opt-out for recorded that is not: the statement fails, and says why."""
    customer = business.customer()
    with business.connection.transaction(force_rollback=True):
        business.connection.execute("alter table smsretry.consents rename to consents_before")
        with pytest.raises(psycopg.Error), business.connection.transaction():
            business.connection.execute(
                "update customers set sms_consent_status = 'opted_out' where id = %s", [customer]
            )
    assert consents(business) == [("opted_in", None)]


@pytest.mark.parametrize("said", ["STOP", "STOP and START"])
def test_a_number_that_says_stop_three_thousand_times_makes_no_begin_dear(
    stack: Stack, business: Business, said: str
) -> None:
    """Anybody with a phone can do that: a begin had read 288,096 pages."""
    business.connection.execute(
        """insert into smsretry.consents (number_key, business_id, said, source, at, dated)
           select smsretry.number_key(%s, %s), %s, case when n %% 2 = 1 or %s then 'opted_out' else 'opted_in' end,
                  case when n %% 2 = 1 or %s then 'inbound_stop' else 'inbound_start' end, smsretry.clock(),
                  case when n %% 2 = 1 or %s then smsretry.clock() end
           from generate_series(1, 6000) n""",
        [business.id, PHONE, business.id, said == "STOP", said == "STOP", said == "STOP"],
    )
    business.connection.execute("set random_page_cost = 0.1")  # as our functions plan
    [plan] = business.connection.execute(
        """explain (analyze, buffers, format json)
           select from smsretry.standing_opt_outs where number_key = smsretry.number_key(%s, %s) limit 1""",
        [business.id, PHONE],
    ).fetchall()
    [top] = plan["QUERY PLAN"]
    read = top["Plan"]["Shared Hit Blocks"] + top["Plan"]["Shared Read Blocks"]
    assert is_out(business) is (said == "STOP")
    assert read < 12_000


def test_a_start_that_takes_back_nothing_is_not_kept(stack: Stack, business: Business) -> None:
    """Nor is an opt-in that lifts nothing: an import of all customers would fill the table every night."""
    business.customer()
    hear(business, "START")
    business.connection.execute("update customers set sms_consent_at = smsretry.clock(), sms_consent_source = 'web'")
    assert value(business, "select count(*) from smsretry.consents") == 0


def test_pruning_never_brings_an_opt_out_back(stack: Stack, business: Business, operators: SupabaseOperators) -> None:
    """What lifted it goes after it."""
    business.customer()
    hear(business, "STOP")
    stack.move_clock(MINUTE)
    hear(business, "START")
    stack.move_clock(timedelta(days=30))
    for left in (1, 0):
        operators.carry_out(Prune(keep_days=7))
        assert not is_out(business)
        assert value(business, "select count(*) from smsretry.consents") <= 2 * left
    assert value(business, "select count(*) from smsretry.consents") == 0


def test_pruning_keeps_each_opt_out_that_stands_with_the_dates_that_could_lift_it(
    stack: Stack, business: Business, operators: SupabaseOperators
) -> None:
    """For good. An application that dates all customers ahead every night fills the table with no others."""
    for phone in (PHONE, MIAMI):
        business.customer(phone=phone)
    business.connection.execute("update customers set sms_consent_at = %s", [stack.now() + timedelta(hours=5)])
    hear(business, "STOP")
    stack.move_clock(timedelta(days=3650))
    operators.carry_out(Prune(keep_days=7))
    assert is_out(business)
    assert value(business, "select count(*) from smsretry.consents where said = 'seen'") == 1


@pytest.mark.parametrize(("source", "lifted"), [("inbound_stop", True), ("letter", False)])
def test_a_start_that_the_application_hears_itself_lifts_what_a_start_may(
    stack: Stack, business: Business, source: str, lifted: bool
) -> None:
    """Of a customer who opted out, was deleted, and is there again."""
    business.customer()
    business.connection.execute(
        "update customers set sms_consent_status = 'opted_out', sms_consent_source = %s", [source]
    )
    business.connection.execute("delete from customers")
    stack.move_clock(MINUTE)
    business.customer(consent="unknown")
    business.connection.execute(
        """update customers set sms_consent_status = 'opted_in', sms_consent_at = %s,
                                sms_consent_source = 'inbound_start'""",
        [stack.now()],
    )
    assert is_out(business) is not lifted


def test_deleting_and_importing_a_customer_does_not_reset_the_daily_cap(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Florida allows three texts a day."""
    for _ in range(2):
        for _ in range(3):
            business.due_text(phone=MIAMI)
        fates = [result.fate for result in results_of(run_over(queue, sender))]
        business.connection.execute("delete from customers")
    assert fates == ["Deferred"] * 3
    assert len(stack.twilio.ledger.entries()) == 3


def test_an_opt_out_that_was_written_while_triggers_were_off_outlives_its_row(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """A restore, or an import with session_replication_role: it is kept when the row goes."""
    customer = business.customer()
    business.connection.execute("set session_replication_role = replica")
    business.connection.execute("update customers set sms_consent_status = 'opted_out' where id = %s", [customer])
    business.connection.execute("set session_replication_role = origin")
    assert not is_out(business)
    business.connection.execute("delete from customers")
    business.due_text()
    assert run(queue, sender) == ["Cancelled"]
