"""The fixtures that pytest finds once smsretry is installed (entry point `pytest11`). README.md shows them.

Every pytest run of the environment loads this module, so it imports nothing that is not needed without the fixtures.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from smsretry.local.business import OwnColumns
    from smsretry.testing.stack import SmsStack

_STACK: Final = pytest.StashKey["SmsStack"]()


@pytest.fixture(scope="session")
def sms_schema() -> Sequence[Path]:
    """The application's own schema: SQL files, and folders of them, in order. Replace it in your `conftest.py`."""
    return ()


@pytest.fixture(scope="session")
def sms_own_columns() -> "OwnColumns":
    """The application's columns that need a value, by table, each with one or with a callable that makes one.

    Replace it in your `conftest.py`.
    """
    return {}


@pytest.fixture(scope="session")
def sms_session(
    tmp_path_factory: pytest.TempPathFactory,
    sms_schema: Sequence[Path],
    sms_own_columns: "OwnColumns",
) -> "Iterator[SmsStack]":
    """The stack of the session, or of this worker of pytest-xdist. A test takes `sms_stack`, which is empty."""
    try:
        from smsretry.testing.stack import SmsStack
    except ModuleNotFoundError as error:
        pytest.fail(
            f"{error}: smsretry's fixtures need its embedded stack, `pip install 'smsretry[local]'`",
            pytrace=False,
        )
    from smsretry.errors import SmsRetryError

    with ExitStack() as running:
        try:
            directory = tmp_path_factory.mktemp("sms")
            stack = running.enter_context(
                SmsStack(
                    directory,
                    schema=sms_schema,
                    own_columns=sms_own_columns,
                )
            )
        except SmsRetryError as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None
        yield stack


@pytest.fixture
def sms_stack(sms_session: "SmsStack", request: pytest.FixtureRequest) -> "SmsStack":
    """The stack with the rows that the schema came with and no others, a healthy Twilio, and noon in New York."""
    request.node.stash[_STACK] = sms_session
    return sms_session.empty()


@pytest.fixture
def sms_environment(
    sms_stack: "SmsStack", monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """Its `environment()`, set in this process and in those that it starts, with every other setting taken away."""
    from smsretry.settings import Settings, variable_names

    exported = sms_stack.environment()
    for name in variable_names(Settings):
        monkeypatch.delenv(name, raising=False)
    for name, value in exported.items():
        monkeypatch.setenv(name, value)
    return exported


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show below a failure what stood in the queue then."""
    report = yield
    stack = item.stash.get(_STACK, None)
    if stack is not None and call.when == "call" and report.failed:
        report.sections.append(("smsretry's queue", stack.describe_queue()))
    return report
