"""What the application's own bulk statements cost beside smsretry. By hand: `python -m tests.benchmarks.host`.

One statement over so many customers, with our triggers and without them, in turns; each is rolled back. A tenth of the
customers have a text that waits for its hour.
"""

import time
from statistics import median
from typing import Any

import psycopg

from tests.benchmarks.table import show
from tests.support.options import parser
from tests.support.stacks import running_stack

_FILL = """
insert into businesses (id, user_id, name, timezone)
select md5('business' || n)::uuid, gen_random_uuid(), 'Shop ' || n, 'America/New_York' from generate_series(0, 19) n;
insert into customers (id, business_id, phone, timezone, sms_consent_status, sms_consent_at)
select md5('customer' || n)::uuid, md5('business' || n % 20)::uuid, '+1212' || (5550000 + n), 'America/New_York',
       'opted_in', now() - interval '1 day'
from generate_series(1, {customers}) n;
insert into send_logs (id, business_id, customer_id, channel, subject)
select id, business_id, id, 'sms', 'Hello' from customers where id::text < '19';
insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for, why_code)
select business_id, id, id, smsretry.clock() + interval '5 hours', 'quiet_hours' from send_logs;
"""
STATEMENTS = {
    "opt out": "update customers set sms_consent_status = 'opted_out', sms_consent_at = now()",
    "change the number": "update customers set phone = '+1313' || substr(phone, 6)",
    "change the zone": "update customers set timezone = 'America/Chicago'",
    "save unchanged": "update customers set phone = phone, timezone = timezone",
    "import": "insert into customers (business_id, phone, sms_consent_status) "
    "select business_id, '+1414' || substr(phone, 6), 'opted_in' from customers",
    "delete": "delete from customers",
}
_TRIGGERS = "select tgname from pg_trigger where tgrelid = 'customers'::regclass and tgname like 'smsretry%'"


def seconds(
    connection: psycopg.Connection[Any], statement: str, *, ours: bool
) -> float:
    """One statement, with our triggers or without them."""
    with connection.transaction(force_rollback=True):
        if not ours:
            for (name,) in connection.execute(_TRIGGERS).fetchall():
                connection.execute(f"drop trigger {name} on customers".encode())
        began = time.perf_counter()
        connection.execute(statement.encode())
        return time.perf_counter() - began


def main() -> None:
    """Fill, measure, and print a table."""
    options = parser(__doc__, customers=10_000, rounds=5).parse_args()
    with (
        running_stack() as stack,
        psycopg.connect(stack.database_url, autocommit=True) as connection,
    ):
        connection.execute(_FILL.format(customers=options.customers).encode())
        connection.execute("vacuum analyze")
        rows = []
        for name, statement in STATEMENTS.items():
            pairs = [
                [seconds(connection, statement, ours=ours) for ours in (False, True)]
                for _ in range(options.rounds)
            ]
            without, beside = map(median, zip(*pairs, strict=True))
            each = 1e6 * (beside - without) / options.customers
            rows.append([name, f"{without:.2f}", f"{beside:.2f}", f"{each:.0f}"])
        headings = ["", "s without ours", "s with ours", "µs a row of ours"]
        show(f"{options.customers} customers in one statement", headings, rows)


if __name__ == "__main__":
    main()
