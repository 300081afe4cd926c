"""A word is kept before anything else happens, and nothing that follows takes it back: a timeout, a trigger, a crowd.

The API gives up a statement after a second here, and after eight at Supabase.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.integration.hearing import consents_of, is_out
from tests.support.builders import PHONE, finish, give_up, refused
from tests.support.impatience import impatient
from tests.support.shop import Shop

SLOW = "perform pg_sleep(3); return new"
RAISES = "raise exception 'not this one'"
Connection = psycopg.Connection[Any]
Say = Callable[[Connection, Shop], None]


@contextmanager
def trigger(shop: Shop, body: str) -> Iterator[None]:
    """The application's own, on each change of a customer of this business."""
    statement = f"""
        create function app_rule() returns trigger language plpgsql as $$ begin {body}; end $$;
        create trigger app_rule before update on customers for each row
        when (new.business_id = '{shop.id}') execute function app_rule()"""
    with shop.changed(statement, "drop function if exists app_rule cascade"):
        yield


@contextmanager
def api(shop: Shop, *, seconds: float = 1) -> Iterator[Connection]:
    """A connection that gives up a statement as the API's does."""
    with shop.stack.connect() as connection:
        connection.execute(f"set statement_timeout = '{seconds}s'".encode())
        yield connection


def by_stop(api: Connection, _: Shop) -> None:
    api.execute("select record_inbound_sms(%s, %s, 'STOP')", [PHONE, "SM" + "1" * 32])


def by_order(api: Connection, _: Shop) -> None:
    api.execute("select record_sms_consent(%s, 'opted_out', 'letter')", [PHONE])


def by_import(api: Connection, _: Shop) -> None:
    api.execute(
        """select import_sms_opt_outs(
               jsonb_build_array(jsonb_build_object('phone', %s::text, 'at', '2026-11-01T10:00:00Z')),
               all_businesses => true, dry_run => false, who => 'Ann', because => 'Moved')""",
        [PHONE],
    )


@pytest.mark.parametrize("say", [by_stop, by_order, by_import])
@pytest.mark.parametrize("rule", [SLOW, RAISES])
def test_a_word_outlives_a_trigger_that_takes_longer_than_the_api_waits(
    shop: Shop, say: Say, rule: str
) -> None:
    """Nobody is texted at four businesses; the others' rows say so soon, and that one's when its trigger lets them."""
    neighbors = [shop.neighbor() for _ in range(3)]
    rows = [owner.due_text() for owner in (shop, *neighbors)]
    with trigger(shop, rule):
        with api(shop) as connection:
            say(connection, shop)
        assert all(is_out(owner) for owner in (shop, *neighbors))
        assert consents_of(shop) == [("opted_in", None)]
    for _ in range(2):
        shop.run()
        shop.later(minutes=1)
    assert {shop.status_of(row) for row in rows} == {"cancelled"}
    assert not shop.messages
    assert {consents_of(owner)[0][0] for owner in (shop, *neighbors)} == {"opted_out"}
    assert (
        shop.value("select count(*) from smsretry.consents where mark_at is not null")
        == 0
    )


def test_a_refusal_and_a_start_outlive_it_too(shop: Shop) -> None:
    """The row follows when the trigger is gone: as it was before the refusal."""
    shop.due_text()
    claim, attempt = shop.claim(), UUID(int=7)
    shop.begin(claim, attempt)
    with trigger(shop, SLOW), impatient(shop.stack):
        finish(
            shop.queue, claim, attempt, refused(21610),
            give_up("Twilio 21610", 21610, opted_out=True),
        )  # fmt: skip
        assert is_out(shop)
    shop.run()
    assert consents_of(shop) == [("opted_out", "twilio_21610")]
    shop.later(minutes=1)
    with trigger(shop, SLOW), api(shop) as connection:
        connection.execute(
            "select record_inbound_sms(%s, %s, 'START')", [PHONE, "SM" + "2" * 32]
        )
        assert not is_out(shop)
        assert consents_of(shop) == [("opted_out", "twilio_21610")]
    shop.run()
    assert consents_of(shop) == [("opted_in", "inbound_start")]


