"""The schedule goes on whoever stops. The long proof, in which everybody stops: `python -m tests.proofs.schedule`."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from smsretry.local.prefect_server import PrefectServer
from smsretry.local.stack import Stack
from tests.proofs.schedule.alarm import ENDED, install_in_a_hurry, unexplained
from tests.proofs.schedule.crew import crew
from tests.support.receiver import receiving
from tests.support.waiting import until

pytestmark = pytest.mark.long

_SILENCE = timedelta(hours=1)
"""So long that none is told of: how long one takes to be noticed is for the long proof."""
_PATIENCE = timedelta(minutes=5)
"""Runs come every minute; nothing is judged by how long one takes."""


@pytest.fixture
def server(running_stack: Stack, tmp_path: Path) -> Iterator[PrefectServer]:
    """A Prefect server of its own: what other tests ran is not this schedule's."""
    with PrefectServer(tmp_path / "home", running_stack.postgres) as server:
        yield server


def test_no_stop_of_another_runner_stops_the_schedule_and_a_killed_run_is_told(
    stack: Stack, server: PrefectServer, tmp_path: Path
) -> None:
    """Two runners, one is stopped in mid-run, of which nobody is told; then a run is killed, of which somebody is.

    The alert receiver has nothing else.
    """
    api_url = f"{server.url}/api"
    with receiving() as receiver, crew(api_url, {**server.environment(), **stack.environment()}, tmp_path) as runners:
        runners.start()
        runners.start()
        runners.completes(_PATIENCE)
        install_in_a_hurry(api_url, receiver.block(api_url), _SILENCE)
        until(lambda: any(runners.under_way(0)))
        runners.stop(0)
        runners.completes(_PATIENCE)
        assert receiver.about(ENDED) == []
        assert not runners.deployment()["paused"]
        for _ in range(4):  # one that is just ending may die unnoticed
            until(runners.kill_a_run)
            with suppress(AssertionError):
                until(lambda: receiver.about(ENDED), seconds=30)
                break
        assert receiver.about(ENDED)
        crashed = len(runners.runs(type={"any_": ["CRASHED", "FAILED"]}))
        assert unexplained(receiver, runners.completed(), crashed, _SILENCE) == []
