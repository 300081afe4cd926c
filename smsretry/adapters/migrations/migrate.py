"""Apply the SQL migrations that ship with the package, with the Supabase CLI's bookkeeping.

Version, name and statements go to `supabase_migrations.schema_migrations`, which `supabase db push` reads and writes
too: either may apply what the other has not. One transaction applies everything that is missing, or nothing.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

import psycopg
from psycopg import sql

from smsretry.adapters.migrations import history
from smsretry.adapters.migrations.belongings import (
    changes,
    count_duplicates,
    is_installed,
    read_belongings,
    refuse_clashes,
)
from smsretry.adapters.migrations.connecting import Connection, connect
from smsretry.adapters.migrations.fitting import (
    refuse_another_database,
    refuse_broken_rows,
    refuse_what_does_not_fit,
)
from smsretry.adapters.migrations.locks import blockers, lock_tables, wait_a_few_seconds
from smsretry.adapters.migrations.past_sends import PastSends, ask_about_past_sends, cancel_past_sends
from smsretry.adapters.migrations.policies import ADOPTION, judge_policies, read_policies, restore_policies
from smsretry.adapters.migrations.sections import without_superseded
from smsretry.errors import MigrationError

_LOCK = "select pg_advisory_xact_lock(hashtext('smsretry migrate'))"
_PAUSES: Final = (1.0, 2.0, 5.0)
"""Seconds before the second, third and fourth try when somebody holds what the migration must lock."""


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


@dataclass(frozen=True, slots=True)
class _Order:
    """What a call of `migrate` asks for; its arguments."""

    wanted: Sequence[Migration]
    again: bool
    warn: Callable[[str], None]
    announce: Callable[[str], None]
    past_sends: PastSends | None
    drop_policies: bool
    dry_run: bool


def migrate(
    db_url: str,
    *,
    again: bool = False,
    warn: Callable[[str], None] = lambda _: None,
    announce: Callable[[str], None] = lambda _: None,
    shipped: Sequence[Migration] | None = None,
    pauses: Sequence[float] = _PAUSES,
    past_sends: PastSends | None = None,
    drop_policies: bool = False,
    dry_run: bool = False,
) -> list[Migration]:
    """Apply what the database does not have yet, all of it in one transaction; return what was applied.

    It waits for its locks a few seconds only. Then it gives way, pauses and tries again, so that nobody waits for long.

    Args:
        again: apply every file, even those in the history, to bring back what somebody dropped or revoked.
        warn: called with each warning: PostgreSQL's, such as rows that break a rule, and the rehearsal's.
        announce: called with a sentence about each thing of the application's that is taken or changed, before it is.
        shipped: migrations to apply instead of this version's.
        pauses: seconds between the tries.
        past_sends: what to do with scheduled sends whose time has passed when their table is adopted.
        drop_policies: drop the application's policies that let a tenant do more with the queue than read.
        dry_run: do all of it, announce, and roll back.

    Raises:
        MigrationError: says what failed and what to do, or that there was no connection. Nothing was changed.
    """
    wanted = migrations() if shipped is None else list(shipped)
    order = _Order(wanted, again, warn, announce, past_sends, drop_policies, dry_run)
    with connect(db_url) as connection:
        connection.add_notice_handler(
            lambda notice: warn(notice.message_primary or "") if notice.severity_nonlocalized == "WARNING" else None
        )
        for pause in (*pauses, 0):
            try:
                return _apply(connection, order)
            except _LOCKED:
                time.sleep(pause)
        held_by = blockers(connection)
    raise MigrationError(
        f"The migration waited too long for its locks. {held_by}Usually it is a transaction that somebody left open "
        "(psql, an SQL editor, a debugger), a long report or a backup: let it end, or end it, and run `smsretry "
        "migrate` again. Nothing was changed."
    )


_LOCKED: Final = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)


def _apply(connection: Connection, order: _Order) -> list[Migration]:
    """One try. Raises psycopg's errors about locks as they are."""
    where, warnings = "The migration", list[str]()
    try:
        with connection.transaction():
            connection.execute(_LOCK)  # of two migrations at once, the second waits here and then finds the work done
            wait_a_few_seconds(connection)
            applied = history.read(connection)
            missing = [migration for migration in order.wanted if order.again or migration.version not in applied]
            if not missing:
                return []
            where = "Checking the tables that exist"
            refuse_another_database(connection)
            refuse_what_does_not_fit(connection)
            lock_tables(connection)
            cancel_until = ask_about_past_sends(connection, order.past_sends)
            kept = _Kept(connection, order, missing)
            history.create_table(connection)
            if order.again:  # an SQL function may call one that only a later file creates: see without_superseded
                connection.execute("set local check_function_bodies = off")
            for migration in missing:
                where = f"Migration {migration.file}"
                later = [other.text for other in order.wanted if other.version > migration.version]
                text = without_superseded(migration.text, later) if order.again else migration.text
                _run(connection, migration, text)
            if cancel_until:
                where = "Cancelling the scheduled sends that are past"
                cancel_past_sends(connection, cancel_until)
            where = "Keeping what is the application's"
            announcements = kept.restored()
            where = "The rehearsal after the migration"
            warnings = _rehearse(connection)
            for sentence in announcements:
                order.announce(sentence)
            if order.dry_run:
                raise psycopg.Rollback
        for warning in warnings:
            order.warn(warning)
        return list(missing)
    except _LOCKED:
        raise
    except psycopg.Error as error:
        refuse_broken_rows(error)
        hint = f" {error.diag.message_hint}" if error.diag.message_hint else ""
        reason = f"{error.diag.message_primary or type(error).__name__}.{hint}"
    raise MigrationError(f"{where} failed: {reason} Nothing was changed.")


class _Kept:
    """What is the application's, as it was before the migration."""

    def __init__(self, connection: Connection, order: _Order, missing: Sequence[Migration]) -> None:
        """Read it, and refuse what cannot be kept."""
        self._connection = connection
        adopts = not is_installed(connection)
        self._ours = [] if adopts else [migration.text for migration in order.wanted]
        self._belongings = read_belongings(connection)
        refuse_clashes(self._belongings, adopts=adopts)
        self._policies = read_policies(connection)
        self._narrow, self._said = judge_policies(
            self._policies,
            adopts=adopts,
            drops_all=any(migration.version == ADOPTION for migration in missing),
            drop=order.drop_policies,
        )
        if adopts and (duplicates := count_duplicates(connection)):
            self._said.append(
                f"{duplicates} rows of sms_retry_queue are cancelled, because their text has another live row"
            )

    def restored(self) -> list[str]:
        """Bring back what the files dropped; return a sentence about each thing that is different now."""
        policies = list(restore_policies(self._connection, self._policies, self._narrow))
        others = changes(self._belongings, read_belongings(self._connection), ours=self._ours)
        return [*self._said, *policies, *others]


def _run(connection: Connection, migration: Migration, text: str) -> None:
    connection.execute(sql.SQL(text))  # our own file, not input
    connection.execute("set constraints all immediate")  # a deferred check would stand in the next file's way
    history.record(connection, migration.version, migration.name, migration.text)


def _rehearse(connection: Connection) -> list[str]:
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
