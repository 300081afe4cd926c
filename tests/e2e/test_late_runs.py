"""After an outage one run does the work of all that were missed: no pile of late runs starts at once."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psutil
import pytest

from smsretry.local.demo.run import ROOT
from smsretry.local.process.guarded_process import GuardedProcess
from smsretry.local.stack import Stack
from tests.conftest import Business
from tests.e2e.conftest import FlowProcess, Prefect
from tests.e2e.registry import SCHEDULED, Registry
from tests.e2e.serving import forget
from tests.support.waiting import until

EVERY_MINUTE = (SCHEDULED, "process-scheduled-sends")


@dataclass
class Peak:
    """The most that a process and those below it took at one time."""

    processes: int = 0
    megabytes: float = 0
    _stop: Event = field(default_factory=Event)

    @contextmanager
    def of(self, runner: GuardedProcess) -> Iterator["Peak"]:
        """Look every quarter of a second, until the block ends."""
        watcher = Thread(target=self._watch, args=(psutil.Process(runner.pid),))
        watcher.start()
        try:
            yield self
        finally:
            self._stop.set()
            watcher.join()

    def _watch(self, runner: psutil.Process) -> None:
        while not self._stop.wait(0.25):
            sizes = list(filter(None, map(_megabytes, runner.children(recursive=True))))
            self.processes = max(self.processes, len(sizes))
            self.megabytes = max(self.megabytes, sum(sizes))


def _megabytes(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().uss) / 1e6
    except psutil.Error:  # it has just ended
        return 0


def prefect_command(flow: FlowProcess, *command: str) -> None:
    """As a person would type it."""
    subprocess.run(
        [sys.executable, "-m", "prefect", *command],
        cwd=ROOT,
        env=flow.environment(),
        check=True,
        capture_output=True,
        timeout=120,
    )


@pytest.fixture
def registered(stack: Stack, prefect: Prefect) -> Iterator[Registry]:
    """The deployments, as if a runner had just registered them: no run has been made yet."""
    registry = Registry(prefect, stack)
    registry.empty()
    for name in EVERY_MINUTE:
        registry.register(name)
    yield registry
    registry.empty()


@pytest.mark.long
def test_a_run_of_the_schedule_does_the_work_of_those_that_are_late_and_no_place_is_lost(
    registered: Registry, flow: FlowProcess, prefect: Prefect
) -> None:
    """They are cancelled; what a person asked for waits, and so does another deployment's run. By then the limit
    forgets the places of runs that died with the server, so that others begin.
    """
    this, *late = [registered.missed(SCHEDULED, minutes) for minutes in (4, 5, 6)]
    others = registered.missed("process-scheduled-sends", 5)
    asked_for = prefect.order(SCHEDULED, {"limit": 1})
    registered.leave_no_place()
    assert registered.begins(asked_for) == "AwaitingConcurrencySlot"
    flow.forks.run("prefect.engine", flow.environment(PREFECT__FLOW_RUN_ID=this))
    assert prefect.get(f"flow_runs/{this}")["state"]["type"] == "COMPLETED"
    assert tally(prefect, late) == {"Cancelled": 2}
    assert tally(prefect, [others, asked_for]) == {"AwaitingConcurrencySlot": 1, "Late": 1}
    registered.leave_no_place()
    assert registered.begins(asked_for) == "Pending"


@pytest.mark.long
def test_a_run_that_a_person_asked_for_cancels_nothing(
    registered: Registry, flow: FlowProcess, prefect: Prefect
) -> None:
    """It may be told to do less than the schedule's."""
    late = registered.missed(SCHEDULED, 5)
    asked_for = prefect.order(SCHEDULED, {"limit": 1, "drain_seconds": 0})
    flow.forks.run("prefect.engine", flow.environment(PREFECT__FLOW_RUN_ID=asked_for))
    assert tally(prefect, [late, asked_for]) == {"Completed": 1, "Late": 1}


@pytest.fixture
def missed(stack: Stack, prefect: Prefect, flow: FlowProcess) -> Iterator[list[str]]:
    """What `prefect deploy` registered, and the runs of a quarter of an hour in which no worker was there."""
    prefect_command(flow, "work-pool", "create", "smsretry", "--type", "process", "--overwrite")
    prefect_command(flow, "--no-prompt", "deploy", "--all")
    registry = Registry(prefect, stack)
    yield [registry.missed(name, minutes) for name in EVERY_MINUTE for minutes in range(3, 18)]
    forget(prefect)


@pytest.mark.long
def test_after_a_quarter_of_an_hour_without_a_worker_a_few_runs_start_and_what_a_person_asked_for_is_done(
    missed: list[str], flow: FlowProcess, business: Business, prefect: Prefect, tmp_path: Path
) -> None:
    """A worker without `--limit`, which takes all that is due at once."""
    asked_for = prefect.order(SCHEDULED, {"limit": 1, "drain_seconds": 0})
    text = business.due_text()
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "smsretry"]
    worker = GuardedProcess(command, log=tmp_path / "worker.log", env=flow.environment(), cwd=ROOT)
    try:
        with Peak().of(worker) as peak:
            until(lambda: not waiting(prefect, [*missed, asked_for]), seconds=600)
    finally:
        worker.stop()
    measured = f"{peak.processes} processes, {peak.megabytes:.0f} MB, {tally(prefect, missed)}"
    assert tally(prefect, [asked_for]) == {"Completed": 1}
    assert [business.row(text)["status"]] == ["completed"]
    assert peak.processes <= 20, measured


def waiting(prefect: Prefect, runs: list[str]) -> Any:
    """Whether some have not ended yet."""
    unended = {"id": {"any_": runs}, "state": {"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING"]}}}
    return prefect.post("flow_runs/count", {"flow_runs": unended})


def tally(prefect: Prefect, runs: list[str]) -> dict[str, int]:
    """How many ended in which state."""
    found = prefect.post("flow_runs/filter", {"flow_runs": {"id": {"any_": runs}}})
    names = [run["state"]["name"] for run in found]
    return {name: names.count(name) for name in sorted(set(names))}
