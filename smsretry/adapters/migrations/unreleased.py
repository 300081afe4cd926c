"""A database that a version made which was never released: making way in it for the migrations of this one.

A migration that is not released yet may be rewritten, and before 1.0 all of them were. The books keep the statements of
what was applied. Where these are not what is shipped, the text under that number would never be applied. Applying it
again is not enough: tables that exist keep their columns, and functions their parameters. So what holds no data goes
first, and what the tables lack is added. The migrations make the rest anew. No row is touched.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import psycopg
from psycopg import sql

from smsretry.adapters.migrations import books
from smsretry.adapters.migrations.schemas import SchemaFile
from smsretry.adapters.migrations.wanted_objects import wanted_objects
from smsretry.errors import MigrationError

RENAMED: Final = {
    "20261124000100": "clock_and_tables",
    "20261124000200": "columns_and_constraints",
    "20261124000300": "entry_functions",
    "20261124000400": "worker_functions",
    "20261124000500": "access",
}
"""What the migrations were called before they were written anew, in the books of the earliest databases."""
BROUGHT_UP: Final = (
    "The database was made by a version that was never released. It is now as this version makes it, with its rows. "
    "Rights on smsretry's functions that you gave to roles of your own must be given again."
)
_Connection = psycopg.Connection[tuple[Any, ...]]

# Each of these answers statements. functions, constraints and indexes are what the books name, and this version makes.
_TRIGGERS: Final = """
select format('drop trigger %%I on %%s', t.tgname, t.tgrelid::regclass)
from pg_catalog.pg_trigger t join pg_catalog.pg_proc p on p.oid = t.tgfoid
where p.pronamespace = to_regnamespace('smsretry') and not t.tgisinternal
"""
_FUNCTIONS_AND_VIEWS: Final = """
select format('drop function %%s', p.oid::regprocedure)
from pg_catalog.pg_proc p
where p.pronamespace = to_regnamespace('smsretry') and p.proname <> 'clock'
   or p.pronamespace = 'public'::regnamespace and 'public.' || p.proname = any (%(functions)s)
union all
select format('drop view %%s', c.oid::regclass)
from pg_catalog.pg_class c
where c.relkind = 'v' and c.relnamespace = to_regnamespace('smsretry')
"""
# PostgreSQL ends the name of a constraint that nobody named with _check, _key, …: those stay as they are.
_CONSTRAINTS: Final = """
select format('alter table %%s drop constraint %%I', k.conrelid::regclass, k.conname)
from pg_catalog.pg_constraint k join pg_catalog.pg_class c on c.oid = k.conrelid
where k.contype in ('c', 'u') and k.conname = any (%(constraints)s)
  and (c.relnamespace = to_regnamespace('smsretry')
       or c.oid in (to_regclass('public.sms_send_attempts'), to_regclass('public.sms_retry_queue')))
"""
_INDEXES: Final = """
select format('drop index %%s', i.indexrelid::regclass)
from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indexrelid
where c.relname = any (%(indexes)s)
  and c.relnamespace in ('public'::regnamespace, to_regnamespace('smsretry'))
  and not exists (select 1 from pg_catalog.pg_constraint k where k.conindid = i.indexrelid)
"""
# In the first versions a text's life began when it was queued.
_DEFAULTS: Final = """
select 'alter table public.sms_retry_queue alter column expires_at drop not null, alter column expires_at drop default'
from pg_catalog.pg_attribute a
where a.attrelid = to_regclass('public.sms_retry_queue') and a.attname = 'expires_at' and not a.attisdropped
"""
_TABLES: Final = """
select c.relnamespace::regnamespace || '.' || c.relname
from pg_catalog.pg_class c
where c.relkind = 'r'
  and (c.relnamespace = to_regnamespace('smsretry') or c.oid = to_regclass('public.sms_send_attempts'))
"""
_NAMED: Final = re.compile(r"\b(?:sms_retry_queue|sms_send_attempts)_\w+")


def applied_in_another_form(applied: Mapping[str, tuple[str, str]], shipped: Mapping[str, str]) -> dict[str, str]:
    """What was applied of ours and is not what is shipped, by version.

    Args:
        applied: name and statements of what was applied, by version; of one without statements nothing is known.
        shipped: the texts of this version's migrations, by version.
    """
    return {
        version: text
        for version, (name, text) in applied.items()
        if RENAMED.get(version) == name or (text and version in shipped and _bare(text) != _bare(shipped[version]))
    }


def _bare(text: str) -> str:
    """Without what stands between statements, which the Supabase CLI does not keep."""
    return re.sub(r"[\s;]+", "", text)


def make_way(connection: _Connection, applied: Mapping[str, str]) -> None:
    """Drop what these texts made and holds no data, add the columns and rules that our tables lack, and take the
    migrations that were renamed out of the books.

    Raises:
        MigrationError: something of the application's depends on it, or rows that are there break a rule.
        psycopg.Error: the locks took too long.
    """
    try:
        _make_way(connection, [SchemaFile(version, text) for version, text in applied.items()])
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
        raise
    except psycopg.errors.DependentObjectsStillExist as error:
        reason = f"{error.diag.message_detail}. Drop that first, and make it anew afterwards."
    except psycopg.Error as error:  # its detail might quote a row
        reason = f"{error.diag.message_primary}. Mend that first."
    else:
        books.strike(connection, RENAMED)
        return
    raise MigrationError(
        f"This database was made by a version that was never released ({', '.join(sorted(applied))}), and something in "
        f"it stands in the way of this one: {reason} Then run `smsretry migrate` again. Nothing was changed."
    )


def _make_way(connection: _Connection, made_by: Sequence[SchemaFile]) -> None:
    old, new = wanted_objects(made_by), wanted_objects()
    names = {
        "functions": [name for wanted in (old, new) for name, _ in wanted["functions"]],
        "constraints": [name for file in made_by for name in _NAMED.findall(file.text)]
        + [name for wanted in (old, new) for _, name, _ in wanted["constraints"]],
        "indexes": [name for wanted in (old, new) for _, name in wanted["indexes"]],
    }
    _run(connection, _TRIGGERS, names)
    _drop_all(connection, names)
    for query in (_CONSTRAINTS, _INDEXES, _DEFAULTS):
        _run(connection, query, names)
    tables = {table for (table,) in connection.execute(_TABLES)}
    for what, add in (("columns", _ADD_COLUMN), ("constraints", _ADD_CONSTRAINT)):
        for table, name, definition in new[what]:
            if table in tables:
                place = sql.Identifier(*table.split("."))
                connection.execute(add.format(place, sql.Identifier(name), sql.SQL(definition)))  # our own files'


_ADD_COLUMN: Final = sql.SQL("alter table {} add column if not exists {} {}")
_ADD_CONSTRAINT: Final = sql.SQL("alter table {} add constraint {} {}")


def _run(connection: _Connection, query: str, names: Mapping[str, list[str]]) -> None:
    for (statement,) in connection.execute(query, names).fetchall():
        connection.execute(statement)


def _drop_all(connection: _Connection, names: Mapping[str, list[str]]) -> None:
    """Functions return views, and views call functions: whatever nothing depends on goes, until nothing is left."""
    while statements := connection.execute(_FUNCTIONS_AND_VIEWS, names).fetchall():
        kept = []
        for (statement,) in statements:
            try:
                with connection.transaction():
                    connection.execute(statement)
            except psycopg.errors.DependentObjectsStillExist as error:
                kept.append(error)
        if len(kept) == len(statements):
            raise kept[0]
