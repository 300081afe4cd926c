"""The application's own schema: what its author reads when it has an error."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from smsretry.errors import InputError, LocalStackError
from smsretry.testing import SmsStack
from smsretry.testing.plugin import sms_session
from smsretry.testing.schema import apply_schema
from tests.integration.catalog import Database

ERRORS = {
    "create table a (id int);\n\ncreate table b (id int9);": r"schema\.sql, line 3: type .int9. does not exist",
    "\\restrict abc\ncreate table a (id int);": r"line 1: syntax error .*psql's own and no SQL",
    'create extension if not exists "uuid-ossp";': r"is not available\. The embedded PostgreSQL has fewer",
}
"""What a file may begin with, and what is said of it."""


def a_dump(folder: Path) -> None:
    """As `pg_dump` begins one: what it sets must not reach the next file."""
    (folder / "1.sql").write_text("select pg_catalog.set_config('search_path', '', false); create schema shop;")
    (folder / "2.sql").write_text("create table shops (id uuid primary key references auth.users);")


def fill(connection: psycopg.Connection[Any]) -> None:
    """A callable of the application's, in the place of its own migrations."""
    connection.execute("create table plans (name text)")
    connection.execute("insert into plans values ('free')")


def test_files_folders_and_callables_are_applied_in_order(empty: Database, tmp_path: Path) -> None:
    """Each on a connection of its own."""
    a_dump(tmp_path)
    apply_schema(empty.url, [tmp_path, fill])
    assert empty.connection.execute("select (select count(*) from shops) as shops, name from plans").fetchall() == [
        {"shops": 0, "name": "free"}
    ]


def test_an_error_in_a_file_says_where_and_what_to_do(empty: Database, tmp_path: Path) -> None:
    """The database's words, and a hint where they are obscure. Nothing of the file is left."""
    schema = tmp_path / "schema.sql"
    for text, told in ERRORS.items():
        schema.write_text(text)
        with pytest.raises(LocalStackError, match=told):
            apply_schema(empty.url, [schema])
        assert empty.connection.execute("select to_regclass('a') as a").fetchone() == {"a": None}


def test_a_folder_without_sql_and_a_file_that_is_not_there_are_said(tmp_path: Path) -> None:
    """A misspelt path would otherwise be an application without tables. The database is not asked before."""
    for path in (tmp_path, tmp_path / "none.sql"):
        with pytest.raises(LocalStackError, match="correct the path in sms_schema"):
            apply_schema("", [path])


def test_an_error_in_a_callable_names_it(empty: Database) -> None:
    """And commits nothing."""

    def broken(connection: psycopg.Connection[Any]) -> None:
        connection.execute("create table a (id int)")
        connection.execute("select nothing")

    with pytest.raises(LocalStackError, match=r"broken\(\): column .nothing. does not exist"):
        apply_schema(empty.url, [broken])
    assert empty.connection.execute("select to_regclass('a') as a").fetchone() == {"a": None}


def test_a_schema_of_one_source_needs_no_list(tmp_path: Path) -> None:
    """A path is not taken for its letters."""
    for source in ("schema.sql", tmp_path, fill):
        assert SmsStack(tmp_path, schema=source).schema == [source]


def test_own_columns_of_a_table_that_seeds_do_not_write_are_refused(tmp_path: Path) -> None:
    """A misspelt table would be ignored, and its column missed with every row."""
    with pytest.raises(InputError, match="no rows of busineses: own columns are those of businesses, customers"):
        SmsStack(tmp_path, own_columns={"busineses": {"slug": "a"}})


def test_what_is_wrong_with_the_stack_is_told_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """pytest would print the message of an exception's context, too, and it may be long."""
    fixture: Any = sms_session
    with pytest.raises(pytest.fail.Exception, match="Seeds write no rows of plans") as failed:
        next(fixture.__wrapped__(tmp_path_factory, (), {"plans": {}}))
    assert failed.value.__context__ is None
