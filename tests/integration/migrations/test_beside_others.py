"""A migration beside sessions that hold its tables, or killed: it gives way, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from smsretry.adapters.migrations.locks import lock_tables
from smsretry.adapters.migrations.migrate import Migration, migrate, migrations
from smsretry.errors import MigrationError
from tests.integration.catalog import Database
from tests.support.restoring import schema_of
from tests.support.waiting import until

_WORKING = """
select from pg_locks where locktype = 'advisory'
  and database = (select oid from pg_database where datname = current_database())
"""
_MIGRATE = "import sys; from smsretry.adapters.migrations.migrate import migrate; migrate(sys.argv[1])"


def test_a_migration_behind_an_open_reader_gives_way_and_says_who_it_is_or_goes_through_when_it_ends(
    original: Database,
) -> None:
    """It tries a few times by itself, so that nobody waits behind it for long, and leaves nothing. To find that nothing
    is to be done, it waits for nobody.
    """
    before = schema_of(original.url)
    with (
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(original.url, application_name="a long report") as report,
    ):
        report.execute("select 1 from businesses")
        with pytest.raises(MigrationError) as raised:
            migrate(f"{original.url}?options=-clock_timeout%3D500", pauses=[0.3, 0.3])
        said = str(raised.value)
        assert (
            f"Session {report.info.backend_pid} (a long report, idle in transaction, open for "
            in said
        )
        assert "holds businesses" in said
        assert "run `smsretry migrate` again. Nothing was changed." in said
        assert schema_of(original.url) == before
        under_way = pool.submit(
            migrate, f"{original.url}?options=-clock_timeout%3D200", pauses=[0.2] * 50
        )
        time.sleep(1)
        assert not under_way.done()
        report.rollback()
        report.execute("select from customers, send_logs")  # may be read on
        assert under_way.result() == migrations()
        report.rollback()
        report.execute("lock table sms_retry_queue, businesses")
        assert migrate(original.url, pauses=[]) == []


def test_a_migration_that_fails_at_its_last_file_or_is_killed_keeps_all_or_nothing(
    original: Database,
) -> None:
    """By kill -9, at moments from its first statement on. It goes through afterwards."""
    before, environment = (
        schema_of(original.url),
        os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    broken = Migration(
        "20270101000000",
        "broken",
        """do $$ begin raise 'Broken' using detail = 'By a test'; end $$""",
    )
    with pytest.raises(
        MigrationError,
        match=rf"{broken.file} failed: Broken\. By a test\. Nothing was changed\.",
    ):
        migrate(original.url, shipped=[*migrations(), broken])
    assert schema_of(original.url) == before
    assert original.rows(
        "select to_regnamespace('supabase_migrations') as history"
    ) == [{"history": None}]
    for seconds in (0.0, 0.1, 0.3):
        with subprocess.Popen(
            [sys.executable, "-c", _MIGRATE, original.url], env=environment
        ) as process:
            until(lambda: bool(original.rows(_WORKING)) or process.poll() is not None)
            time.sleep(seconds)
            process.send_signal(signal.SIGKILL)
        until(lambda: not original.rows(_WORKING))
        if schema_of(original.url) != before:  # it had committed
            break
    assert migrate(original.url) in ([], migrations())
    assert original.applied() == [
        f"{migration.version}_{migration.name}" for migration in migrations()
    ]


def test_customers_and_send_logs_are_read_beside_the_locks_of_a_migration(
    original: Database,
) -> None:
    """They are large, and get nothing but triggers and indexes. Nobody writes them meanwhile."""
    with (
        psycopg.connect(original.url) as migration,
        psycopg.connect(original.url, options="-c lock_timeout=500") as reader,
    ):
        lock_tables(migration)
        reader.execute("select from customers, send_logs")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            reader.execute("delete from customers")
