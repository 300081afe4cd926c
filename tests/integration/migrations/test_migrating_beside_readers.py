"""A migration beside sessions that hold its tables: it waits a little, gives way, and leaves nothing behind."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import psycopg
import pytest

from smsretry.adapters.migrations.migrate import migrate, migrations
from smsretry.errors import MigrationError
from tests.integration.catalog import Database

EVERYTHING = """
select format('%s %s %s', n.nspname, c.relname, c.relkind) as said
from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname !~ '^pg_' union all
select format('%s %s', p.oid::regprocedure, p.proconfig) from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where n.nspname !~ '^(pg_|information)' union all
select format('%s.%s %s', a.attrelid::regclass, a.attname, a.atttypid::regtype) from pg_attribute a
join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'public' union all
select format('%s %s', conrelid::regclass, conname) from pg_constraint union all
select format('%s %s', tgrelid::regclass, tgname) from pg_trigger union all
select format('%s %s', tablename, policyname) from pg_policies union all
select nspname::text from pg_namespace where nspname !~ '^pg_'
order by 1
"""


def everything(database: Database) -> list[str]:
    """What the catalog names: relations, functions, columns, constraints, triggers, policies, schemas."""
    return [row["said"] for row in database.rows(EVERYTHING.replace("%", "%%"))]


def _read_on(url: str, reads: Event, stop: Event) -> None:
    """Read one of the tables again and again."""
    with psycopg.connect(url, autocommit=True) as reader:
        while not stop.is_set():
            reader.execute("select count(*) from send_logs")
            reads.set()
            time.sleep(0.005)


def test_a_migration_behind_an_open_reader_gives_way_and_leaves_nothing(original: Database) -> None:
    """Other readers read on while the open one holds the table; it says who holds them, and later it goes through."""
    before = everything(original)
    reads, stop = Event(), Event()
    with ThreadPoolExecutor(1) as pool, psycopg.connect(original.url, application_name="a long report") as report:
        report.execute("select 1 from send_logs")
        other = pool.submit(_read_on, original.url, reads, stop)
        try:
            assert reads.wait(120)
            reads.clear()
            with pytest.raises(MigrationError) as raised:
                migrate(f"{original.url}?options=-clock_timeout%3D500", pauses=[0.3, 0.3])
            assert reads.wait(120)
        finally:
            stop.set()
        other.result()
        said = str(raised.value)
        assert f"Session {report.info.backend_pid} (a long report, idle in transaction, open for " in said
        assert "holds send_logs" in said
        assert "run `smsretry migrate` again. Nothing was changed." in said
    assert everything(original) == before
    assert len(migrate(original.url)) == len(migrations())


def test_a_migration_goes_through_when_the_reader_ends_in_time(original: Database) -> None:
    """It tries again by itself."""
    with ThreadPoolExecutor(1) as pool, psycopg.connect(original.url) as report:
        report.execute("select 1 from customers")
        under_way = pool.submit(migrate, f"{original.url}?options=-clock_timeout%3D200", pauses=[0.2] * 50)
        time.sleep(1)
        assert not under_way.done()
        report.rollback()
        assert len(under_way.result()) == len(migrations())


def test_a_database_that_has_everything_is_not_locked_at_all(empty: Database) -> None:
    """To find that nothing is to be done, nobody waits."""
    migrate(empty.url)
    with psycopg.connect(empty.url) as report:
        report.execute("lock table sms_retry_queue, send_logs")
        assert migrate(empty.url, pauses=[]) == []


def test_a_migration_that_fails_at_its_last_file_keeps_none(new_database: Callable[[], Database]) -> None:
    """Not even the history."""
    empty = new_database()
    before = everything(empty)
    last = migrations()[-1]
    broken = [*migrations()[:-1], type(last)(last.version, last.name, "select 1/0;")]
    with pytest.raises(MigrationError, match=rf"{last.file} failed: division by zero\. Nothing was changed\."):
        migrate(empty.url, shipped=broken)
    assert everything(empty) == before
