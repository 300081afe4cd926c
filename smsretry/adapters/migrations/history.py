"""The history of applied migrations, `supabase_migrations.schema_migrations`. The Supabase CLI uses it too."""

from typing import Final

from smsretry.adapters.migrations.connecting import Connection

_CREATE: Final = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (version text not null primary key);
alter table supabase_migrations.schema_migrations add column if not exists statements text[];
alter table supabase_migrations.schema_migrations add column if not exists name text;
"""
_RECORD: Final = """
insert into supabase_migrations.schema_migrations (version, name, statements) values (%s, %s, %s)
on conflict (version) do update set name = excluded.name, statements = excluded.statements
"""


def create_table(connection: Connection) -> None:
    """Create it if there is none."""
    connection.execute(_CREATE)


def read(connection: Connection) -> set[str]:
    """The versions that were applied. Empty if there is no table yet."""
    found = connection.execute("select to_regclass('supabase_migrations.schema_migrations')").fetchone()
    if found == (None,):
        return set()
    return {version for (version,) in connection.execute("select version from supabase_migrations.schema_migrations")}


def record(connection: Connection, version: str, name: str, text: str) -> None:
    """Record a migration as applied."""
    connection.execute(_RECORD, [version, name, [text]])
