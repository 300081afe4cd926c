"""The connection of the database's owner, or why there is none, in words that hold no password."""

import re
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from smsretry.errors import MigrationError

Connection = psycopg.Connection[tuple[Any, ...]]
"""The owner's, whose rows are tuples."""
_DIRECT: Final = re.compile(r"db\.\w+\.supabase\.(co|com|in|net)", re.I)
"""A Supabase project's own host. It has an IPv6 address only, unless the project bought the IPv4 add-on:
https://supabase.com/docs/guides/database/connecting-to-postgres (2026-11-27)."""
_POOLER: Final = (
    " That host has an IPv6 address only, and many networks have IPv4 only. Use the pooler's address instead: in "
    "Supabase, Connect, Session pooler, port 5432 (postgresql://postgres.<project>:…@….pooler.supabase.com:5432/postgres)."
)


def connect(db_url: str) -> Connection:
    """A connection in autocommit.

    Raises:
        MigrationError: the URL is none, or nobody answered there. It says what to do.
    """
    try:
        host = str(conninfo_to_dict(db_url).get("host", ""))
    except psycopg.ProgrammingError:
        host = "@"
    if "@" in host:  # libpq's error about such a URL quotes part of the password
        raise MigrationError(
            "--db-url is not a PostgreSQL URL (postgresql://user:password@host:5432/name). "
            "In a password, write %40 for @, %25 for %, %2F for / and %3A for a colon."
        )
    try:
        return psycopg.connect(db_url, autocommit=True, connect_timeout=10)
    except psycopg.OperationalError as error:
        reason = str(error).splitlines()[0]
    raise MigrationError(f"No connection to the database: {reason}. Check --db-url.{advice(host, reason)}")


def advice(host: str, reason: str) -> str:
    """What to do about a host that could not be reached; empty if nothing is known of it, or if a server refused."""
    return _POOLER if _DIRECT.fullmatch(host) and "FATAL" not in reason else ""
