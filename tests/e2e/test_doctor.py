"""Misconfigurations, each planted for real, and the line that `smsretry doctor` has for it."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest

from smsretry.local.prefect_server import PrefectServer
from smsretry.local.stack import Stack
from tests.e2e.conftest import Prefect
from tests.e2e.misconfigurations import AUTH_STRING, MISCONFIGURATIONS, Ward
from tests.e2e.planted.misconfiguration import Misconfiguration
from tests.e2e.registry import SCHEDULED, Registry

_HEALTHY = Misconfiguration("nothing", "")
HALF = [pytest.mark.long, pytest.mark.by_hand]
SOME_DAILY = [
    pytest.param(planted, id=planted.what, marks=[HALF[n % 2]] if n % planted.each or planted.needs_closed else [])
    for n, planted in enumerate(MISCONFIGURATIONS)
    if planted.needs_prefect
]
"""Those that are alike stand together: some of each kind are planted every day, on the Prefect server that there is."""


@pytest.fixture(scope="module")
def installed(running_stack: Stack, prefect: Prefect, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """The shared stack and Prefect server, as they are when all is well."""
    registry = Registry(prefect, running_stack)
    closed = PrefectServer(tmp_path_factory.mktemp("closed"), running_stack.postgres, auth_string=AUTH_STRING)
    with ExitStack() as running:
        registry.all_well()
        home = tmp_path_factory.mktemp("own")
        yield Ward(running_stack, registry, home, lambda: running.enter_context(closed), running)
        registry.empty()


@pytest.fixture
def ward(stack: Stack, installed: Ward) -> Ward:
    """The same, with empty tables, at this machine's time."""
    stack.set_clock(datetime.now(UTC))
    return installed


def test_where_all_is_well_nothing_is_said(ward: Ward) -> None:
    """But that texts go to the stand-in."""
    with ward.planted(_HEALTHY):
        lines = ward.doctor({}).splitlines()
    assert [line for line in lines if not line.startswith("ok   ")] == [
        "warn TWILIO_BASE_URL: texts go to 127.0.0.1, and not to Twilio: right for a test, and only there"
    ]
    for line in (f"last completed run of {SCHEDULED}, ", "last finished run, ", "oldest due text: none"):
        assert any(told.startswith(f"ok   {line}") for told in lines)


@pytest.mark.parametrize("planted", SOME_DAILY)
def test_each_misconfiguration_has_its_line(ward: Ward, planted: Misconfiguration) -> None:
    """It names the variable, host, object or deployment, and says what to do. The advice is followed, and mends it."""
    with ward.planted(planted):
        said = ward.doctor(planted.environment)
    assert planted.line in said


@pytest.mark.long
def test_prefect_s_auth_string_is_told_to_be_in_order(ward: Ward) -> None:
    """On loopback nothing is said of it, because nobody else reaches the server."""
    ward.registry.all_well()
    closed = {"PREFECT_API_URL": "{closed}/api", "PREFECT_API_AUTH_STRING": AUTH_STRING}
    assert "bad" not in ward.doctor(closed)
    elsewhere = closed | {"PREFECT_API_URL": f"{ward.closed.url.replace('127.0.0.1', '0.0.0.0')}/api"}
    assert "ok   Prefect's auth string" in ward.doctor(elsewhere)


def test_as_json_it_says_the_same(ward: Ward) -> None:
    """A finding a line, and how many are bad."""
    ward.registry.all_well()
    with ward.planted(_HEALTHY):
        lines = ward.doctor({"TWILIO_AUTH_TOKEN": "wrong"}).splitlines()
        told = json.loads(ward.doctor({"TWILIO_AUTH_TOKEN": "wrong"}, "--json"))
    assert told["bad"] == sum(line.startswith("bad") for line in lines) == 1
    assert len(told["findings"]) == len(lines)
