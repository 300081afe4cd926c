"""The connection of the database's owner, or why there is none, in words that hold no password."""

from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from smsretry.errors import MigrationError

Connection = psycopg.Connection[tuple[Any, ...]]
"""The owner's, whose rows are tuples."""


def connect(db_url: str) -> Connection:
    """A connection in autocommit.

    Raises:
        MigrationError: the URL is none, or nobody answered there. It says what to do.
    """
    try:
        host = str(conninfo_to_dict(db_url).get("host", ""))
    except psycopg.ProgrammingError:
        host = "@"
    # After an @ in a password libpq takes the rest of the password for the host, and its error quotes it.
    if "@" in host:
        raise MigrationError(
            "--db-url is not a PostgreSQL URL (postgresql://user:password@host:5432/name). "
            "In a password, write %40 for @, %25 for %, %2F for / and %3A for a colon."
        )
    try:
        return psycopg.connect(db_url, autocommit=True, connect_timeout=10)
    except psycopg.OperationalError as error:
        reason = str(error).splitlines()[0]
    raise MigrationError(
        f"No connection to the database: {reason}. Check --db-url. A Supabase project's own host has an IPv6 address "
        "only; in a network without IPv6 use its session pooler's address."
    )


def exists(connection: Connection, name: str) -> bool:
    """Whether there is a table, or exactly one function, of this qualified name."""
    query = "select to_regclass(%s) is not null or to_regproc(%s) is not null"
    return connection.execute(query, [name, name]).fetchone() == (True,)
