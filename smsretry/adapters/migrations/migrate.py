"""Apply the SQL migrations that ship with the package, with the Supabase CLI's bookkeeping.

Version, name and statements go to `supabase_migrations.schema_migrations`, which `supabase db push` reads and writes
too: either may apply what the other has not. One transaction applies everything that is missing, or nothing.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import class_row

from smsretry.adapters.migrations import history
from smsretry.adapters.migrations.locks import blockers, lock_tables, wait_a_few_seconds
from smsretry.adapters.migrations.past_sends import PastSends, ask_about_past_sends, cancel_past_sends
from smsretry.adapters.migrations.schemas import schema_files
from smsretry.adapters.migrations.sections import without_superseded
from smsretry.adapters.migrations.shapes import Part, misfits
from smsretry.errors import MigrationError

_LOCK = "select pg_advisory_xact_lock(hashtext('smsretry migrate'))"
_PAUSES: Final = (1.0, 2.0, 5.0)
"""Seconds before the second, third and fourth try when somebody holds what the migration must lock."""
_Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Migration:
    """One file `<version>_<name>.sql`."""

    version: str
    name: str
    text: str

    @property
    def file(self) -> str:
        """The file's name."""
        return f"{self.version}_{self.name}.sql"


def migrations() -> list[Migration]:
    """All migrations of this version of the package, in order."""
    folder = files("smsretry").joinpath("supabase", "migrations")
    found = []
    for file in folder.iterdir():
        version, _, name = file.name.removesuffix(".sql").partition("_")
        found.append(Migration(version, name, file.read_text(encoding="utf-8")))
    return sorted(found, key=lambda migration: migration.version)


def migrate(
    db_url: str,
    *,
    again: bool = False,
    warn: Callable[[str], None] = lambda _: None,
    shipped: Sequence[Migration] | None = None,
    pauses: Sequence[float] = _PAUSES,
    past_sends: PastSends | None = None,
) -> list[Migration]:
    """Apply what the database does not have yet, all of it in one transaction; return what was applied.

    It waits for its locks a few seconds only. Then it gives way, pauses and tries again, so that nobody waits for long.

    Args:
        again: apply every file, even those in the history, to bring back what somebody dropped or revoked.
        warn: called with each warning: PostgreSQL's, such as rows that break a rule, and the rehearsal's.
        shipped: migrations to apply instead of this version's.
        pauses: seconds between the tries.
        past_sends: what to do with scheduled sends whose time has passed when their table is adopted.

    Raises:
        MigrationError: says what failed and what to do, or that there was no connection. Nothing was changed.
    """
    wanted = migrations() if shipped is None else list(shipped)
    with _connect(db_url) as connection:
        connection.add_notice_handler(
            lambda notice: warn(notice.message_primary or "") if notice.severity_nonlocalized == "WARNING" else None
        )
        for pause in (*pauses, 0):
            try:
                return _apply(connection, wanted, again, warn, past_sends)
            except _LOCKED:
                time.sleep(pause)
        held_by = blockers(connection)
    raise MigrationError(
        f"The migration waited too long for its locks. {held_by}Usually it is a transaction that somebody left open "
        "(psql, an SQL editor, a debugger), a long report or a backup: let it end, or end it, and run `smsretry "
        "migrate` again. Nothing was changed."
    )


_LOCKED: Final = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)


def _connect(db_url: str) -> _Connection:
    try:
        host = str(conninfo_to_dict(db_url).get("host", ""))
    except psycopg.ProgrammingError:
        host = "@"
    if "@" in host:  # libpq's error about such a URL quotes part of the password
        raise MigrationError(
            "--db-url is not a PostgreSQL URL (postgresql://user:password@host:5432/name). "
            "In a password, write %40 for @, %25 for %, %2F for / and %3A for a colon."
        )
    try:
        return psycopg.connect(db_url, autocommit=True, connect_timeout=10)
    except psycopg.OperationalError as error:
        reason = str(error).splitlines()[0]
    raise MigrationError(f"No connection to the database: {reason}. Check --db-url.")


def _apply(
    connection: _Connection,
    wanted: Sequence[Migration],
    again: bool,
    warn: Callable[[str], None],
    past_sends: PastSends | None,
) -> list[Migration]:
    """One try. Raises psycopg's errors about locks as they are."""
    where = "The migration"
    try:
        with connection.transaction():
            connection.execute(_LOCK)  # of two migrations at once, the second waits here and then finds the work done
            wait_a_few_seconds(connection)
            applied = history.read(connection)
            missing = [migration for migration in wanted if again or migration.version not in applied]
            if not missing:
                return []
            where = "Checking the tables that exist"
            _refuse_what_does_not_fit(connection)
            lock_tables(connection)
            cancel_until = ask_about_past_sends(connection, past_sends)
            history.create_table(connection)
            if again:  # an SQL function may call one that only a later file creates: see without_superseded
                connection.execute("set local check_function_bodies = off")
            for migration in missing:
                where = f"Migration {migration.file}"
                later = [other.text for other in wanted if other.version > migration.version]
                _run(connection, migration, without_superseded(migration.text, later) if again else migration.text)
            if cancel_until:
                where = "Cancelling the scheduled sends that are past"
                cancel_past_sends(connection, cancel_until)
            where = "The rehearsal after the migration"
            warnings = _rehearse(connection)
        for warning in warnings:
            warn(warning)
        return list(missing)
    except _LOCKED:
        raise
    except psycopg.Error as error:
        hint = f" {error.diag.message_hint}" if error.diag.message_hint else ""
        reason = f"{error.diag.message_primary or type(error).__name__}.{hint}"
    raise MigrationError(f"{where} failed: {reason} Nothing was changed.")


def _run(connection: _Connection, migration: Migration, text: str) -> None:
    connection.execute(sql.SQL(text))  # our own file, not input
    connection.execute("set constraints all immediate")  # a deferred check would stand in the next file's way
    history.record(connection, migration.version, migration.name, migration.text)


def _refuse_what_does_not_fit(connection: _Connection) -> None:
    [description] = [file.text for file in schema_files() if file.creates == "public.describe_sms_tables"]
    with connection.transaction(force_rollback=True):
        connection.execute("drop function if exists public.describe_sms_tables")
        connection.execute(sql.SQL(description))
        with connection.cursor(row_factory=class_row(Part)) as cursor:
            found = misfits(cursor.execute("select * from public.describe_sms_tables()").fetchall())
    if found:
        raise MigrationError(
            "Some of what is in this database does not fit:\n"
            + "".join(f"  {misfit}\n" for misfit in found)
            + "Change this first, together with whatever of the application relies on it; then run `smsretry migrate` "
            "again. Nothing was changed."
        )


def _rehearse(connection: _Connection) -> list[str]:
    """Rehearse a text on what was migrated. Warnings are returned: they are no reason to refuse the migration."""
    if connection.execute("select to_regproc('public.try_sms_retry_queue')").fetchone() == (None,):
        return []
    warnings = []
    for subject, ok, advice in connection.execute("select subject, ok, advice from public.try_sms_retry_queue()"):
        if not ok:
            raise MigrationError(
                f"With this migration no text could be sent: a rehearsal {advice}. Look for a constraint, a trigger or "
                "a policy of the application's that refuses it. Nothing was changed."
            )
        if advice:
            warnings.append(f"{subject} {advice}")
    return warnings
