"""A database as it was when the schema had been made, again and again: a test begins with what no other test left.

Tables that were empty then are emptied, and those that had rows get them back. Nobody lists them: the list is read from
the database, so an application's own tables are among them. Sequences run on.
"""

from typing import Any, Final

import psycopg
from psycopg import sql

from smsretry.errors import LocalStackError

EMPTY: Final = "select smsretry_testing.empty()"
"""Empties a database that `remember_rows` has seen; for whoever has a connection of the owner's."""
_LARGE: Final = 1_000_000
"""Bytes. To delete a few rows takes half a millisecond, to truncate 17; what many tests left behind is truncated."""

# Neither PostgreSQL's, nor Supabase's bookkeeping, nor the clock, which has no rows of a test's, nor an extension's.
_TABLES: Final = """
    select n.nspname as schema, c.relname as name, c.relkind = 'p' as is_parent
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and c.relpersistence <> 't' and n.nspname !~ '^pg_'
      and n.nspname not in ('information_schema', 'supabase_migrations', 'smsretry_local', 'smsretry_testing')
      and not exists (select from pg_depend d
                      where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
    order by 1, 2
"""
_COLUMNS: Final = """
    select a.attname as name from pg_attribute a
    where a.attrelid = %s::regclass and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' order by a.attnum
"""
# As a replica: no trigger and no foreign key has a say in it.
_FUNCTION: Final = """
create or replace function smsretry_testing.empty() returns void language plpgsql
set session_replication_role = replica set lock_timeout = '5s' set search_path = pg_catalog, pg_temp as $$
declare
    large constant boolean := {size} > {most};
begin
    if large then
        truncate {all};
    else
        {deletes}
    end if;
    {restores}
end
$$
"""
_RESTORE: Final = """
    if large or (select coalesce(sum(hashtextextended(row({columns})::text, 0)), 0) + count(*) from only {table})
        <> (select coalesce(sum(hashtextextended(row({columns})::text, 0)), 0) + count(*) from {kept}) then
        delete from only {table};
        insert into {table} ({columns}) overriding system value select {columns} from {kept};
    end if;
"""


def remember_rows(connection: psycopg.Connection[dict[str, Any]]) -> None:
    """Remember the database as it is now: `EMPTY` comes back to this."""
    with connection.transaction():
        connection.execute("drop schema if exists smsretry_testing cascade; create schema smsretry_testing")
        tables = connection.execute(_TABLES.encode()).fetchall()
        deletes, restores = list[sql.Composable](), list[sql.Composable]()
        for number, row in enumerate(tables):
            if row["is_parent"]:  # its rows are in its partitions
                continue
            table = sql.Identifier(row["schema"], row["name"])
            if connection.execute(sql.SQL("select 1 from only {} limit 1").format(table)).fetchone() is None:
                deletes.append(sql.SQL("delete from only {};").format(table))
            else:
                restores.append(_keep(connection, table, number))
        every = [sql.Identifier(row["schema"], row["name"]) for row in tables]
        sizes = [sql.SQL("pg_relation_size({}::regclass)").format(one.as_string(connection)) for one in every]
        connection.execute(
            sql.SQL(_FUNCTION).format(
                size=sql.SQL(" + ").join(sizes),
                most=_LARGE,
                all=sql.SQL(", ").join(every),
                deletes=sql.SQL("\n        ").join(deletes),
                restores=sql.SQL("").join(restores),
            )
        )


def empty(connection: psycopg.Connection[dict[str, Any]]) -> None:
    """Come back to what `remember_rows` saw.

    Raises:
        LocalStackError: somebody holds a table, or has changed one.
        psycopg.OperationalError: the connection is gone.
    """
    try:
        connection.execute(EMPTY)
    except psycopg.errors.LockNotAvailable as error:
        raise LocalStackError(
            "The tables could not be emptied for the next test: a transaction has held one of them for five seconds. "
            "Commit, roll back or close what the test before opened, in the application under test as well"
        ) from error
    except psycopg.ProgrammingError as error:
        raise LocalStackError(
            f"The tables could not be emptied for the next test: {error.diag.message_primary}. A test that changes a "
            "table's definition has to change it back"
        ) from error


def _keep(connection: psycopg.Connection[dict[str, Any]], table: sql.Identifier, number: int) -> sql.Composable:
    """Copy its rows; returns the statements that bring them back if they have changed."""
    named = connection.execute(_COLUMNS.encode(), [table.as_string(connection)]).fetchall()
    columns = sql.SQL(", ").join(sql.Identifier(column["name"]) for column in named)
    kept = sql.Identifier("smsretry_testing", f"kept_{number}")
    connection.execute(sql.SQL("create table {} as select {} from only {}").format(kept, columns, table))
    return sql.SQL(_RESTORE).format(table=table, kept=kept, columns=columns)
