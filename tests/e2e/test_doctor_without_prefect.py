"""Misconfigurations that have nothing to do with Prefect, as `tests/e2e/test_doctor.py` has the others."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest

from smsretry.local.prefect_server import PrefectServer
from smsretry.local.stack import Stack
from tests.e2e.misconfigurations import MISCONFIGURATIONS, Ward
from tests.e2e.planted.misconfiguration import Misconfiguration

HALF = [pytest.mark.long, pytest.mark.by_hand]
SOME_DAILY = [
    pytest.param(planted, id=planted.what, marks=[HALF[n % 2]] if n % planted.each else [])
    for n, planted in enumerate(one for one in MISCONFIGURATIONS if not one.needs_prefect)
]
"""Those that are alike stand together: some of each kind are planted every day, and half by the long command."""


def _none() -> PrefectServer:
    raise AssertionError("This ward has no Prefect server")


@pytest.fixture(scope="module")
def installed(running_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """The shared stack, as it is when all is well."""
    with ExitStack() as running:
        yield Ward(running_stack, None, tmp_path_factory.mktemp("own"), _none, running)


@pytest.fixture
def ward(stack: Stack, installed: Ward) -> Ward:
    """The same, with empty tables, at this machine's time."""
    stack.set_clock(datetime.now(UTC))
    return installed


@pytest.mark.parametrize("planted", SOME_DAILY)
def test_each_misconfiguration_has_its_line(ward: Ward, planted: Misconfiguration) -> None:
    """It names the variable, host or object, and says what to do. The advice is followed, and mends it."""
    with ward.planted(planted):
        said = ward.doctor(planted.environment)
    assert planted.line in said
