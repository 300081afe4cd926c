"""Apply the SQL migrations that ship with the package, with the Supabase CLI's bookkeeping.

Version, name and statements go to `supabase_migrations.schema_migrations`, which `supabase db push` reads and writes
too: either may apply what the other has not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from smsretry.adapters.supabase.sections import without_superseded
from smsretry.errors import MigrationError

_BOOKS = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (version text not null primary key);
alter table supabase_migrations.schema_migrations add column if not exists statements text[];
alter table supabase_migrations.schema_migrations add column if not exists name text;
"""
_LOCK = "select pg_advisory_xact_lock(hashtext('smsretry migrate'))"


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
) -> list[Migration]:
    """Apply what the database does not have yet, each file in a transaction of its own; return what was applied.

    Args:
        again: apply every file, even those that the books hold: brings back what somebody dropped or revoked.
        warn: told what PostgreSQL warns of, such as rows that break a rule.
        shipped: other migrations than this version's.

    Raises:
        MigrationError: says which file failed and why, or that there was no connection.
    """
    wanted = migrations() if shipped is None else list(shipped)
    with _connect(db_url) as connection:
        connection.add_notice_handler(
            lambda notice: warn(notice.message_primary or "") if notice.severity_nonlocalized == "WARNING" else None
        )
        applied = []
        for place, migration in enumerate(wanted):
            later = [other.text for other in wanted[place + 1 :]]
            text = without_superseded(migration.text, later) if again else migration.text
            if _apply(connection, migration, text, again):
                applied.append(migration)
        return applied


def _connect(db_url: str) -> psycopg.Connection:
    try:
        host = str(conninfo_to_dict(db_url).get("host", ""))
    except psycopg.ProgrammingError:
        host = "@"
    if "@" in host:  # what libpq says of such a URL quotes a part of the password
        raise MigrationError(
            "--db-url is no PostgreSQL URL (postgresql://user:password@host:5432/name). "
            "In a password, write %40 for @, %25 for %, %2F for / and %3A for a colon."
        )
    try:
        return psycopg.connect(db_url, autocommit=True, connect_timeout=10)
    except psycopg.OperationalError as error:
        reason = str(error).splitlines()[0]
    raise MigrationError(f"No connection to the database: {reason}. Check --db-url.")


def _apply(connection: psycopg.Connection, migration: Migration, text: str, again: bool) -> bool:
    try:
        with connection.transaction():
            connection.execute(_LOCK)  # two at once: the second waits here, and then finds the work done
            connection.execute(_BOOKS)
            known = connection.execute(
                "select 1 from supabase_migrations.schema_migrations where version = %s", [migration.version]
            )
            if known.fetchone() and not again:
                return False
            connection.execute(sql.SQL(text))  # our own file, not input
            connection.execute(
                """insert into supabase_migrations.schema_migrations (version, name, statements) values (%s, %s, %s)
                   on conflict (version) do nothing""",
                [migration.version, migration.name, [migration.text]],
            )
            return True
    except psycopg.Error as error:
        hint = f" {error.diag.message_hint}" if error.diag.message_hint else ""
        reason = f"{error.diag.message_primary or type(error).__name__}.{hint}"
    raise MigrationError(f"Migration {migration.file} failed: {reason} Nothing of it was kept.")
