"""Databases of their own for tests of the schema, prepared as a Supabase project is before its first migration; and the
scene for tests of the functions.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.resources import files
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row

from smsretry.adapters.supabase.migrate import migrate
from smsretry.local.stack import Stack
from tests.conftest import Business
from tests.integration.catalog import Database, Snapshot, snapshot
from tests.integration.scene import Scene, set_scene

_ROLES = files("smsretry.local.postgres").joinpath("supabase_roles.sql").read_bytes()
_ORIGINAL = Path(__file__).with_name("original_schema.sql").read_bytes()
_numbers = count(1)


@pytest.fixture
def new_database(running_stack: Stack) -> Iterator[Callable[[], Database]]:
    """Makes databases that hold what a Supabase project holds before its first migration."""
    opened = []

    def make() -> Database:
        name = f"migrations_{next(_numbers)}"
        running_stack.postgres.create_database(name)
        url = running_stack.postgres.url(name)
        connection = psycopg.connect(url, autocommit=True, row_factory=dict_row)
        opened.append(connection)
        connection.execute(_ROLES)
        return Database(url, connection)

    yield make
    for connection in opened:
        connection.close()


@pytest.fixture
def empty(new_database: Callable[[], Database]) -> Database:
    """A new Supabase project."""
    return new_database()


@pytest.fixture
def original(new_database: Callable[[], Database]) -> Database:
    """An existing installation, without rows."""
    database = new_database()
    database.run(_ORIGINAL)
    return database


@pytest.fixture(scope="session")
def fresh_schema(running_stack: Stack) -> Snapshot:
    """The schema of an empty database after one `migrate`."""
    running_stack.postgres.create_database("migrations_fresh")
    url = running_stack.postgres.url("migrations_fresh")
    with closing(psycopg.connect(url, autocommit=True, row_factory=dict_row)) as connection:
        connection.execute(_ROLES)
        migrate(url)
        return snapshot(Database(url, connection))


@pytest.fixture
def scene(stack: Stack, business: Business) -> Scene:
    """A text at each stage."""
    return set_scene(stack, business)
