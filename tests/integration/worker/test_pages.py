"""What a call costs: pages, as `explain (analyze, buffers)` counts those that are hit or read.

A thousand finished texts of 20 businesses were there when the statistics were made. Then come, all at once, 10,000
texts that are due, 20,000 for a later day, 2,000 in doubt, 2,000 open deliveries and 2,000 scheduled sends. A call may
touch hardly more pages than when the statistics are fresh, also on a connection that made its plans when there were
three of each; what waits for a later day costs nothing; and a thousand senders cost no more than one. The first
test is for every day: it counts rows of a few thousand.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from itertools import product

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from smsretry.adapters.migrations.migrate import migrate
from smsretry.local.stack import Stack
from tests.support.records import Connection, columns
from tests.support.statistics import forget_statistics, without_autovacuum

_BUSINESSES = """
insert into businesses (id, user_id, name, timezone)
select uuid_in(md5('business' || b)::cstring), gen_random_uuid(), 'Shop ' || b, 'America/New_York'
from generate_series(0, %(businesses)s - 1) b
"""
_ROWS = """
create temporary table row_to_be as
select n, uuid_in(md5(%(kind)s || n)::cstring) as id,
       uuid_in(md5('business' || n %% %(businesses)s)::cstring) as business_id
from generate_series(%(first)s, %(first)s + %(rows)s - 1) n;
insert into customers (id, business_id, phone, timezone, sms_consent_status)
select id, business_id, '+1212' || (5550000 + n), 'America/New_York', 'opted_in' from row_to_be;
insert into send_logs (id, business_id, customer_id, channel, subject)
select id, business_id, id, 'sms', 'Hello' from row_to_be;
insert into sms_retry_queue (id, business_id, send_log_id, customer_id, status, scheduled_for, claim_no, claimed_at,
                             begun_at, attempt_id, in_doubt_since, recover_count, updated_at)
select id, business_id, id, id,
       case when %(kind)s in ('finished', 'open') then 'completed'
            when %(kind)s in ('claimed', 'begun', 'looked') then 'processing' else 'pending' end,
       smsretry.clock() + case %(kind)s when 'later' then make_interval(mins => 2880 + n %% 700)
                                        else interval '-1 minute' end, 1,
       case when %(kind)s in ('claimed', 'begun', 'looked') then smsretry.clock() - make_interval(mins => n %% 20) end,
       case when %(kind)s = 'begun' then smsretry.clock() - make_interval(mins => n %% 20) end,
       case when %(kind)s in ('doubtful', 'looked', 'begun') then id end,
       case when %(kind)s in ('doubtful', 'looked') then smsretry.clock() - interval '1 hour' end,
       case when %(kind)s = 'suspect' then 2 else 0 end, smsretry.clock() - make_interval(mins => n %% 1400)
from row_to_be;
insert into sms_send_attempts (id, retry_id, attempt_number, claim_no, begun_at, finished_at, outcome, settled_by,
                               twilio_sid, delivery_ask_at)
select id, id, 1, 1, smsretry.clock() - interval '1 hour',
       case when %(kind)s <> 'begun' then smsretry.clock() - interval '1 hour' end,
       case when %(kind)s = 'open' then 'accepted' when %(kind)s <> 'begun' then 'in_doubt' end,
       case when %(kind)s = 'open' then 'response' end,
       case when %(kind)s = 'open' then 'SM' || md5(id::text) end,
       case when %(kind)s = 'open' then smsretry.clock() - interval '1 minute' end
