"""What the tests share: the stack of our own pytest plugin (`smsretry.testing`), empty before each test."""

import gc
import os
from collections.abc import Iterator
from getpass import getuser
from pathlib import Path
from shutil import disk_usage
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.provider import TwilioProvider
from smsretry.local.business import PHONE as PHONE
from smsretry.local.business import Business as Business
from smsretry.local.stack import Stack
from smsretry.settings import Settings
from smsretry.testing.database import EMPTY as EMPTY
from smsretry.testing.stack import SmsStack
from tests.support.killed_runs import remove_killed_runs
from tests.support.records import Connection
from tests.support.scheduling import ByFile

# The same examples every time, and none is judged by how long it takes.
hypothesis_settings.register_profile(
    "the same every time", derandomize=True, database=None, deadline=None
)
hypothesis_settings.load_profile("the same every time")


_MEMORY = Path("/dev/shm")
_ENOUGH = 6 * 2**30


def pytest_configure() -> None:
    """Databases stand in memory where there is enough: their files took a tenth of the time.

    What a run left there that was killed would stay: some 50 MB for each of its processes. Where byte code may not be
    written, each of some hundred interpreters that the tests start would compile everything again.
    """
    gc.disable()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    remove_killed_runs(_MEMORY / f"pytest-of-{getuser()}")
    if (
        _MEMORY.is_dir()
        and not os.statvfs(_MEMORY).f_flag & os.ST_NOEXEC
        and disk_usage(_MEMORY).free > _ENOUGH
    ):
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))


def pytest_collection_finish() -> None:
    """What is loaded by now stays: looking through it for garbage took a third of the time to load it."""
    gc.freeze()
    gc.enable()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """One Prefect server for all who need one."""
    return ByFile(config, log)


@pytest.fixture(scope="session")
def running_stack(sms_session: SmsStack) -> Stack:
    """The embedded stack, started once."""
    return sms_session


@pytest.fixture
def stack(sms_stack: SmsStack) -> Stack:
    """The embedded stack with empty tables, a healthy Twilio and noon in New York."""
    return sms_stack


@pytest.fixture
def settings(stack: Stack) -> Settings:
    """Settings that point at the stack."""
    return stack.settings()


@pytest.fixture
def queue(settings: Settings) -> Iterator[SupabaseQueue]:
    """The production adapter, over HTTP."""
    with SupabaseQueue(settings) as queue:
        yield queue


@pytest.fixture
def operators(settings: Settings) -> Iterator[SupabaseOperators]:
    """The production adapter of the operators' calls, over HTTP."""
    with SupabaseOperators(settings) as operators:
        yield operators


@pytest.fixture
def sender(settings: Settings) -> Iterator[TwilioProvider]:
    """The production adapter, over HTTP."""
    with TwilioProvider(settings) as sender:
        yield sender


@pytest.fixture
def owner(sms_stack: SmsStack) -> Iterator[Connection]:
    """The database's owner: one connection for all tests, because a new one compiles each function anew."""
    connection = sms_stack.connection()
    connection.prepare_threshold = None
    yield connection
    connection.execute("reset session authorization; reset all; discard temp")


@pytest.fixture
def business(stack: Stack, owner: Connection) -> Business:
    """A business in New York."""
    return Business(owner, stack.now).open()
