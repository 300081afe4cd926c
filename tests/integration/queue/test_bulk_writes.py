"""What the application does in one statement costs as many rows as it has, whatever PostgreSQL's statistics say.

Rows and index entries that are read are counted, not time.
"""

from collections.abc import Iterator
from typing import Literal, get_args

import pytest

from smsretry.local.stack import Stack
from tests.support.records import Connection
from tests.support.shop import Shop
from tests.support.statistics import forget_statistics, without_autovacuum

Statistics = Literal["never analyzed", "analyzed when empty", "emptied", "full"]
MOST = 12
"""Rows that are read for one that is written."""
READ = """
select sum(pg_stat_get_xact_tuples_returned(c.oid))::bigint
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname in ('public', 'smsretry') and c.relkind in ('r', 'i')
"""
NUMBERS = "from generate_series(%(first)s::integer, %(last)s) n"


def ids(kind: str) -> str:
    """The rows that a statement is about."""
    return f"where id in (select md5('{kind} ' || n)::uuid {NUMBERS})"


def customers(status: str, at: str) -> str:
    """New ones, with numbers of their own."""
    return f"""
        insert into customers (id, business_id, phone, timezone, sms_consent_status, sms_consent_at)
        select md5('customer ' || n)::uuid, %(business)s, '+1212' || lpad(n::text, 7, '0'), 'America/New_York',
               '{status}', {at} {NUMBERS}"""


STATEMENTS = {
    "insert customers": customers("opted_in", "now()"),
    "insert send logs": f"""
        insert into send_logs (id, business_id, customer_id, channel, subject)
        select md5('log ' || n)::uuid, %(business)s, md5('customer ' || n)::uuid, 'sms', 'See you' {NUMBERS}""",
    "insert texts": f"""
        insert into sms_retry_queue (id, business_id, send_log_id, customer_id, scheduled_for)
        select md5('text ' || n)::uuid, %(business)s, md5('log ' || n)::uuid, md5('customer ' || n)::uuid,
               now() + interval '1 day' {NUMBERS}""",
    "change their zone": f"update customers set timezone = 'America/Chicago' {ids('customer')}",
    "opt out": f"update customers set sms_consent_status = 'opted_out' {ids('customer')}",
    "opt in": f"""
        update customers set sms_consent_status = 'opted_in', sms_consent_at = clock_timestamp()
        {ids("customer")}""",
    "save whole rows": f"update customers set phone = phone, sms_consent_at = sms_consent_at {ids('customer')}",
    "opt out, with a date": f"""
        update customers set sms_consent_status = 'opted_out', sms_consent_at = clock_timestamp()
        {ids("customer")}""",
    "import old opt-ins": f"""
        update customers set sms_consent_status = 'opted_in', sms_consent_at = now() - interval '1 day'
        {ids("customer")}""",
    "change their phone": f"update customers set phone = '+1313' || substr(phone, 6) {ids('customer')}",
    "cancel texts": f"update sms_retry_queue set status = 'cancelled' {ids('text')}",
    "put texts back": f"update sms_retry_queue set status = 'pending' {ids('text')}",
    "import over them": f"""
        {customers("opted_out", "now()")}
        on conflict (id) do update set phone = excluded.phone, sms_consent_status = excluded.sms_consent_status""",
    "delete texts": f"delete from sms_retry_queue {ids('text')}",
    "delete customers": f"delete from customers {ids('customer')}",
    "import who opted out": customers("opted_out", "now() - interval '1 day'"),
}
"""In the order of a customer's life."""


@pytest.fixture
def owner(stack: Stack) -> Iterator[Connection]:
    """A connection that has kept no plan yet."""
    with stack.connect() as connection:
        yield connection


def rows_read(shop: Shop, statement: str, first: int, last: int) -> int:
    """All that one statement reads, with what it sets off."""
    values = {"business": shop.id, "first": first, "last": last}
    with shop.connection.transaction():
        before = shop.value(READ)
        shop.connection.execute(statement.encode(), values)
        return int(shop.value(READ) - before)


LONG = pytest.mark.long


@pytest.mark.parametrize(
    ("statistics", "count"),
    [
        ("never analyzed", 150),
        ("analyzed when empty", 150),
        pytest.param("emptied", 150, marks=LONG),
        pytest.param("full", 150, marks=LONG),
        *(
            pytest.param(statistics, count, marks=LONG)
            for statistics in get_args(Statistics)
            for count in (1000, 4000)
        ),
    ],
)
def test_what_the_application_writes_in_bulk_reads_no_more_than_some_rows_for_each(
    shop: Shop, statistics: Statistics, count: int
) -> None:
    """An opt-out of 1,000 customers had read half a million rows on the first day, by plans that were made before."""
    with shop.stack.connect() as owner:
        without_autovacuum(owner)
        owner.execute("vacuum")  # dead rows and statistics are an earlier test's
        forget_statistics(owner)
    if statistics in ("emptied", "full"):
        for statement in [*STATEMENTS.values()][:5]:
            rows_read(shop, statement, 100_001, 100_000 + count)
    if statistics == "emptied":
        shop.sql("analyze")
    if statistics in ("analyzed when empty", "emptied"):
        shop.sql("truncate smsretry.consents")  # not a page
    if statistics != "never analyzed":
        shop.sql("analyze")
    for number in range(11, 19):  # of people who consent, while nobody has said stop
        rows_read(shop, STATEMENTS["insert customers"], number, number)
    for number in range(1, 8):  # until PostgreSQL keeps the plans
        for statement in STATEMENTS.values():
            rows_read(shop, statement, number, number)
        rows_read(shop, STATEMENTS["delete customers"], number, number)
    read = {
        what: rows_read(shop, statement, 1001, 1000 + count) / count
        for what, statement in STATEMENTS.items()
    }
    assert {what: rows for what, rows in read.items() if rows > MOST} == {}