from row_to_be where %(kind)s in ('open', 'doubtful', 'looked', 'begun');
drop table row_to_be;
"""
_SCHEDULED = """
insert into scheduled_sends (business_id, body, scheduled_for)
select uuid_in(md5('business' || n %% 20)::cstring), 'Hello', smsretry.clock() - interval '1 minute'
from generate_series(1, %(rows)s) n
"""
_ALL_AT_ONCE = {
    "due": 10_000, "later": 20_000, "doubtful": 2_000, "open": 2_000, "suspect": 200, "claimed": 100, "begun": 100,
    "looked": 100,
}  # fmt: skip


def _claim_of(kind: str) -> str:
    return f"retry_id => uuid_in(md5('{kind}1')::cstring), claim_no => 1"


CALLS = {
    "claim": "claim_sms_texts(50)",
    "claim of one": "claim_sms_texts(1)",
    "claim of a suspect": "claim_sms_texts(1, suspect => true)",
    "claim by id": "claim_sms_retry(uuid_in(md5('due1')::cstring))",
    "recover": "recover_stuck_sms_retries(10)",
    "begin": f"begin_sms_attempt({_claim_of('claimed')}, attempt_id => gen_random_uuid(), "
    "send_before => smsretry.clock() + interval '1 hour', quiet_hours_rule => 'x', cap => 10, "
    "cap_window => '1 day')",
    "finish": f"finish_sms_attempt({_claim_of('begun')}, attempt_id => uuid_in(md5('begun1')::cstring), "
    "outcome => 'accepted', next_status => 'completed', twilio_sid => 'SM' || md5('finish'))",
    "reconcile": f"reconcile_sms_retry({_claim_of('looked')}, decision => 'look_again', due_in => '5 minutes')",
    "scheduled sends": "queue_scheduled_sms(20)",
    "deliveries": "claim_sms_deliveries(50)",
    "callback": "settle_sms_attempt(twilio_sid => 'SM' || md5(uuid_in(md5('open1')::cstring)::text), "
    "delivery_status => 'delivered')",
    "opt-out": "record_sms_consent('+12125550001', 'opted_out', 'admin', uuid_in(md5('business1')::cstring), "
    "who => 'Ann', because => 'asked')",
    "queue": "queue_sms_retry(uuid_in(md5('finished1')::cstring))",
    "cancel": "change_sms_texts('cancel', jsonb_build_object('customer_id', uuid_in(md5('due1')::cstring)), "
    "dry_run => false, who => 'Ann', because => 'asked')",
    "look again": "change_sms_texts('look', jsonb_build_object('retry_ids', "
    "array[uuid_in(md5('doubtful1')::cstring)]))",
    "a person's number": "explain_sms(phone => '+12125559999')",
    "an application's insert": "insert into sms_retry_queue (scheduled_for, business_id, send_log_id, customer_id) "
    "select now(), "
    + ", ".join(
        f"uuid_in(md5('{of}1')::cstring)" for of in ("business", "finished", "finished")
    ),
    "preview": "preview_sms_retries(until => smsretry.clock() + interval '1 day')",
}
_ROWS_READ = """
select sum(pg_stat_get_xact_tuples_fetched(oid)
           + case relkind when 'r' then pg_stat_get_xact_tuples_returned(oid) else 0 end)::integer as rows
from pg_class
where relkind in ('r', 'i') and relnamespace in ('public'::regnamespace, 'smsretry'::regnamespace)
"""
"""By this transaction. What an index finds counts with the index."""
_PLANS = ("force_custom_plan", "force_generic_plan")
PLANS = pytest.mark.parametrize("plan", _PLANS)
SLACK = 2
"""Times the pages that it touches with fresh statistics, and 300 more."""
COUNTS = {
    "check": "check_sms_retries(10)",
    "status": "sms_status()",
}
"""They count all that waits, by an index where its pages are known to be all visible."""


def _connect(running_stack: Stack, name: str) -> Connection:
    return _connected(running_stack.postgres.url(name))


def _connected(url: str) -> Connection:
    return psycopg.connect(
        url, autocommit=True, row_factory=dict_row, cursor_factory=psycopg.ClientCursor
    )


@pytest.mark.parametrize("statistics", ["none", "before the commit", "fresh"])
def test_no_call_for_a_text_reads_a_table_whole(stack: Stack, statistics: str) -> None:
    """Whatever the planner knows, and where it took the tables for empty since a run has begun. A run's look after
    deliveries and a preview are asked for many texts.
    """
    with _connected(stack.database_url) as connection:
        without_autovacuum(connection)
        forget_statistics(connection)  # what an earlier test left
        connection.execute(_BUSINESSES.encode(), {"businesses": 20})
        few = dict.fromkeys(("due", "doubtful", "claimed", "begun", "looked"), 50)
        with connection.transaction():
            _add(connection, {"later": 1500, "finished": 1500, "open": 50, **few})
            if statistics == "before the commit":
                with _connected(stack.database_url) as autovacuum:
                    autovacuum.execute("analyze")
        if statistics == "before the commit":
            connection.execute("select pg_stat_force_next_flush()")
            connection.execute("select start_sms_run(gen_random_uuid())")
        if statistics == "fresh":
            connection.execute("analyze")
        for name, plan in product(
            sorted(CALLS.keys() - {"deliveries", "preview"}), _PLANS
        ):
            rows = _rows_read(connection, CALLS[name], plan)
            assert rows < 1500, f"{name}: {rows} rows, {plan}"


@pytest.mark.parametrize("businesses", [20, 1000])
def test_a_claim_reads_a_few_of_the_texts_that_one_business_queued_at_once(
    stack: Stack, businesses: int
) -> None:
    """With statistics from before, as of a database where nothing waited."""
    with _connected(stack.database_url) as connection:
        without_autovacuum(connection)
        connection.execute(_BUSINESSES.encode(), {"businesses": businesses})
        _add(connection, {"finished": 1000}, businesses=businesses)
        connection.execute("analyze")
        _add(connection, {"due": 5000}, businesses=1)
        rows = _rows_read(connection, CALLS["claim"], "force_custom_plan")
        assert rows < 1500, f"{rows} rows"


def test_texts_that_have_not_ended_are_listed_without_a_look_at_those_that_have(
    stack: Stack,
) -> None:
    """In a database that was just restored, too: a run's begin has its tables counted."""
    with _connected(stack.database_url) as connection:
        without_autovacuum(connection)
        forget_statistics(connection)
        connection.execute(_BUSINESSES.encode(), {"businesses": 20})
        _add(connection, {"doubtful": 20, "finished": 3000})
        connection.execute("select pg_stat_force_next_flush()")
        connection.execute("select start_sms_run(gen_random_uuid())")
        listing = """smsretry.texts_that_fit('{"states": ["held", "in_doubt"]}')"""
        assert _rows_read(connection, listing, "force_custom_plan") < 1500