def test_a_yes_outlives_it_and_a_run_writes_it_down(shop: Shop) -> None:
    """It is a person's order, and holds for the number."""
    shop.customer(consent="opted_out")
    with trigger(shop, SLOW), api(shop) as connection:
        connection.execute(
            "select record_sms_consent(%s, 'opted_in', 'form', %s)", [PHONE, shop.id]
        )
    shop.run()
    assert consents_of(shop) == [("opted_in", "form")]
    assert not is_out(shop)


def test_a_word_outlives_a_timeout_between_two_customers(shop: Shop) -> None:
    """Where no rule of the application is at work."""
    shop.customer()
    ours = shop.value("select pg_get_functiondef('smsretry.mark_for'::regproc)")
    slow = ours.replace("begin", "begin perform pg_sleep(3);", 1)
    with shop.changed(slow, ours), api(shop) as connection:
        by_stop(connection, shop)
        assert is_out(shop)
    shop.run()
    assert consents_of(shop) == [("opted_out", "inbound_stop")]


def test_a_deferred_rule_of_the_application_takes_no_word_back(shop: Shop) -> None:
    """It speaks when the transaction ends, where nothing could be caught any more."""
    shop.customer()
    rule = """
        create function app_rule() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
        create constraint trigger app_rule after update on customers
        deferrable initially deferred for each row execute function app_rule()"""
    with shop.changed(rule, "drop function app_rule cascade"), api(shop) as connection:
        by_stop(connection, shop)
        assert is_out(shop)
    shop.run()
    assert consents_of(shop) == [("opted_out", "inbound_stop")]


CROWD = """
    insert into customers (business_id, phone, sms_consent_status)
    select %s, %s, 'opted_in' from generate_series(1, %s)"""


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.long)])
def test_a_crowd_with_one_number_costs_no_other_business_the_word(
    shop: Shop, count: int
) -> None:
    """A trigger needs 10 ms for each of them. Runs mark the rest, some at a time, and what they have done stays."""
    neighbor = shop.neighbor()
    row = neighbor.due_text()
    shop.sql(CROWD, shop.id, PHONE, count)
    with trigger(shop, "perform pg_sleep(0.01); return new"):
        with api(shop) as connection:
            by_stop(connection, shop)
        assert is_out(shop)
        assert is_out(neighbor)
        shop.run()
    marked = "select count(*) from customers where sms_consent_status = 'opted_out'"
    assert 0 < shop.value(marked) < count + 1
    wait = "select greatest(extract(epoch from min(mark_at) - smsretry.clock()), 0)::integer + 1 from smsretry.consents"
    while (before := shop.value(marked)) <= count:
        shop.later(seconds=shop.value(wait))
        shop.run()
        assert shop.value(marked) > before
    assert neighbor.status_of(row) == "cancelled"


def test_an_idle_run_looks_once_into_an_empty_index_for_what_is_to_be_marked(
    shop: Shop,
) -> None:
    """Also beside many that are not due."""
    shop.sql(
        """insert into smsretry.consents (subject_key, customer_id, said, at, mark_at)
           select '', gen_random_uuid(), 'opted_in', smsretry.clock(), smsretry.clock() + interval '1 day'
           from generate_series(1, 3000)"""
    )
    read = "select pg_stat_get_xact_tuples_returned('smsretry.consents'::regclass)"
    with shop.connection.transaction():
        before = shop.value(read)
        shop.sql("select finish_sms_run(gen_random_uuid(), 'idle')")
        assert shop.value(read) == before


def test_a_bulk_statement_of_the_application_can_be_cut_off(shop: Shop) -> None:
    """Its own timeout is its own: our triggers swallow none."""
    shop.sql(CROWD, shop.id, PHONE, 20)
    ours = shop.value("select pg_get_functiondef('smsretry.keep_words'::regproc)")
    slow = ours.replace("begin", "begin perform pg_sleep(30);", 1)
    with (
        shop.changed(slow, ours),
        api(shop) as connection,
        pytest.raises(psycopg.errors.QueryCanceled),
    ):
        connection.execute("update customers set sms_consent_status = 'opted_out'")
    assert not is_out(shop)
