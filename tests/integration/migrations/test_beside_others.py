"""A migration beside sessions that hold its tables, or killed: it gives way, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import psycopg
import pytest

from smsretry.adapters.migrations.migrate import Migration, migrate, migrations
from smsretry.errors import MigrationError
from tests.integration.catalog import Database
from tests.support.waiting import until

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
_WORKING = """
select from pg_locks where locktype = 'advisory'
  and database = (select oid from pg_database where datname = current_database())
"""
_MIGRATE = """
import sys
from smsretry.adapters.migrations.migrate import migrate
migrate(sys.argv[1])
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
    assert migrate(original.url) == migrations()


def test_a_migration_goes_through_when_the_reader_ends_in_time_and_locks_nothing_when_there_is_nothing_to_do(
    original: Database,
) -> None:
    """It tries again by itself. To find that nothing is to be done, nobody waits."""
    with ThreadPoolExecutor(1) as pool, psycopg.connect(original.url) as report:
        report.execute("select 1 from customers")
        under_way = pool.submit(migrate, f"{original.url}?options=-clock_timeout%3D200", pauses=[0.2] * 50)
        time.sleep(1)
        assert not under_way.done()
        report.rollback()
        assert under_way.result() == migrations()
        report.execute("lock table sms_retry_queue, send_logs")
        assert migrate(original.url, pauses=[]) == []


def test_a_migration_that_fails_at_its_last_file_keeps_none(new_database: Callable[[], Database]) -> None:
    """Not even the history."""
    empty = new_database()
    before = everything(empty)
    broken = Migration("20270101000000", "broken", "select 1/0;")
    with pytest.raises(MigrationError, match=rf"{broken.file} failed: division by zero\. Nothing was changed\."):
        migrate(empty.url, shipped=[*migrations(), broken])
    assert everything(empty) == before


def test_a_migration_that_is_killed_leaves_all_or_nothing_and_goes_through_afterwards(original: Database) -> None:
    """By kill -9, at moments from its first statement on."""
    before, environment = everything(original), os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    for seconds in (0.0, 0.1, 0.3, 0.6):
        with subprocess.Popen([sys.executable, "-c", _MIGRATE, original.url], env=environment) as process:
            until(lambda: bool(original.rows(_WORKING)) or process.poll() is not None)
            time.sleep(seconds)
            process.send_signal(signal.SIGKILL)
        until(lambda: not original.rows(_WORKING))
        if everything(original) != before:  # it had committed
            break
    assert migrate(original.url) in ([], migrations())
    assert original.applied() == [f"{migration.version}_{migration.name}" for migration in migrations()]
