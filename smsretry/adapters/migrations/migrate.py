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

from smsretry.adapters.migrations.checksums import drop_statements, read_checksums
from smsretry.adapters.migrations.connecting import Connection, connect, exists
from smsretry.adapters.migrations.fitting import refuse_what_does_not_fit
from smsretry.adapters.migrations.locks import (
    describe_blockers,
    limit_lock_wait,
    lock_tables,
)
from smsretry.adapters.migrations.schemas import (
    RELOAD,
    schema_files,
    schema_text,
)
from smsretry.errors import MigrationError
from smsretry.retry.customers import Customer, customer_findings

_LOCK: Final = "select pg_advisory_xact_lock(hashtext('smsretry migrate'))"
_PAUSES: Final = (1.0, 2.0, 5.0)
"""Seconds before the second, third and fourth try when somebody holds what the migration must lock."""
_SAMPLE: Final = (
    "smsretry.consent",
    "smsretry.numberless",
    "public.sample_sms_customers",
)
"""The functions that sample customers, for a database that does not have them yet."""
_LOCK_ERRORS: Final = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)
_HISTORY: Final = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (version text not null primary key);
alter table supabase_migrations.schema_migrations add column if not exists statements text[];
alter table supabase_migrations.schema_migrations add column if not exists name text;
"""
_RECORD: Final = """
insert into supabase_migrations.schema_migrations (version, name, statements) values (%s, %s, %s)
on conflict (version) do update set name = excluded.name, statements = excluded.statements
"""
_VERSIONS: Final = "select version from supabase_migrations.schema_migrations"
_UNPROVED: Final = """
select k.conrelid::regclass::text, k.conname::text, pg_get_constraintdef(k.oid)
from pg_catalog.pg_constraint k
where not k.convalidated
  and k.conrelid in (to_regclass('public.sms_retry_queue'), to_regclass('public.scheduled_sends'))
  and k.conname ~ '^(sms_retry_queue|scheduled_sends)_'
"""


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
    shipped_migrations = []
    for file in folder.iterdir():
        version, _, name = file.name.removesuffix(".sql").partition("_")
        text = file.read_text(encoding="utf-8")
        shipped_migrations.append(Migration(version, name, text))
    return sorted(shipped_migrations, key=lambda migration: migration.version)


def migrate(
    db_url: str,
    *,
    again: bool = False,
    dry_run: bool = False,
    warn: Callable[[str], None] = lambda _: None,
    shipped: Sequence[Migration] | None = None,
    pauses: Sequence[float] = _PAUSES,
    write_sample: Callable[[Connection], None] = lambda _: None,
) -> list[Migration]:
    """Apply what the database does not have yet, all of it in one transaction; return what was applied.

    It waits for its locks a few seconds only. Then it gives way, pauses and tries again, so that nobody waits for long.

    Args:
        again: also run the whole schema as it is now, to bring back what somebody dropped, changed or revoked.
        dry_run: look at what does not fit, and say what is missing. It locks and changes nothing, and so rehearses
            nothing: a migration does that before it commits.
        warn: called with each warning: PostgreSQL's, of rows that break a rule, and the rehearsal's.
        shipped: migrations to apply instead of this version's.
        pauses: seconds between the tries.
        write_sample: writes a business, a customer and a send log to rehearse with, which are taken back. Left out, an
            empty database cannot be migrated if a column of the application's needs a value.

    Raises:
        MigrationError: says what failed and what to do, or that there was no connection. Nothing was changed.
    """
    if shipped is None:
        shipped = migrations()
    schema = schema_text(schema_files()) if again else ""

    def pass_warning(notice: psycopg.errors.Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING":
            warn(notice.message_primary or "")

    with connect(db_url) as connection:
        connection.add_notice_handler(pass_warning)
        for pause in (*pauses, 0):
            try:
                applied, warnings = _apply(
                    connection,
                    shipped=shipped,
                    schema=schema,
                    write_sample=write_sample,
                    dry_run=dry_run,
                )
            except _LOCK_ERRORS:
                time.sleep(pause)
                continue
            for warning in warnings:
                warn(warning)
            return applied
        blockers = describe_blockers(connection)
    raise MigrationError(
        f"The migration waited too long for its locks. {blockers}Usually it is a transaction that somebody left open "
        "(psql, an SQL editor, a debugger), a long report or a backup: let it end, or end it, and run `smsretry "
        "migrate` again. Nothing was changed."
    )


def _apply(
    connection: Connection,
    *,
    shipped: Sequence[Migration],
    schema: str,
    write_sample: Callable[[Connection], None],
    dry_run: bool,
) -> tuple[list[Migration], list[str]]:
    """One try: the migrations that were applied, and warnings.

    Args:
        schema: the text to run after the migrations, or nothing.

    Raises:
        psycopg.Error: a lock could not be had.
        MigrationError: anything else failed.
    """
    step = "The migration"
    warnings = list[str]()

    try:
        with connection.transaction():
            # Of two migrations at once, the second waits here, and then finds the work done.
            connection.execute(_LOCK)
            limit_lock_wait(connection)
            applied_versions = _applied_versions(connection)
            step = "Checking what exists"
            missing = [
                migration
                for migration in shipped
                if migration.version not in applied_versions
            ]
            if not (missing or schema):
                connection.execute(RELOAD)
                return [], []
            refuse_what_does_not_fit(connection)
            warnings += _customer_warnings(connection)
            if dry_run:
                return missing, warnings
            lock_tables(connection)
            connection.execute(_HISTORY)
            for migration in missing:
                step = f"Migration {migration.file}"
                _run(connection, migration.text)
                connection.execute(
                    _RECORD, [migration.version, migration.name, [migration.text]]
                )
            if schema:
                step = "Applying the schema again"
                drops = drop_statements(read_checksums(connection))
                _run(connection, "".join(drops) + schema)
            warnings += _prove_rules(connection)
            step = "The rehearsal after the migration"
            with connection.transaction(force_rollback=True):
                write_sample(connection)
                _rehearse(connection)
        return missing, warnings
    except _LOCK_ERRORS:
        raise
    except psycopg.Error as error:
        reason = _describe(error)
    raise MigrationError(f"{step} failed: {reason}. Nothing was changed.")


def _describe(error: psycopg.Error) -> str:
    """PostgreSQL's message. The detail of a broken constraint quotes the row, and is left out."""
    diagnostics = error.diag
    sentences = [
        diagnostics.message_primary or type(error).__name__,
        diagnostics.message_detail,
        diagnostics.message_hint,
    ]
    if isinstance(error, psycopg.errors.IntegrityError):
        del sentences[1]
    return ". ".join(sentence.rstrip(".") for sentence in sentences if sentence)


