"""The application's own schema, applied to the new database before the migrations: in production it was there first."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from smsretry.errors import LocalStackError

_HINTS: Final = {
    "is not available": "The embedded PostgreSQL has fewer extensions than Supabase: leave this one out in tests",
    'at or near "\\': "A line that begins with a backslash is psql's own and no SQL: leave it out",
}


def apply_schema(database_url: str, paths: Sequence[Path]) -> None:
    """Apply SQL files, and folders whose `*.sql` are applied by name, in order.

    Raises:
        LocalStackError: names the file and the line, and says what the database said.
    """
    for file in [file for path in paths for file in _files(path)]:
        text = file.read_text(encoding="utf-8")
        # It is one transaction, as with the Supabase CLI; and what it sets (`search_path` in a dump) ends with it.
        try:
            with psycopg.connect(database_url, autocommit=True) as connection:
                connection.execute(sql.SQL(text))  # the developer's own file
        except psycopg.Error as error:
            position = error.diag.statement_position
            line = f", line {text.count(chr(10), 0, int(position)) + 1}" if position else ""
            message = error.diag.message_primary or str(error)
            hint = next((hint for words, hint in _HINTS.items() if words in message), error.diag.message_hint)
            raise LocalStackError(f"{file}{line}: {message}. {hint or ''}".rstrip()) from None


def _files(path: Path) -> list[Path]:
    found = sorted(path.glob("*.sql")) if path.is_dir() else [path] if path.is_file() else []
    if not found:
        raise LocalStackError(f"There is no {path.absolute()}, or it has no *.sql: correct the path in sms_schema")
    return found