def _rows_read(connection: Connection, call: str, plan: str) -> int:
    with connection.transaction(force_rollback=True):
        _keep_to(connection, plan)
        before, _, after = (
            connection.execute(statement.encode()).fetchone()
            for statement in (_ROWS_READ, _statement(call), _ROWS_READ)
        )
        assert before
        assert after
        return int(after["rows"] - before["rows"])


def _keep_to(connection: Connection, plan: str) -> None:
    connection.execute(
        sql.SQL("set local plan_cache_mode = {}").format(sql.Identifier(plan))
    )


def _statement(call: str) -> str:
    return (
        f"{call} returning 1" if call.startswith("insert") else f"select * from {call}"
    )


@contextmanager
def _database(
    running_stack: Stack, name: str, *, businesses: int = 20
) -> Iterator[Connection]:
    """A database of its own that has businesses and a run."""
    running_stack.postgres.create_database(name)
    with _connect(running_stack, name) as connection:
        connection.execute(
            files("smsretry.local.postgres").joinpath("supabase_roles.sql").read_bytes()
        )
        migrate(running_stack.postgres.url(name))
        without_autovacuum(connection)
        connection.execute(
            "create index on customers (business_id)"
        )  # as most applications have
        connection.execute(_BUSINESSES.encode(), {"businesses": businesses})
        connection.execute(
            "insert into smsretry.runs (id, started_at) values (gen_random_uuid(), smsretry.clock())"
        )
        connection.execute(
            "update smsretry.runs set finished_at = smsretry.clock(), summary = 'x' where summary is null"
        )
        yield connection


def _add(
    connection: Connection,
    rows: Mapping[str, int],
    *,
    first: int = 1,
    scheduled: int = 0,
    businesses: int = 20,
) -> None:
    """All at once."""
    with connection.transaction():
        for kind, count in rows.items():
            known = {
                "kind": kind,
                "first": first,
                "rows": count,
                "businesses": businesses,
            }
            connection.execute(_ROWS.encode(), known)
        connection.execute(_SCHEDULED.encode(), {"rows": scheduled})


@pytest.fixture(scope="module")
def connection(running_stack: Stack) -> Iterator[Connection]:
    """A database whose statistics are those of a thousand finished texts."""
    with _database(running_stack, "bulk_inserts") as connection:
        _add(connection, {"finished": 1000})
        connection.execute("analyze")
        _add(connection, _ALL_AT_ONCE, scheduled=2_000)
        yield connection


def _pages(connection: Connection, call: str, plan: str, known: str) -> int:
    """The pages that a call touches, by what the planner knows. Nothing of it stays."""
    with connection.transaction(force_rollback=True):
        if known == "fresh":
            connection.execute("analyze")
        if known == "nothing":
            forget_statistics(connection)
        _keep_to(connection, plan)
        return _touched(connection, call, before=1)


def _touched(connection: Connection, call: str, *, before: int) -> int:
    """The pages that a worker's call touches, after so many like it: what is read once is not counted."""
    statement = _statement(call)
    with connection.transaction(force_rollback=True):
        connection.execute("set local role service_role")
        for _ in range(before):
            with connection.transaction(force_rollback=True):
                connection.execute(statement.encode())
        explained = connection.execute(
            f"explain (analyze, buffers, format json) {statement}".encode()
        ).fetchone()
        assert explained is not None
        touched = explained["QUERY PLAN"][0]["Plan"]
        return sum(touched[f"Shared {kind} Blocks"] for kind in ("Hit", "Read"))


_A_FEW = dict.fromkeys(("finished", *_ALL_AT_ONCE), 3)
_UNTIL_A_PLAN_IS_KEPT = 8
"""PostgreSQL makes five plans for the values at hand before it keeps one."""


