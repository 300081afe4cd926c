"""The deployments, served."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from smsretry.adapters.prefect.definition import declared
from smsretry.local.process.guarded_process import GuardedProcess
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.e2e.conftest import FlowProcess, Prefect

PATH = "deployments/name/process-sms-retries/process-sms-retries"


@contextmanager
def served(flow: "FlowProcess", log: Path) -> Iterator[None]:
    """The deployments, served by the command, in a project that has a folder and a file of the names that we have."""
    project = log.with_name("project")
    (project / "flows").mkdir(parents=True)
    (project / "flows" / "__init__.py").touch()
    (project / "smsretry.py").write_text("raise ImportError('of the project')")
    (project / "prefect.yaml").write_text("deployments: []")
    command = str(Path(sys.executable).with_name("smsretry"))
    runner = GuardedProcess([command, "serve"], log=log, env=flow.environment(), cwd=project)
    names = {one.name for one in declared()}
    try:
        wait_for(lambda: names <= {one["name"] for one in flow.prefect.post("deployments/filter", {})}, runner)
        wait_for(lambda: not deployment(flow.prefect)["paused"], runner)
        yield
    finally:
        runner.stop()
        forget(flow.prefect)


def forget(prefect: "Prefect") -> None:
    """Delete the deployments, and with them the runs that are scheduled: stopping a runner leaves both."""
    for found in prefect.post("deployments/filter", {}):
        httpx.delete(f"{prefect.server.url}/api/deployments/{found['id']}", timeout=30).raise_for_status()


def deployment(prefect: "Prefect") -> dict[str, Any]:
    """The deployment as the API has it; paused when there is none yet."""
    try:
        found: dict[str, Any] = prefect.get(PATH)
    except httpx.HTTPStatusError:
        return {"paused": True}
    return found


def wait_for(condition: Any, runner: GuardedProcess, seconds: float = 180) -> None:
    """Until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert runner.poll() is None, runner.log_tail()
        assert time.monotonic() < deadline, runner.log_tail()
        time.sleep(0.2)


@contextmanager
def served_unscheduled(flow: "FlowProcess", log: Path) -> Iterator[None]:
    """Served, with their schedules off: runs happen when a test asks for them."""
    states = {"type": {"any_": ["PENDING", "RUNNING", "CANCELLING"]}}
    under_way = {"flow_runs": {"state": states}, "deployments": {"name": {"any_": [one.name for one in declared()]}}}
    with served(flow, log):
        for found in flow.prefect.post("deployments/filter", {}):
            for schedule in found["schedules"]:
                url = f"{flow.prefect.server.url}/api/deployments/{found['id']}/schedules/{schedule['id']}"
                httpx.patch(url, json={"active": False}).raise_for_status()
        until(lambda: not flow.prefect.post("flow_runs/filter", under_way), seconds=180)
        yield
