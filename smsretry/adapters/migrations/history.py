"""The history of what was applied, which the Supabase CLI keeps too: `supabase_migrations.schema_migrations`."""

from typing import Any, Final

import psycopg

_Connection = psycopg.Connection[tuple[Any, ...]]
_OPEN: Final = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (version text not null primary key);
alter table supabase_migrations.schema_migrations add column if not exists statements text[];
alter table supabase_migrations.schema_migrations add column if not exists name text;
"""
_ENTER: Final = """
insert into supabase_migrations.schema_migrations (version, name, statements) values (%s, %s, %s)
on conflict (version) do update set name = excluded.name, statements = excluded.statements
"""


def opened(connection: _Connection) -> None:
    """Create the table if there is none."""
    connection.execute(_OPEN)


def read(connection: _Connection) -> set[str]:
    """The versions that were applied. None if there is no table yet."""
    found = connection.execute("select to_regclass('supabase_migrations.schema_migrations')").fetchone()
    if found == (None,):
        return set()
    return {version for (version,) in connection.execute("select version from supabase_migrations.schema_migrations")}


def enter(connection: _Connection, version: str, name: str, text: str) -> None:
    """Record a migration as applied."""
    connection.execute(_ENTER, [version, name, [text]])
