"""The application's own schema, applied to the new database before the migrations: in production it was there first."""

import re
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, TypeAlias

import psycopg
from psycopg import sql

from smsretry.errors import LocalStackError

SchemaSource: TypeAlias = str | Path | Callable[[psycopg.Connection[Any]], object]
"""An SQL file; a folder, whose `*.sql` are applied by name; or what is called with a connection of the owner's."""

_PROJECT: Final = "supabase_project.sql"
_HINTS: Final = (
    (re.compile(r'extension "[^"]+" is not available'),
     "The embedded PostgreSQL has fewer extensions than Supabase: leave this one out in tests. `gen_random_uuid()` "
     "needs none"),
    (re.compile(r'at or near "\\'), "A line that begins with a backslash is psql's own and no SQL: leave it out"),
)  # fmt: skip


def apply_schema(database_url: str, sources: Sequence[SchemaSource]) -> None:
    """Make the rest of a Supabase project, then the application's own schema. Each source has a connection of its own.

    Raises:
        LocalStackError: names the file and the line, or the callable, and says what the database said.
    """
    steps = [step for source in sources for step in ([source] if callable(source) else _files(Path(source)))]
    _run(database_url, files("smsretry.testing").joinpath(_PROJECT).read_text(encoding="utf-8"), _PROJECT)
    for step in steps:
        if isinstance(step, Path):
            _run(database_url, step.read_text(encoding="utf-8"), str(step))
        else:
            _call(database_url, step)


def names(sources: Sequence[SchemaSource]) -> str:
    """What to call them in a message."""
    return ", ".join(_name(source) for source in sources)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        if found := sorted(path.glob("*.sql")):
            return found
        raise LocalStackError(f"The schema's folder {path} has no *.sql: correct the path in sms_schema")
    if not path.is_file():
        raise LocalStackError(f"There is no {path.absolute()}: correct the path in sms_schema")
    return [path]


def _run(database_url: str, text: str, name: str) -> None:
    # A file is one transaction, as with the Supabase CLI; and what it sets (`search_path` in a dump) ends with it.
    try:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(sql.SQL(text))  # the developer's own file
    except psycopg.Error as error:
        position = error.diag.statement_position
        line = f", line {text.count(chr(10), 0, int(position)) + 1}" if position else ""
        raise LocalStackError(f"{name}{line}: {_told(error)}") from None


def _call(database_url: str, source: Callable[[psycopg.Connection[Any]], object]) -> None:
    try:
        with psycopg.connect(database_url) as connection:  # committed at the end
            source(connection)
    except psycopg.Error as error:
        raise LocalStackError(f"{_name(source)}(): {_told(error)}") from error


def _told(error: psycopg.Error) -> str:
    message = error.diag.message_primary or str(error)
    hint = next((hint for pattern, hint in _HINTS if pattern.search(message)), error.diag.message_hint)
    return f"{message}. {hint}" if hint else message


def _name(source: SchemaSource) -> str:
    return getattr(source, "__name__", repr(source)) if callable(source) else str(source)
