"""What a claim and the calls around it cost as the tables grow. By hand: `python -m tests.benchmarks.sizes`.

Two databases side by side, asked in turns: a small one, and one with a million finished rows, 200,000 that wait and
10,000 due ones of 10,000 businesses; 50,000 of the finished ones were sent in the last day. Milliseconds of one call,
whose transaction is rolled back, and the pages that it touches. Five million
rows: `--finished 4000000 --waiting 800000 --due 200000`.
"""

import time
from collections.abc import Sequence
from importlib.resources import files
from statistics import median
from typing import Any

import psycopg

from smsretry.adapters.migrations.migrate import migrate
from smsretry.local.stack import Stack
from tests.benchmarks.table import show
from tests.support.options import parser
from tests.support.stacks import running_stack

_FILL = """
insert into businesses (id, user_id, name, timezone)
select uuid_in(md5('business' || b)::cstring), gen_random_uuid(), 'Shop ' || b, 'America/New_York'
from generate_series(0, %(businesses)s - 1) b;

create temporary table row_to_be as
select n, uuid_in(md5('row' || n)::cstring) as id,
       uuid_in(md5('business' || n %% %(businesses)s)::cstring) as business_id,
       case when n <= %(due)s then 'due' when n <= %(due)s + %(waiting)s then 'waiting' else 'finished' end as kind
from generate_series(1, %(due)s + %(waiting)s + %(finished)s) n;

insert into customers (id, business_id, phone, timezone, sms_consent_status)
select id, business_id, '+1212' || (5550000 + n %% 9000000), 'America/New_York', 'opted_in'
from row_to_be where kind = 'due';
insert into send_logs (id, business_id, customer_id, channel, subject)
select id, business_id, id, 'sms', 'Hello' from row_to_be where kind = 'due';

insert into sms_retry_queue (id, business_id, send_log_id, customer_id, status, scheduled_for, reason, updated_at)
select id, business_id, id, id, case kind when 'finished' then 'completed' else 'pending' end,
       smsretry.clock() + case kind when 'waiting' then make_interval(mins => 60 + n %% 700)
                                    when 'due' then interval '-1 minute' else make_interval(mins => -n %% 100000) end,
       'quiet_hours', smsretry.clock() - make_interval(
           mins => n %% case when n <= %(due)s + %(waiting)s + %(today)s then 1439 else 100000 end)
from row_to_be;

insert into sms_send_attempts (id, retry_id, attempt_number, claim_no, begun_at, finished_at, outcome, settled_by,
                               twilio_sid, delivery_status, delivery_code, delivery_at, business_id)
select q.id, q.id, 1, 1, q.updated_at - interval '1 second', q.updated_at, 'accepted', 'response',
       'SM' || replace(q.id::text, '-', ''),
       case n %% 20 when 0 then 'undelivered' when 1 then 'sent' else 'delivered' end,
       case n %% 20 when 0 then 30003 end, q.updated_at + make_interval(secs => n %% 100), q.business_id
from row_to_be r join sms_retry_queue q on q.id = r.id
where r.kind = 'finished' and r.n <= %(due)s + %(waiting)s + %(today)s;
drop table row_to_be;
"""
_LATER = "update sms_retry_queue set scheduled_for = scheduled_for + interval '1 hour' where status = 'pending'"
CALLS = {
    "claim of 50": "select jsonb_array_length(claim_sms_texts(50) -> 'texts')",
    "recover": "select count(*) from recover_stuck_sms_retries(10)",
    "status": "select count(*) from sms_status()",
    "a person's number": "select count(*) from explain_sms(phone => '+12125559999')",
    "opt-out": "select customers from record_sms_consent((select phone from customers order by id limit 1), "
    "'opted_out', 'admin', (select business_id from customers order by id limit 1), who => 'Ann', because => 'asked')",
    "callback": "select settle_sms_attempt(twilio_sid => (select twilio_sid from sms_send_attempts limit 1), "
    "delivery_status => 'read')",
    "claim by id": "select count(*) from claim_sms_retry((select id from customers limit 1))",
    "preview, a page": "select count(*) from preview_sms_retries(until => smsretry.clock() + interval '1 day')",
}
_Connection = psycopg.Connection[tuple[Any, ...]]
SMALL = {
    "businesses": 50,
    "due": 4000,
    "waiting": 4000,
    "finished": 2000,
    "today": 1000,
}
LARGE = {
    "businesses": 10_000,
    "due": 10_000,
    "waiting": 200_000,
    "finished": 1_000_000,
    "today": 50_000,
}


def fill(stack: Stack, name: str, sizes: dict[str, int]) -> _Connection:
    """A database of its own with so many rows."""
    stack.postgres.create_database(name)
    url = stack.postgres.url(name)
    connection = psycopg.connect(url, autocommit=True)
    connection.execute(
        files("smsretry.local.postgres").joinpath("supabase_roles.sql").read_bytes()
    )
    migrate(url)
    with psycopg.ClientCursor(connection) as cursor:
        cursor.execute(_FILL, sizes)
    connection.execute("vacuum analyze")
    return connection


def milliseconds(connection: _Connection, query: str) -> float:
    """One call, undone."""
    connection.execute("begin")
    began = time.perf_counter()
    connection.execute(query)
    seconds = time.perf_counter() - began
    connection.execute("rollback")
    return 1000 * seconds


def pages(connection: _Connection, query: str) -> int:
    """Shared buffers that one call hits or reads, undone."""
    with connection.transaction(force_rollback=True):
        row = connection.execute(
            f"explain (analyze, buffers, format json) {query}".encode()
        ).fetchone()
    assert row is not None
    plan = row[0][0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def compare(
    connections: Sequence[_Connection], query: str, rounds: int
) -> tuple[float, float, int, int]:
    """The medians of calls that take turns, and the pages of each."""
    timings: list[list[float]] = [[] for _ in connections]
    for _ in range(rounds):
        for connection, times in zip(connections, timings, strict=True):
            times.append(milliseconds(connection, query))
    (small, large), (small_calls, large_calls) = (
        map(median, timings),
        (pages(connection, query) for connection in connections),
    )
    return small, large, small_calls, large_calls


def main() -> None:
    """Fill, measure, and print tables."""
    options = parser(__doc__, rounds=9, **LARGE).parse_args()
    sizes = {kind: getattr(options, kind) for kind in LARGE}
    with running_stack() as stack:
        small = fill(stack, "small", SMALL)
        large = fill(stack, "large", sizes)
        rows = [
            (name, *compare([small, large], query, options.rounds))
            for name, query in CALLS.items()
        ]
        for connection in (small, large):
            connection.execute(_LATER)
            connection.execute("vacuum analyze sms_retry_queue")
        rows.append(
            (
                "claim, nothing due",
                *compare([small, large], CALLS["claim of 50"], options.rounds),
            )
        )
        cells = [[name, a, b, b / a, c, d, d / c] for name, a, b, c, d in rows]
        headings = ["", "ms, small", "large", "ratio", "pages, small", "large", "ratio"]
        show(f"{SMALL} beside {sizes}", headings, cells)
        small.close()
        large.close()


if __name__ == "__main__":
    main()
