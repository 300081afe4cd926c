"""A database whose statistics only a test makes, for tests that count pages."""

from typing import Any

import psycopg
from psycopg import sql

_TABLES = b"""
select relnamespace::regnamespace::text as schema, relname as name from pg_class
where relkind = 'r' and relnamespace in ('public'::regnamespace, 'smsretry'::regnamespace)
"""


def without_autovacuum(connection: psycopg.Connection[dict[str, Any]]) -> None:
    """No table is vacuumed or analyzed but by the test: autovacuum comes when it likes, and changes plans."""
    for table in connection.execute(_TABLES).fetchall():
        off = sql.SQL("alter table {} set (autovacuum_enabled = false)")
        connection.execute(off.format(sql.Identifier(table["schema"], table["name"])))
