"""A database whose statistics only a test makes, for tests that count pages."""

from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

_TABLES = b"""
select relnamespace::regnamespace::text as schema, relname as name from pg_class
where relkind = 'r' and relnamespace in ('public'::regnamespace, 'smsretry'::regnamespace)
"""


def without_autovacuum(connection: psycopg.Connection[Any]) -> None:
    """No table is vacuumed or analyzed but by the test: autovacuum comes when it likes, and changes plans."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        for schema, name in cursor.execute(_TABLES).fetchall():
            off = sql.SQL("alter table {} set (autovacuum_enabled = false)")
            cursor.execute(off.format(sql.Identifier(schema, name)))


_FORGET = b"""
with known as (
    select c.oid as relid from pg_class c
    where c.relkind in ('r', 'i') and c.relnamespace in ('public'::regnamespace, 'smsretry'::regnamespace)
), size as (
    update pg_class c set relpages = 0, reltuples = -1 from known where c.oid = known.relid
)
delete from pg_statistic s using known where s.starelid = known.relid
"""


def forget_statistics(connection: psycopg.Connection[Any]) -> None:
    """As if nobody had ever analyzed or vacuumed: neither what columns hold is known, nor how many rows there are."""
    connection.execute(_FORGET)
