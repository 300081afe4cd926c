"""A claim and a begin cost no more with a thousand senders than with one: they touch hardly more pages.

Measured with 1,000 businesses of 20 due texts each, whose statistics were never made. "Pages" are shared buffers hit or
read, as `explain (analyze, buffers)` counts them.
"""

from collections.abc import Iterator
from importlib.resources import files
from typing import Final

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from smsretry.adapters.migrations.migrate import migrate
from smsretry.local.stack import Stack
from tests.integration.worker.senders import Connection
from tests.integration.worker.test_query_plans import PLANS, pages
from tests.support.autovacuum import without_autovacuum

pytestmark = pytest.mark.long

DATABASE: Final = "plans_of_senders"
_FILL: Final = """
insert into businesses (id, user_id, name, timezone)
select uuid_in(md5('business' || b)::cstring), gen_random_uuid(), 'Shop ' || b, 'America/New_York'
from generate_series(1, 1000) b;
create temporary table row_to_be as
select n, uuid_in(md5('row' || n)::cstring) as id, uuid_in(md5('business' || 1 + n % 1000)::cstring) as business_id
from generate_series(1, 20000) n;
insert into customers (id, business_id, phone, timezone, sms_consent_status)
select id, business_id, '+1212' || (5550000 + n), 'America/New_York', 'opted_in' from row_to_be;
insert into send_logs (id, business_id, customer_id, channel, subject)
select id, business_id, id, 'sms', 'Hello' from row_to_be;
insert into sms_retry_queue (id, business_id, send_log_id, customer_id, scheduled_for, status, claim_no, claimed_at)
select id, business_id, id, id, smsretry.clock() - interval '1 minute',
       case when n = 1 then 'processing' else 'pending' end, 1, case when n = 1 then smsretry.clock() end
from row_to_be;
"""
_SENDERS: Final = """
with s as (
    insert into smsretry.senders (account, sent_by, segments_per_second, segments_per_day)
    select 'ACaccount' || n, 'MGservice' || n, %(rate)s, 100000
    from generate_series(1, %(senders)s) n returning id, sent_by
)
insert into smsretry.business_senders (business_id, sender_id)
select uuid_in(md5('business' || b)::cstring), s.id from generate_series(1, 1000) b
join s on s.sent_by = 'MGservice' || 1 + b %% %(senders)s;
update smsretry.senders s set free_at = smsretry.clock() + make_interval(secs => %(busy)s)
where s.sent_by <> 'MGservice' || %(free)s;
"""
_BEGIN: Final = (
    "begin_sms_attempt(uuid_in(md5('row1')::cstring), 1, attempt_id => gen_random_uuid(), "
    "send_before => smsretry.clock() + interval '1 hour', quiet_hours_rule => 'x')"
)
CALLS: Final = {
    "claim": ("jsonb_array_elements(claim_sms_texts(50, 'ACdefault00', 'MGdefault00') -> 'texts')", 50),
    "begin": (_BEGIN, 1),
}
SLACK: Final = 1.4
"""Times the pages of one sender, and 100 more."""
BUSY: Final = 30_000
"""Pages of a claim that passes over 999 busy senders to find the free one. Measured: 17,000."""


@pytest.fixture(scope="module")
def connection(running_stack: Stack) -> Iterator[Connection]:
    """A database of its own."""
    running_stack.postgres.create_database(DATABASE)
    url = running_stack.postgres.url(DATABASE)
    with psycopg.connect(url, autocommit=True, row_factory=dict_row, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute(files("smsretry.local.postgres").joinpath("supabase_roles.sql").read_bytes())
        migrate(url)
        without_autovacuum(connection)
        connection.execute(_FILL.encode())
        yield connection


def _touched(
    connection: Connection,
    name: str,
    plan: str,
    senders: int,
    *,
    rate: float | None = None,
    busy: float = 0,
    free: int = 0,
    analyzed: bool = False,
) -> int:
    """The pages that a call touches with so many senders. Nothing of it stays."""
    call, rows = CALLS[name]
    with connection.transaction(force_rollback=True):
        connection.execute(_SENDERS.encode(), {"senders": senders, "rate": rate, "busy": busy, "free": free})
        if analyzed:
            connection.execute("analyze")
        connection.execute(sql.SQL("set local plan_cache_mode = {}").format(sql.Identifier(plan)))
        with connection.transaction(force_rollback=True):  # what is read once of the catalog is not counted
            connection.execute(f"select * from {call}".encode())
        taken, touched = pages(connection, call)
    assert taken == (1 if free else rows)
    return touched


@pytest.mark.parametrize("analyzed", [False, True])
@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("name", CALLS)
def test_a_thousand_senders_make_no_call_dearer(connection: Connection, name: str, plan: str, analyzed: bool) -> None:
    """Each with a rate and a cap, for one business."""
    one = _touched(connection, name, plan, 1, rate=1000, analyzed=analyzed)
    thousand = _touched(connection, name, plan, 1000, rate=1, analyzed=analyzed)
    assert thousand <= SLACK * one + 100, f"{thousand} pages, with one sender {one}"


@pytest.mark.parametrize("plan", PLANS)
def test_to_pass_over_busy_senders_costs_a_look_each(connection: Connection, plan: str) -> None:
    """However many texts each has."""
    assert _touched(connection, "claim", plan, 1000, rate=1, busy=5, free=7) <= BUSY
