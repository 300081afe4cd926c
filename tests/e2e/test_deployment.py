"""The deployment: its form for ad-hoc runs, and what becomes of schedule and late runs as runners come and go."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from smsretry.local.demo.run import ROOT
from smsretry.local.prefect_server import PortTaken, PrefectServer
from smsretry.local.process.guarded_process import GuardedProcess
from smsretry.local.stack import Stack
from tests.conftest import Business
from tests.e2e.conftest import FlowProcess, Forks, Prefect
from tests.e2e.registry import SCHEDULED, Registry
from tests.e2e.serving import deployment, served, switch_schedules, wait_for, wait_until_idle

pytestmark = pytest.mark.long


@dataclass(frozen=True)
class Backlog:
    """Runs that waited as a runner started, and its log."""

    late: list[str]
    asked_for: str
    log: Path


@pytest.fixture(scope="module")
def backlog(
    running_stack: Stack, prefect: Prefect, forks: Forks, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Backlog]:
    """The deployments, served as late runs wait: three of the schedule's, and one that somebody asked for."""
    registry = Registry(prefect, running_stack)
    registry.all_well()
    late = [registry.missed(SCHEDULED, 10) for _ in range(3)]
    asked_for = registry.run(SCHEDULED, "SCHEDULED", name="Late")
    then = "now() - interval '10 minutes'"
    times = f"expected_start_time = {then}, next_scheduled_start_time = {then}"
    registry.say(f"update flow_run set {times} where id = '{asked_for}'")
    log = tmp_path_factory.mktemp("runner") / "runner.log"
    with served(FlowProcess(running_stack, prefect, forks), log):
        prefect.end_of(asked_for)
        yield Backlog(late, asked_for, log)


def test_an_ad_hoc_run_takes_its_parameters_from_a_form_with_descriptions_and_bounds(
    backlog: Backlog, flow: FlowProcess, business: Business
) -> None:
    """Two of three due texts when asked for two; 9999 is refused before anything runs."""
    switch_schedules(flow.prefect, active=False)  # a scheduled run would take them, also one that is under way
    wait_until_idle(flow.prefect)
    for _ in range(3):
        business.due_text()
    found = deployment(flow.prefect)
    properties = found["parameter_openapi_schema"]["properties"]
    assert properties["limit"] | {"title": ""} == {
        "title": "",
        "type": "integer",
        "default": 100_000,
        "minimum": 1,
        "maximum": 100_000,
        "position": 0,
        "description": "How many due texts to take at most (1 to 100,000).",
    }
    assert "description" in properties["stale_minutes"]
    run = flow.prefect.end_of(flow.prefect.order(SCHEDULED, {"limit": 2}))
    switch_schedules(flow.prefect, active=True)
    assert run["state"]["message"].startswith("recovered 0, claimed 2: sent 2 in ")
    with pytest.raises(httpx.HTTPStatusError) as refused:
        flow.prefect.order(SCHEDULED, {"limit": 999_999})
    assert "999999 is greater than the maximum of 100000" in refused.value.response.text


def test_a_second_runner_switches_the_schedule_on_and_its_stop_leaves_it_on(
    backlog: Backlog, flow: FlowProcess, tmp_path: Path
) -> None:
    """Prefect's own default pauses the deployment when any runner of it stops, and deletes the runs to come."""

    def runs_to_come() -> int:
        scheduled = {
            "deployment_id": {"any_": [deployment(flow.prefect)["id"]]},
            "state": {"type": {"any_": ["SCHEDULED"]}},
        }
        return int(flow.prefect.post("flow_runs/count", {"flow_runs": scheduled}))

    pause = f"{flow.prefect.server.url}/api/deployments/{deployment(flow.prefect)['id']}/pause_deployment"
    httpx.post(pause, timeout=30).raise_for_status()
    assert deployment(flow.prefect)["paused"]
    second = GuardedProcess(
        [sys.executable, "-m", "flows.serve"], log=tmp_path / "second.log", env=flow.environment(), cwd=ROOT
    )
    wait_for(lambda: "Your deployments are being served" in second.log.read_text(), second)
    wait_for(runs_to_come, second)
    second.stop()
    found = deployment(flow.prefect)
    assert not found["paused"]
    assert [schedule["active"] for schedule in found["schedules"]] == [True]
    assert runs_to_come() > 0


def test_what_piled_up_is_cancelled_at_the_next_start_and_what_somebody_asked_for_runs(
    backlog: Backlog, prefect: Prefect
) -> None:
    """One run claims whatever is due, so the others would find nothing."""
    ended = prefect.end_of(backlog.asked_for)
    assert ended["state"]["type"] == "COMPLETED", backlog.log.read_text()[-3000:]
    states = {prefect.get(f"flow_runs/{run}")["state"]["message"] for run in backlog.late}
    assert states == {"Nobody ran it in its time; a later run does its work."}


def test_a_server_takes_only_its_own_answers_for_its_own(prefect: Prefect, tmp_path: Path, stack: Stack) -> None:
    """Another stack's server on its port is a taken port, even if it came in the moment between."""
    other = PrefectServer(tmp_path / "prefect", stack.postgres, port=prefect.server.port)
    assert prefect.server.answers()
    assert not other.answers()
    with pytest.raises(PortTaken, match=f"Port {prefect.server.port} is taken by another program: choose another with"):
        other.start()
    assert prefect.server.answers()
