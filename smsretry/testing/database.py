"""The database of a test: made with the application's own schema, and as new before each test.

In production that schema was there before our migrations, so it is applied first. Every table is emptied, and those
that had rows when the schema had been made get them back. Nobody lists them: the list is read from the database, so an
application's own tables are among them. Sequences run on.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from smsretry.errors import LocalStackError

_HINTS: Final = {
    "is not available": "The embedded PostgreSQL has fewer extensions than Supabase: leave this one out in tests",
    'at or near "\\': "A line that begins with a backslash is psql's own and no SQL: leave it out",
}
EMPTY: Final = "select smsretry_testing.empty()"
"""Empties a database that `remember_rows` has seen; for whoever has a connection of the owner's."""
_LARGE: Final = 1_000_000
"""Bytes. To delete a few rows takes half a millisecond, to truncate 17; what many tests left behind is truncated."""

# Neither PostgreSQL's tables, nor Supabase's bookkeeping, nor the clock. A partition's rows are its parent's.
_TABLES: Final = """
    select format('%I.%I', n.nspname, c.relname) as name,
           (select string_agg(quote_ident(a.attname), ', ') from pg_attribute a
            where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = '') as columns
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and not c.relispartition and c.relpersistence <> 't' and n.nspname !~ '^pg_'
      and n.nspname not in ('information_schema', 'supabase_migrations', 'smsretry_local', 'smsretry_testing')
    order by 1
"""
# As a replica: no trigger and no foreign key has a say in it.
_FUNCTION: Final = """
create or replace function smsretry_testing.empty() returns void language plpgsql
set session_replication_role = replica set lock_timeout = '5s' set search_path = pg_catalog, pg_temp as $$
begin
    if {size} > {large} then
        truncate {all};
    else
        {deletes}
    end if;
    {restores}
end
$$
"""


def apply_schema(database_url: str, paths: Sequence[Path]) -> None:
    """Apply SQL files, and folders whose `*.sql` are applied by name, in order.

    Raises:
        LocalStackError: names the file and the line, and says what the database said.
    """
    for file in [file for path in paths for file in _files(path)]:
        text = file.read_text(encoding="utf-8")
        # It is one transaction, as with the Supabase CLI; and what it sets (`search_path` in a dump) ends with it.
        try:
            with psycopg.connect(database_url, autocommit=True) as connection:
                connection.execute(sql.SQL(text))  # the developer's own file
        except psycopg.Error as error:
            position = error.diag.statement_position
            line = (
                f", line {text.count(chr(10), 0, int(position)) + 1}"
                if position
                else ""
            )
            message = error.diag.message_primary or str(error)
            hint = next(
                (hint for words, hint in _HINTS.items() if words in message),
                error.diag.message_hint,
            )
            raise LocalStackError(
                f"{file}{line}: {message}. {hint or ''}".rstrip()
            ) from None


def _files(path: Path) -> list[Path]:
    paths = [path] if path.is_file() else sorted(path.glob("*.sql"))
    if not paths:
        raise LocalStackError(
            f"There is no {path.absolute()}, or it has no *.sql: correct the path in sms_schema"
        )
    return paths


def remember_rows(connection: psycopg.Connection[dict[str, Any]]) -> None:
    """Remember the database as it is now: `EMPTY` comes back to this."""
    with connection.transaction():
        connection.execute(
            "drop schema if exists smsretry_testing cascade; create schema smsretry_testing"
        )
        tables = [
            tuple(map(sql.SQL, row.values()))
            for row in connection.execute(_TABLES.encode()).fetchall()
        ]
        restores = []
        for number, (name, columns) in enumerate(tables):
            if connection.execute(
                sql.SQL("select 1 from {} limit 1").format(name)
            ).fetchone():
                saved_table = sql.Identifier("smsretry_testing", f"kept_{number}")
                connection.execute(
                    sql.SQL("create table {} as select {} from {}").format(
                        saved_table, columns, name
                    )
                )
                restore = sql.SQL(
                    "insert into {} ({}) overriding system value select * from {};"
                )
                restores.append(restore.format(name, columns, saved_table))
        names = [name for name, _ in tables]
        sizes = [
            sql.SQL("pg_relation_size({})").format(name.as_string()) for name in names
        ]
        connection.execute(
            sql.SQL(_FUNCTION).format(
                size=sql.SQL(" + ").join(sizes),
                large=_LARGE,
                all=sql.SQL(", ").join(names),
                deletes=sql.SQL("\n        ").join(
                    sql.SQL("delete from {};").format(name) for name in names
                ),
                restores=sql.SQL("\n    ").join(restores),
            )
        )


def empty(connection: psycopg.Connection[dict[str, Any]]) -> None:
    """Come back to what `remember_rows` saw.

    Raises:
        LocalStackError: a transaction holds a table.
        psycopg.OperationalError: the connection is gone.
    """
    try:
        connection.execute(EMPTY)
    except psycopg.errors.LockNotAvailable as error:
        raise LocalStackError(
            "The tables could not be emptied for the next test: a transaction has held one of them for five seconds. "
            "Commit, roll back or close what the test before opened, in the application under test as well"
        ) from error
