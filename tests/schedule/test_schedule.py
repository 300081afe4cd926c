"""The schedule goes on whoever stops. The long proof, in which everybody stops: `python -m tests.schedule`."""

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from smsretry.local.prefect_server import PrefectServer
from smsretry.local.stack import Stack
from tests.receiver import receiving
from tests.schedule.alarm import ENDED, install_in_a_hurry, unexplained
from tests.schedule.crew import Crew, crew

_SILENCE = timedelta(seconds=30)


@pytest.fixture
def server(running_stack: Stack, tmp_path: Path) -> Iterator[PrefectServer]:
    """A Prefect server of its own: what other tests ran is not this schedule's."""
    with PrefectServer(tmp_path / "home", running_stack.postgres) as server:
        yield server


def test_no_stop_of_another_runner_stops_the_schedule_and_a_killed_run_is_told(
    stack: Stack, server: PrefectServer, tmp_path: Path
) -> None:
    """Two runners, one is stopped; then a run is killed, and the alert receiver has that and nothing unexplained."""
    api_url = f"{server.url}/api"
    with receiving() as receiver, crew(api_url, {**server.environment(), **stack.environment()}, tmp_path) as runners:
        runners.start()
        runners.start()
        runners.completes(timedelta(seconds=60))
        install_in_a_hurry(api_url, receiver.block(api_url), _SILENCE)
        runners.stop()
        runners.completes(timedelta(seconds=60))
        assert not runners.deployment()["paused"]
        kill_a_run(runners)
        receiver.wait_for(ENDED, 60)
        crashed = len(runners.runs(type={"any_": ["CRASHED", "FAILED"]}))
        assert unexplained(receiver, runners.completed(), crashed, _SILENCE) == []


def kill_a_run(runners: Crew) -> None:
    """As soon as there is one."""
    deadline = time.monotonic() + 30
    while not runners.kill_a_run():
        assert time.monotonic() < deadline
        time.sleep(0.05)
