"""Refuse a migration of tables that do not fit, before anything is changed, with the statements that make them fit."""

from typing import Final

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from smsretry.adapters.migrations.connecting import Connection
from smsretry.adapters.migrations.retyping import retyping
from smsretry.adapters.migrations.schemas import schema_files
from smsretry.adapters.migrations.shapes import Part, misfits, retyped
from smsretry.errors import MigrationError

_LACKS: Final = """
select r from unnest(array['anon', 'authenticated', 'service_role']) r
where not exists (select from pg_catalog.pg_roles where rolname = r)
union all select 'auth.uid()' where to_regprocedure('auth.uid()') is null
"""


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
    """Name all that does not fit in the tables that exist.

    Raises:
        MigrationError: something does not fit.
    """
    [description] = [file.text for file in schema_files() if file.creates == "public.describe_sms_tables"]
    with connection.transaction(force_rollback=True):
        connection.execute("drop function if exists public.describe_sms_tables")
        connection.execute(sql.SQL(description))
        with connection.cursor(row_factory=class_row(Part)) as cursor:
            parts = cursor.execute("select * from public.describe_sms_tables()").fetchall()
    if found := misfits(parts):
        columns = retyped(parts)
        raise MigrationError(
            "Some of what is in this database does not fit:\n"
            + "".join(f"  {misfit}\n" for misfit in found)
            + (_in_order(retyping(connection, columns)) if columns else "")
            + "Change this first, together with whatever of the application relies on it; then run `smsretry migrate` "
            "again. Nothing was changed."
        )


def _in_order(statements: list[str]) -> str:
    if not statements:
        return ""
    return (
        "Indexes, views, policies or the like hang on the type of these columns. Their types change by these "
        "statements, in this order, in place of the single `alter column` above:\n  begin;\n"
        + "".join(f"  {statement};\n" for statement in statements)
        + "  commit;\n"
    )


def refuse_broken_rows(error: psycopg.Error) -> None:
    """Say what to do about a column of the application's that has our name and type, and other values.

    Raises:
        MigrationError: `error` is about such a column. Other errors are left to the caller.
    """
    if isinstance(error, psycopg.errors.CheckViolation) and error.diag.constraint_name == "businesses_sms_hours":
        raise MigrationError(
            "businesses.sms_hours holds what is not a business's hours for texts, such as 09:00-18:00 or Mon-Fri "
            "09:00-18:00, Sat 10:00-16:00. If the column is the application's, rename it: alter table "
            "public.businesses rename column sms_hours to app_sms_hours (and use that name where the application reads "
            "or writes it). If it is meant for smsretry, write these hours so, or null. Nothing was changed."
        )
