"""A claim costs the same however many texts wait for a later hour: it touches a bounded number of pages.

Measured with 50,000 deferred rows, 500 of them in doubt, of twenty businesses, and 100 rows of each kind whose time
has come, 400 of the due ones: more than a claim peeks at. Beside them 25,000 accepted messages, 100 of which are to be
looked after now, and 25,000 scheduled sends, 400 of which are to be queued. "Pages" are shared buffers hit or read, as
`explain (analyze, buffers)` counts them.
"""

from collections.abc import Iterator
from importlib.resources import files
from typing import Any, Final

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from smsretry.adapters.migrations.migrate import migrate
from smsretry.local.stack import Stack
from tests.support.autovacuum import without_autovacuum

pytestmark = pytest.mark.long

Connection = psycopg.Connection[dict[str, Any]]

DATABASE: Final = "query_plans"
FILL: Final = """
insert into businesses (id, user_id, name, timezone)
select uuid_in(md5('business' || b)::cstring), gen_random_uuid(), 'Shop ' || b, 'America/New_York'
from generate_series(0, 19) b;

create temporary table row_to_be as
select n, uuid_in(md5('row' || n)::cstring) as id, uuid_in(md5('business' || n % 20)::cstring) as business_id,
       case when n <= 50000 then 'deferred' when n <= 50400 then 'due'
            when n <= 50500 then 'doubtful' else 'silent' end as kind
from generate_series(1, 50600) n;

insert into customers (id, business_id, phone, timezone, sms_consent_status)
select id, business_id, '+12125550123', 'America/New_York', 'opted_in' from row_to_be where kind <> 'deferred';
insert into send_logs (id, business_id, customer_id, channel, subject)
select id, business_id, id, 'sms', 'Hello' from row_to_be where kind <> 'deferred';

insert into sms_retry_queue (id, business_id, send_log_id, customer_id, status, scheduled_for, reason,
                             claim_no, claimed_at, begun_at, attempt_id, in_doubt_since)
select id, business_id, id, id,
       case kind when 'silent' then 'processing' else 'pending' end,
       smsretry.clock()
           + case kind when 'deferred' then make_interval(mins => 60 + n % 700) else interval '-1 minute' end,
       'quiet_hours', 1,
       case kind when 'silent' then smsretry.clock() - interval '1 hour' end,
       case when kind = 'silent' and n % 2 = 0 then smsretry.clock() - interval '1 hour' end,
       case when kind = 'doubtful' or kind = 'silent' and n % 2 = 0 or n % 100 = 0 then id end,
       case when kind = 'doubtful' or kind = 'deferred' and n % 100 = 0 then smsretry.clock() - interval '1 hour' end
from row_to_be;

insert into sms_send_attempts (id, retry_id, attempt_number, claim_no, begun_at, finished_at, outcome)
select q.id, q.id, 1, q.claim_no, smsretry.clock() - interval '1 hour',
       case when q.begun_at is null then smsretry.clock() end, case when q.begun_at is null then 'in_doubt' end
from sms_retry_queue q where q.attempt_id is not null;

insert into sms_send_attempts (id, retry_id, attempt_number, claim_no, begun_at, finished_at, outcome, settled_by,
                               twilio_sid, delivery_look_at)
select gen_random_uuid(), id, 1, 2, smsretry.clock() - interval '1 hour', smsretry.clock() - interval '1 hour',
       'accepted', 'response', 'SM' || md5(id::text),
       case when n > 24900 then smsretry.clock() - interval '1 minute'
            when n % 2 = 0 then smsretry.clock() + interval '1 hour' end
from row_to_be where n <= 25000;

insert into scheduled_sends (business_id, customer_id, body, scheduled_for)
select business_id, case when n <= 50400 then id end, repeat('Hello ', 30),
       smsretry.clock() + case kind when 'due' then interval '-1 minute' else make_interval(mins => 60 + n % 700) end
from row_to_be where n between 25001 and 50400;
"""

