"""The fixtures that pytest finds once smsretry is installed (entry point `pytest11`). README.md shows them.

Every pytest run of the environment loads this module, so it imports nothing that is not needed without the fixtures.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from smsretry.testing.business import OwnColumns
    from smsretry.testing.clock import Clock
    from smsretry.testing.schema import SchemaSource
    from smsretry.testing.seeds import Seeds
    from smsretry.testing.stack import SmsStack
    from smsretry.testing.twilio import Twilio

_SCHEMA: Final = "sms_schema"
_STACK: Final = pytest.StashKey["SmsStack"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the application's own schema is."""
    parser.addini(
        _SCHEMA,
        "The application's own schema, for smsretry's fixtures: SQL files and folders of them, in order",
        type="paths",
        default=[],
    )


@pytest.fixture(scope="session")
def sms_schema(pytestconfig: pytest.Config) -> "Sequence[SchemaSource]":
    """The application's own schema: SQL files, folders of them, and callables that take a connection, in order.

    The ini option of this name says it, or a fixture of this name in your `conftest.py`.
    """
    paths: list[Path] = pytestconfig.getini(_SCHEMA)
    return paths


@pytest.fixture(scope="session")
def sms_own_columns() -> "OwnColumns":
    """For each table, the application's columns that need a value, each with one or with a callable that makes one.

    Replace it by a fixture of this name in your `conftest.py`.
    """
    return {}


@pytest.fixture(scope="session")
def sms_session(
    tmp_path_factory: pytest.TempPathFactory,
    sms_schema: "Sequence[SchemaSource]",
    sms_own_columns: "OwnColumns",
) -> "Iterator[SmsStack]":
    """The stack of the session, or of this worker of pytest-xdist. A test takes `sms_stack`, which is empty."""
    try:
        from smsretry.testing.stack import SmsStack
    except ModuleNotFoundError as error:
        pytest.fail(
            f"{error}: smsretry's fixtures need its embedded stack, `pip install 'smsretry[local]'`", pytrace=False
        )
    from smsretry.errors import SmsRetryError

    with ExitStack() as running:
        trouble = ""
        try:
            stack = SmsStack(tmp_path_factory.mktemp("sms"), schema=sms_schema, own_columns=sms_own_columns)
            running.enter_context(stack)
        except SmsRetryError as error:
            trouble = str(error)
        if trouble:  # outside of `except`: pytest would print the message twice
            pytest.fail(trouble, pytrace=False)
        yield stack


@pytest.fixture
def sms_stack(sms_session: "SmsStack", request: pytest.FixtureRequest) -> "SmsStack":
    """The stack with the rows that the schema came with and no others, a healthy Twilio, and noon in New York."""
    request.node.stash[_STACK] = sms_session
    return sms_session.empty()


@pytest.fixture
def sms_clock(sms_stack: "SmsStack") -> "Clock":
    """The stack's clock."""
    return sms_stack.clock


@pytest.fixture
def sms_twilio(sms_stack: "SmsStack") -> "Twilio":
    """Twilio's side."""
    return sms_stack.twilio


@pytest.fixture
def sms_seeds(sms_stack: "SmsStack") -> "Seeds":
    """Texts for each outcome."""
    return sms_stack.seeds


@pytest.fixture
def sms_environment(sms_stack: "SmsStack", monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """`sms_stack.environment`, set in this process and in those that it starts, with every other setting taken away."""
    from smsretry.settings import Settings, variables

    for name in variables(Settings):
        monkeypatch.delenv(name, raising=False)
    given = sms_stack.environment
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return given


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show below a failure what stood in the queue then."""
    report = yield
    stack = item.stash.get(_STACK, None)
    if stack is not None and call.when == "call" and report.failed:
        from smsretry.testing.failure import told

        report.sections.append(("smsretry's queue", told(stack)))
    return report
