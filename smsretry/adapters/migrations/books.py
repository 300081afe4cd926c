"""The books of what was applied, which the Supabase CLI keeps too: `supabase_migrations.schema_migrations`."""

from collections.abc import Mapping
from typing import Any, Final

import psycopg

_Connection = psycopg.Connection[tuple[Any, ...]]
_OPEN: Final = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (version text not null primary key);
alter table supabase_migrations.schema_migrations add column if not exists statements text[];
alter table supabase_migrations.schema_migrations add column if not exists name text;
"""
# Books that an early CLI began may lack the columns.
_READ: Final = """
select m ->> 'version', coalesce(m ->> 'name', ''), coalesce(m -> 'statements', '[]')
from (select to_jsonb(kept) as m from supabase_migrations.schema_migrations kept) books
"""
_ENTER: Final = """
insert into supabase_migrations.schema_migrations (version, name, statements) values (%s, %s, %s)
on conflict (version) do update set name = excluded.name, statements = excluded.statements
"""
_STRIKE: Final = """
delete from supabase_migrations.schema_migrations kept
using unnest(%s::text[], %s::text[]) as struck (version, name)
where kept.version = struck.version and kept.name = struck.name
"""


def opened(connection: _Connection) -> None:
    """Make them where there are none."""
    connection.execute(_OPEN)


def read(connection: _Connection) -> dict[str, tuple[str, str]]:
    """Name and statements of what was applied, by version. Empty where they are not kept; there may be no books yet."""
    found = connection.execute("select to_regclass('supabase_migrations.schema_migrations')").fetchone()
    if found == (None,):
        return {}
    return {version: (name, ";\n".join(kept or [])) for version, name, kept in connection.execute(_READ)}


def enter(connection: _Connection, version: str, name: str, text: str) -> None:
    """It was applied, in this form."""
    connection.execute(_ENTER, [version, name, [text]])


def strike(connection: _Connection, names: Mapping[str, str]) -> None:
    """Take out those of this version and name."""
    connection.execute(_STRIKE, [list(names), list(names.values())])