# A call, the rows it takes, and the most pages it may touch. Measured: 3,000 to 4,600, 5,400 to 5,700, 5,200 to 5,300,
# 590 and 940; without the index that it lives by 1,100,000, 9,000, 6,800, 1,100 and 26,000.
CALLS: Final = [
    ("claim_due_sms_retries(50)", 50, 5_500),
    ("jsonb_array_elements(claim_sms_texts(50) -> 'texts')", 100, 7_000),
    ("recover_stuck_sms_retries(10)", 100, 6_200),
    ("claim_sms_deliveries(10)", 10, 800),
    ("queue_scheduled_sms(10)", 10, 1_500),
]
PLANS: Final = ["force_custom_plan", "force_generic_plan"]
CASES: Final = [
    pytest.param(
        *call,
        plan,
        analyzed,
        id=f"{call[0]}-{plan}-{'analyzed' if analyzed else 'never analyzed'}",
    )
    for call in CALLS
    for plan in PLANS
    for analyzed in (False, True)
]


@pytest.fixture(scope="module")
def connection(running_stack: Stack) -> Iterator[Connection]:
    """A database of its own with many deferred rows, never analyzed."""
    running_stack.postgres.create_database(DATABASE)
    url = running_stack.postgres.url(DATABASE)
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        connection.execute(files("smsretry.local.postgres").joinpath("supabase_roles.sql").read_bytes())
        migrate(url)
        without_autovacuum(connection)
        connection.execute(FILL.encode())
        yield connection


def pages(connection: Connection, call: str) -> tuple[int, int]:
    """The rows that a call returned and the pages it touched.

    The fewer of two: a call whose plans are new also reads the catalog.
    """
    connection.execute("set local role service_role")
    explain = f"explain (analyze, buffers, format json) select * from {call}"
    counted = []
    for _ in range(2):
        with connection.transaction(force_rollback=True):
            answer = connection.execute(explain.encode()).fetchone()
        assert answer is not None
        plan = answer["QUERY PLAN"][0]["Plan"]
        counted.append((round(plan["Actual Rows"]), sum(plan[f"Shared {kind} Blocks"] for kind in ("Hit", "Read"))))
    return min(counted, key=lambda one: one[1])


@pytest.mark.parametrize(("call", "rows", "bound", "plan", "analyzed"), CASES)
def test_many_deferred_texts_do_not_make_a_run_dearer(
    connection: Connection, call: str, rows: int, bound: int, plan: str, analyzed: bool
) -> None:
    """Whatever the planner knows of the table and of the call's arguments."""
    with connection.transaction(force_rollback=True):
        if analyzed:
            connection.execute("analyze")
        connection.execute(sql.SQL("set local plan_cache_mode = {}").format(sql.Identifier(plan)))
        taken, touched = pages(connection, call)
    assert taken == rows
    assert touched <= bound


LOST: Final = """
update sms_retry_queue set last_error = 'Not delivered', error_code = 30008, attempt_count = 1
where status = 'pending' and scheduled_for <= smsretry.clock() and in_doubt_since is null;
insert into sms_send_attempts (id, retry_id, attempt_number, claim_no, begun_at, finished_at, outcome, settled_by,
                               twilio_sid, delivery_status, delivery_at)
select gen_random_uuid(), id, 1, 99, smsretry.clock(), smsretry.clock(), 'accepted', 'response',
       'SM' || md5('lost' || id), 'undelivered', smsretry.clock()
from sms_retry_queue where error_code = 30008;
"""
# Measured: 4,500 pages; without its index 34,000.
LOST_BOUND: Final = 8_000


def pages_of_lost_texts(connection: Connection, *, analyzed: bool) -> int:
    """The pages that a claim touches of fifty texts that are sent again, all of which name the lost message."""
    with connection.transaction(force_rollback=True):
        connection.execute(LOST.encode())
        if analyzed:
            connection.execute("analyze")
        with connection.transaction(force_rollback=True):
            named = "select cardinality(lost_sids) as n from claim_due_sms_retries(50)"
            assert [row["n"] for row in connection.execute(named.encode())] == [1] * 50
        _, touched = pages(connection, "claim_due_sms_retries(50)")
    return touched


@pytest.mark.parametrize("analyzed", [False, True])
def test_texts_that_are_sent_again_are_claimed_by_index_too(connection: Connection, analyzed: bool) -> None:
    """Beside 25,000 accepted messages."""
    assert pages_of_lost_texts(connection, analyzed=analyzed) <= LOST_BOUND