def _applied_versions(connection: Connection) -> set[str]:
    """The versions in the history. Empty if there is none yet."""
    if not exists(connection, "supabase_migrations.schema_migrations"):
        return set()
    return {version for (version,) in connection.execute(_VERSIONS)}


def _run(connection: Connection, text: str) -> None:
    connection.execute(sql.SQL(text))  # our own file, not input
    # A deferred check would stand in the next file's way.
    connection.execute("set constraints all immediate")


def _prove_rules(connection: Connection) -> list[str]:
    """Prove our rules for rows that were there before. A warning names each rule that some break.

    Such a row stays, and must keep the rule from its next change on.
    """
    warnings = []
    for table, name, rule in connection.execute(_UNPROVED).fetchall():
        try:
            with connection.transaction():
                connection.execute(
                    sql.SQL("alter table {} validate constraint {}").format(
                        sql.SQL(table), sql.Identifier(name)
                    )
                )
        except psycopg.errors.CheckViolation:
            broken = rule.removeprefix("CHECK ").removesuffix(" NOT VALID")
            query = (
                sql.SQL("select id from {} where not {}")
                .format(sql.SQL(table), sql.SQL(broken))
                .as_string()
            )
            warnings.append(f"{table} holds rows that break {name}: {query}")
    return warnings


def _rehearse(connection: Connection) -> None:
    """Rehearse a text on what was migrated.

    Raises:
        MigrationError: it could not be sent, or nobody knows.
    """
    if not exists(connection, "public.try_sms_retry_queue"):
        return
    [(ok, advice), *_] = connection.execute(
        "select ok, advice from public.try_sms_retry_queue()"
    ).fetchall()
    if not ok:
        raise MigrationError(
            f"With this migration no text could be sent: a rehearsal {advice}. Look for a constraint, a trigger or "
            "a policy of the application's that refuses it. Nothing was changed."
        )
    if advice:
        raise MigrationError(
            f"Nobody knows whether a text could be sent with this migration: a rehearsal {advice}. If there is none to "
            "try with, insert a business, a customer and a send log of channel sms. Then run `smsretry migrate` "
            "again. Nothing was changed."
        )


def _customer_warnings(connection: Connection) -> list[str]:
    """Warnings of customers whose number or zone makes texts wait. They are no reason to refuse the migration."""
    if not exists(connection, "public.customers"):
        return []
    with connection.transaction(force_rollback=True):
        connection.execute("create schema if not exists smsretry")
        for file in schema_files():
            if file.creates in _SAMPLE:
                connection.execute(sql.SQL(file.text))
        [(rows,)] = connection.execute(
            "select public.sample_sms_customers()"
        ).fetchall()
    customers = [Customer.model_validate(row) for row in rows]
    return [str(finding) for finding in customer_findings(customers)]
