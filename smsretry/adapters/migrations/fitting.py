"""Refuse to migrate what does not fit, before anything is changed: each thing with the statement that makes it fit.

A migration drops, replaces and changes nothing that is the application's. Its owner does, and knows why.
"""

from collections.abc import Iterator
from importlib.resources import files
from typing import Final

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from smsretry.adapters.migrations.checksums import clashes, read_checksums
from smsretry.adapters.migrations.connecting import Connection
from smsretry.adapters.migrations.schemas import query_of
from smsretry.adapters.migrations.shapes import Misfit, Part, misfits, retyped
from smsretry.errors import MigrationError
from smsretry.retry.before import LIFE

_LACKS: Final = """
select r from unnest(array['anon', 'authenticated', 'service_role']) r
where not exists (select from pg_catalog.pg_roles where rolname = r)
union all select 'auth.uid()' where to_regprocedure('auth.uid()') is null
"""
# Policies of a role reach its members, too: anon and authenticated are a Supabase project's tenants.
_WIDE_POLICIES: Final = """
select p.polname::text, p.polcmd::text
from pg_catalog.pg_policy p
where p.polrelid = to_regclass('public.sms_retry_queue') and p.polpermissive and p.polcmd <> 'r'
  and p.polname <> 'Owners queue retries of their texts'
  and (0 = any (p.polroles) or exists (
      select from unnest(p.polroles) r (id) join pg_catalog.pg_roles t on t.rolname in ('anon', 'authenticated')
      where pg_catalog.pg_has_role(t.oid, r.id, 'usage')))
order by 1
"""
_MAY: Final = {"a": "add rows of any kind", "w": "change rows", "d": "delete rows", "*": "add, change and delete rows"}
_HOURS: Final = int(LIFE.total_seconds() // 3600)
_ROWS: Final = {
    "sms_retry_queue": (
        "are for a text that another row is to send as well",
        "status in ('pending', 'processing') and send_log_id is not null and id not in (select "
        "distinct on (send_log_id) id from public.sms_retry_queue where status in ('pending', 'processing') "
        "order by send_log_id, status desc, scheduled_for, created_at, id)",
    ),
    "scheduled_sends": (
        f"are `scheduled` though their time has passed, and would become texts now, as none does after {_HOURS} hours. "
        "If they are to go out, set scheduled_for to a time that comes; otherwise",
        f"status = 'scheduled' and scheduled_for between now() - interval '{_HOURS} hours' and now()",
    ),
}
"""Rows that would be texts which nobody expects: what they are, and which. Their statement cancels them."""


def refuse_another_database(connection: Connection) -> None:
    """Name what every Supabase project has and this database has not.

    Raises:
        MigrationError: something is missing.
    """
    if lacks := [name for (name,) in connection.execute(_LACKS)]:
        raise MigrationError(
            f"This is no database of a Supabase project: it has no {', no '.join(lacks)}, on which the policies and "
            "grants rely. Check the host and the name in --db-url; Supabase's own is called postgres. "
            "Nothing was changed."
        )


def refuse_what_does_not_fit(connection: Connection) -> None:
    """Name all that does not fit in what exists: tables, names and policies; and if those fit, rows.

    Raises:
        MigrationError: something does not fit.
    """
    adopts = connection.execute("select to_regnamespace('smsretry') is null").fetchone() == (True,)
    found = [*_shapes(connection), *clashes(read_checksums(connection), adopts=adopts)]
    if adopts:
        found += _policies(connection)
    if adopts and not found:
        found += _rows(connection)
    if found:
        raise MigrationError(
            "Some of what is in this database does not fit:\n"
            + "".join(f"  {misfit}\n" for misfit in found)
            + "Change this first, together with whatever of the application relies on it; then run `smsretry migrate` "
            "again. Nothing was changed."
        )


def _shapes(connection: Connection) -> list[Misfit]:
    with connection.transaction(force_rollback=True):
        connection.execute("set local search_path = ''")  # so that names come with their schema
        with connection.cursor(row_factory=class_row(Part)) as cursor:
            parts = cursor.execute(query_of("smsretry.describe_sms_tables")).fetchall()
        wrong = retyped(parts)
        query = files(__package__).joinpath("hanging.sql").read_bytes()
        with psycopg.RawCursor(connection) as raw:
            columns = [[table for table, _ in wrong], [name for _, name in wrong]]
            hanging = {(table, name): words for table, name, words in raw.execute(query, columns)}
    return list(misfits(parts, hanging))


def _policies(connection: Connection) -> Iterator[Misfit]:
    """A tenant reads its own rows and adds pending ones. What else a policy lets it do is not kept in order by us."""
    for name, command in connection.execute(_WIDE_POLICIES):
        policy = sql.Identifier(name).as_string()
        reads = " (it lets them read, too: to keep that, make it again `for select`)" if command == "*" else ""
        drop = f"drop policy {policy} on public.sms_retry_queue"
        yield Misfit(f"policy {policy} of sms_retry_queue", f"lets tenants {_MAY[command]}{reads}: {drop}")


def _rows(connection: Connection) -> Iterator[Misfit]:
    for table, (are, which) in _ROWS.items():
        if connection.execute("select to_regclass(%s)", [f"public.{table}"]).fetchone() == (None,):
            continue
        names = sql.SQL(table), sql.SQL(which)
        [(rows,)] = connection.execute(sql.SQL("select count(*) from public.{} where {}").format(*names)).fetchall()
        if rows:
            cancel = sql.SQL("update public.{} set status = 'cancelled' where {}").format(*names).as_string()
            yield Misfit(f"rows of {table} ({rows})", f"{are}: {cancel}")
