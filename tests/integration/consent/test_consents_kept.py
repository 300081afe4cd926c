"""What the table of consents must not fall into: each of these was a fault of an earlier shape of it."""

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
from tests.integration.hearing import consents, hear
from tests.support.builders import ACCOUNT, PHONE, SENDER, run

MINUTE: Final = timedelta(minutes=1)


def value(business: Business, query: str, *values: object) -> Any:
    """The one value of a query."""
    found = business.connection.execute(query.encode(), values).fetchone()
    assert found is not None
    return next(iter(found.values()))


def stands(business: Business) -> bool:
    """Whether an opt-out of the number stands at the business."""
    return bool(
        value(
            business,
            "select exists (select from smsretry.standing_opt_outs where number_key = smsretry.number_key(%s, %s))",
            business.id,
            PHONE,
        )
    )


def test_a_bulk_write_of_the_application_costs_one_transaction_id(business: Business) -> None:
    """Each row's had cost three, because its triggers had exception blocks."""
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
    assert used == [1, 1]
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
    assert stands(business) is (said == "STOP")
    assert read < 12_000


def test_a_start_that_takes_back_nothing_is_not_kept(stack: Stack, business: Business) -> None:
    """Nor is an opt-in that lifts nothing: an import of all customers would fill the table every night."""
    business.customer()
    hear(business, "START")
    business.connection.execute("update customers set sms_consent_at = smsretry.clock(), sms_consent_source = 'web'")
    assert value(business, "select count(*) from smsretry.consents") == 0


def test_a_person_s_opt_in_follows_a_stop_though_the_clock_was_set_back(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, operators: SupabaseOperators
) -> None:
    """What was said later counts by its place, and not by the clock."""
    business.customer()
    hear(business, "STOP")
    stack.move_clock(-timedelta(hours=2))
    operators.record_consent(PHONE, consent="opted_in", source="form", business_id=business.id)
    assert not stands(business)
    stack.move_clock(timedelta(hours=2))
    business.due_text()
    assert run(queue, sender) == ["Sent"]


def test_pruning_never_brings_an_opt_out_back(stack: Stack, business: Business, operators: SupabaseOperators) -> None:
    """What lifted it goes after it."""
    business.customer()
    hear(business, "STOP")
    stack.move_clock(MINUTE)
    hear(business, "START")
    stack.move_clock(timedelta(days=30))
    for left in (1, 0):
        operators.prune(Prune(keep_days=7))
        assert not stands(business)
        assert value(business, "select count(*) from smsretry.consents") <= 2 * left
    assert value(business, "select count(*) from smsretry.consents") == 0


def test_pruning_keeps_each_opt_out_that_stands(stack: Stack, business: Business, operators: SupabaseOperators) -> None:
    """For good, with the dates that could lift it."""
    business.customer()
    hear(business, "STOP")
    stack.move_clock(timedelta(days=3650))
    operators.prune(Prune(keep_days=7))
    assert stands(business)


def test_a_start_of_an_unknown_sender_matches_none_and_not_an_empty_list(stack: Stack, business: Business) -> None:
    """While no business has a sender of its own it is everybody's, and takes back the STOP."""
    business.customer()
    hear(business, "STOP")
    hear(business, "START")
    kept = business.connection.execute("select senders from smsretry.consents order by id").fetchall()
    assert {row["senders"] for row in kept} == {None}
    assert not stands(business)


@pytest.mark.parametrize("order", ["opted out first", "opted in first"])
def test_in_one_statement_the_dates_decide(stack: Stack, business: Business, order: str) -> None:
    """An import of one number twice: the rows have no other order."""
    rows = [("opted_out", 60), ("opted_in", 5)]
    for rows_of_one in (rows, [("opted_out", 5), ("opted_in", 60)]):
        given = rows_of_one if order == "opted out first" else rows_of_one[::-1]
        business.connection.execute("delete from customers")
        business.connection.execute("delete from smsretry.consents")
        business.connection.execute(
            f"""insert into customers (business_id, phone, sms_consent_status, sms_consent_at)
                values {", ".join(["(%s, %s, %s, smsretry.clock() - make_interval(mins => %s))"] * 2)}""".encode(),
            [value for status, minutes in given for value in (business.id, PHONE, status, minutes)],
        )
        assert stands(business) is (rows_of_one is not rows)


def test_an_opt_out_that_was_written_while_triggers_were_off_outlives_its_row(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """A restore, or an import with session_replication_role: it is kept when the row goes."""
    customer = business.customer()
    business.connection.execute("set session_replication_role = replica")
    business.connection.execute("update customers set sms_consent_status = 'opted_out' where id = %s", [customer])
    business.connection.execute("set session_replication_role = origin")
    assert not stands(business)
    business.connection.execute("delete from customers")
    business.due_text()
    assert run(queue, sender) == ["Cancelled"]


def test_two_customers_who_share_a_number_each_get_their_own_consent_back(stack: Stack, business: Business) -> None:
    """One had said yes, and one had never been asked."""
    business.customer()
    business.customer(consent="unknown")
    assert hear(business, "STOP")[1] == 2
    stack.move_clock(MINUTE)
    assert hear(business, "START") == ("opted_in", 1, 0)
    assert consents(business) == [("opted_in", "inbound_start"), ("unknown", "inbound_start")]


def test_what_is_written_to_a_partition_is_heard(stack: Stack, business: Business) -> None:
    """A row trigger of the parent is the partition's, too."""
    with business.connection.transaction(force_rollback=True):
        business.connection.execute(
            """create table public.parted (like public.customers including defaults) partition by list (business_id);
               create table public.part_of_all partition of public.parted default;
               create trigger keeps after insert or delete or update of sms_consent_status on public.parted
                   for each row execute function smsretry.keep_consent()"""
        )
        business.connection.execute(
            "insert into public.part_of_all (business_id, phone, sms_consent_status) values (%s, %s, 'opted_out')",
            [business.id, PHONE],
        )
        assert stands(business)


def test_a_stop_to_a_known_sender_keeps_who_heard_it(stack: Stack, business: Business) -> None:
    """Another sender's START takes none of it back."""
    business.customer()
    business.connection.execute(
        """with sender as (insert into smsretry.senders (account, sent_by) values (%s, %s) returning id)
           insert into smsretry.business_senders (business_id, sender_id) select %s, id from sender""",
        [ACCOUNT, SENDER, business.id],
    )
    hear(business, "STOP", service=SENDER, account=ACCOUNT)
    assert value(business, "select senders from smsretry.standing_opt_outs") == [SENDER]
