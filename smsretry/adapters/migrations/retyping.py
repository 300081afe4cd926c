"""What hangs on the type of a column, and statements that change the type nevertheless, in the order that works.

PostgreSQL refuses `alter column … type` while a view, a policy, a trigger, a generated column or a function names the
column, and cannot convert an index or a CHECK that compares it with an enum's value.
"""

from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import NamedTuple

import psycopg

from smsretry.adapters.migrations.connecting import Connection


class Retyped(NamedTuple):
    """A column and the type that it must have."""

    table: str
    column: str
    type: str


def retyping(connection: Connection, columns: Sequence[Retyped]) -> list[str]:
    """The statements that give the columns their types; empty if nothing hangs on any of them."""
    with connection.transaction(force_rollback=True):
        connection.execute("set local search_path = ''")  # so that names come with their schema
        query = files(__package__).joinpath("dependents.sql").read_bytes()
        with psycopg.RawCursor(connection) as cursor:
            hanging = cursor.execute(query, [list(part) for part in zip(*columns, strict=True)]).fetchall()
    if not hanging:
        return []
    altered = [
        f"alter table public.{one.table} alter column {one.column} type {one.type} using {one.column}::{one.type}"
        for one in columns
    ]
    again = [_as_text(made, old) for _, _, _, made, old in reversed(hanging)]
    return [*(dropped for _, _, dropped, _, _ in hanging), *altered, *again]


def _as_text(statement: str, enums: Iterable[str]) -> str:
    """A value of the old type is compared as a text now."""
    for old in enums:
        statement = statement.replace(f"::{old}", "::text") if "." in old else statement
    return statement
