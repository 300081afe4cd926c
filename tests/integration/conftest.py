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
from typer.testing import CliRunner, Result

from smsretry.adapters.migrations.migrate import migrate
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.provider import TwilioProvider
from smsretry.cli.command import app
from smsretry.local.stack import Stack
from tests.conftest import Business
from tests.integration.catalog import Database
from tests.integration.scene import Scene, set_scene
from tests.support.builders import forget_settings
from tests.support.records import Connection
from tests.support.restoring import schema_of
from tests.support.shop import Shop

Command = Callable[..., Result]

_ROLES = files("smsretry.local.postgres").joinpath("supabase_roles.sql").read_bytes()
ORIGINAL = Path(__file__).with_name("original_schema.sql").read_bytes()
_FITTED = b"""
drop policy "add own retries" on public.sms_retry_queue;
drop policy "change own retries" on public.sms_retry_queue;
alter routine public.claim_due_sms_retries(integer) rename to app_claim_due_sms_retries;
alter routine public.recover_stuck_sms_retries(integer) rename to app_recover_stuck_sms_retries;
revoke all on routine public.app_claim_due_sms_retries(integer) from public, anon, authenticated;
revoke all on routine public.app_recover_stuck_sms_retries(integer) from public, anon, authenticated;
"""
"""What `migrate` says to run."""
_FRESH = "migrations_fresh"
_numbers = count(1)


def whole_schema(url: str) -> str:
    """All that smsretry and the application define."""
    return schema_of(url, "public", "smsretry")


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
    """An existing installation, without rows. Its owner has run what `migrate` says to run first."""
    database = new_database()
    database.run(ORIGINAL + _FITTED)
    return database


@pytest.fixture
def migrated(running_stack: Stack, fresh_schema: str) -> Iterator[Database]:
    """A new Supabase project after one `migrate`: a copy of another one, which takes no time."""
    name = f"migrated_{next(_numbers)}"
    with closing(
        psycopg.connect(running_stack.postgres.url(), autocommit=True)
    ) as server:
        server.execute(f"create database {name} template {_FRESH}".encode())
    url = running_stack.postgres.url(name)
    with closing(
        psycopg.connect(url, autocommit=True, row_factory=dict_row)
    ) as connection:
        yield Database(url, connection)


@pytest.fixture(scope="session")
def fresh_schema(running_stack: Stack) -> str:
    """The schema of an empty database after one `migrate`."""
    running_stack.postgres.create_database(_FRESH)
    url = running_stack.postgres.url(_FRESH)
    with closing(
        psycopg.connect(url, autocommit=True, row_factory=dict_row)
    ) as connection:
        connection.execute(_ROLES)
        migrate(url)
    return whole_schema(url)


@pytest.fixture
def shop(
    stack: Stack, owner: Connection, queue: SupabaseQueue, sender: TwilioProvider
) -> Shop:
    """A business in New York with its workers."""
    shop = Shop(owner, stack.now, stack=stack, queue=queue, provider=sender)
    shop.open()
    return shop


@pytest.fixture
def scene(stack: Stack, business: Business) -> Scene:
    """A text at each stage."""
    return set_scene(stack, business)


@pytest.fixture
def command(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command with the stack's settings and at its time, changed as told; None takes one away."""
    monkeypatch.setattr(
        "smsretry.cli.running.now", stack.now
    )  # the doctor compares this machine's clock with others

    def run(
        *arguments: object,
        stdin: str | None = None,
        columns: int = 250,
        **changes: str | None,
    ) -> Result:
        forget_settings(monkeypatch)
        for name, value in {**stack.environment(), **changes}.items():
            if value is not None:
                monkeypatch.setenv(name, value)
        monkeypatch.setenv("COLUMNS", str(columns))
        return CliRunner().invoke(
            app,
            [str(argument) for argument in arguments],
            input=stdin,
            prog_name="smsretry",
        )

    return run