@pytest.fixture(scope="module")
def remembered(running_stack: Stack) -> dict[str, tuple[int, int]]:
    """The pages of each call on a connection that knew the tables when they were small, and on one that does not."""
    calls, database = CALLS | COUNTS, "remembered_plans"
    with _database(running_stack, database) as application:
        _add(application, _A_FEW, scheduled=3)
        application.execute("analyze")
        with _connect(running_stack, database) as old_connection:
            for call in calls.values():
                _touched(old_connection, call, before=_UNTIL_A_PLAN_IS_KEPT)
            # By the same connection: another one's first temporary table would make everybody forget their plans.
            _add(
                application,
                _ALL_AT_ONCE | {"finished": 7_000},
                first=100,
                scheduled=2_000,
            )
            before = {
                name: _touched(old_connection, call, before=0)
                for name, call in calls.items()
            }
        application.execute("analyze")
        with _connect(running_stack, database) as new_connection:
            return {
                name: (before[name], _touched(new_connection, call, before=1))
                for name, call in calls.items()
            }


@pytest.mark.long
@pytest.mark.parametrize("name", CALLS | COUNTS)
def test_a_connection_that_knew_small_tables_reads_no_large_ones_whole(
    remembered: dict[str, tuple[int, int]], name: str
) -> None:
    """PostgREST's connections stay open, and PL/pgSQL keeps the plans that were made on them."""
    touched, fresh = remembered[name]
    assert touched <= SLACK * fresh + 300, (
        f"{touched} pages, on a new connection {fresh}"
    )


@pytest.mark.long
@PLANS
@pytest.mark.parametrize("name", CALLS)
def test_a_day_s_texts_inserted_at_once_make_no_call_dearer_before_their_statistics_are_made(
    connection: Connection, name: str, plan: str
) -> None:
    """With statistics of what was there before, and with none at all."""
    fresh = _pages(connection, CALLS[name], plan, "fresh")
    for known in ("what was before", "nothing"):
        touched = _pages(connection, CALLS[name], plan, known)
        assert touched <= SLACK * fresh + 300, (
            f"{known}: {touched} pages, with fresh statistics {fresh}"
        )


BOUNDS = {
    "claim": 7_000,
    "recover": 12_000,
    "deliveries": 5_000,
    "scheduled sends": 2_500,
} | dict.fromkeys(COUNTS, 2 * sum(_ALL_AT_ONCE.values()))
"""The most pages. What counts all that waits reads each text, and its place in an index."""


@pytest.mark.long
@PLANS
@pytest.mark.parametrize("name", BOUNDS)
def test_what_waits_for_a_later_hour_costs_a_run_nothing(
    connection: Connection, name: str, plan: str
) -> None:
    """Whatever the planner knows."""
    for known in ("fresh", "what was before", "nothing"):
        assert (
            _pages(connection, (CALLS | COUNTS)[name], plan, known) <= BOUNDS[name]
        ), known


_SENDERS = """
with s as (
    insert into smsretry.senders (account, sent_by, segments_per_second, segments_per_day)
    select 'ACaccount' || n, 'MGservice' || n, %(rate)s, 100000
    from generate_series(1, %(senders)s) n returning id, sent_by
)
insert into smsretry.business_senders (business_id, sender_id)
select uuid_in(md5('business' || b)::cstring), s.id from generate_series(0, 999) b
join s on s.sent_by = 'MGservice' || 1 + b %% %(senders)s;
update smsretry.senders s set free_at = smsretry.clock() + make_interval(secs => %(busy)s)
where s.sent_by <> 'MGservice7';
"""


@pytest.fixture(scope="module")
def many_businesses(running_stack: Stack) -> Iterator[Connection]:
    """A database of 1,000 businesses with 20 due texts each, whose statistics were never made."""
    with _database(running_stack, "many_businesses", businesses=1000) as connection:
        _add(connection, {"due": 20_000, "claimed": 1}, businesses=1000)
        yield connection


@pytest.mark.long
@PLANS
def test_a_thousand_senders_make_no_call_dearer(
    many_businesses: Connection, plan: str
) -> None:
    """Each with a rate and a cap. To pass over those that are busy costs a look each, however many texts each has."""
    connection = many_businesses

    def touched(call: str, *, senders: int, rate: float, busy: float = 0) -> int:
        with connection.transaction(force_rollback=True):
            connection.execute(
                _SENDERS.encode(), {"senders": senders, "rate": rate, "busy": busy}
            )
            _keep_to(connection, plan)
            with connection.transaction(force_rollback=True):
                claimed = connection.execute(
                    "select jsonb_array_length(claim_sms_texts(50) -> 'texts') as texts"
                )
                assert claimed.fetchone() == {"texts": 1 if busy else 50}
            return _touched(connection, call, before=1)

    for call in columns(CALLS, "claim", "begin"):
        one = touched(call, senders=1, rate=1000)
        assert touched(call, senders=1000, rate=1) <= 1.4 * one + 100
    assert touched(CALLS["claim"], senders=1000, rate=1, busy=5) <= 30_000
