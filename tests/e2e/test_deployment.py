"""The deployment: the same by `serve` and by `prefect deploy`, with its schedule and its form for ad-hoc runs."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from smsretry.adapters.prefect.definition import declared
from smsretry.local.demo.run import ROOT
from smsretry.local.prefect_server import PortTaken, PrefectServer
from smsretry.local.process.guarded_process import GuardedProcess
from smsretry.local.stack import Stack
from tests.conftest import Business
from tests.e2e.conftest import FlowProcess, Prefect
from tests.e2e.registry import SCHEDULED, Registry
from tests.e2e.serving import deployment, forget, served, wait_for


def test_serve_and_prefect_deploy_register_the_same_deployment(flow: FlowProcess, tmp_path: Path) -> None:
    """Name, description, version, tags, parameters, schedule and form; `prefect.yaml` is the one definition."""

    def essence() -> dict[str, Any]:
        found = deployment(flow.prefect)
        schedule = {key: found["schedules"][0][key] for key in ("schedule", "active", "slug")}
        schedule["schedule"].pop("day_or", None)
        keys = ("name", "description", "version", "tags", "parameters", "parameter_openapi_schema", "entrypoint")
        return {key: found[key] for key in keys} | {"schedule": schedule, "schedules": len(found["schedules"])}

    with served(flow, tmp_path / "runner.log"):
        by_serve = essence()
    for command in (["work-pool", "create", "smsretry", "--type", "process"], ["--no-prompt", "deploy", "--all"]):
        subprocess.run(
            [sys.executable, "-m", "prefect", *command],
            cwd=ROOT,
            env=flow.environment(),
            check=True,
            capture_output=True,
            timeout=120,
        )
    assert essence() == by_serve
    forget(flow.prefect)
    assert by_serve["version"] == declared()[0].version
    assert by_serve["schedule"]["schedule"] == {"cron": "* * * * *", "timezone": "UTC"}
    assert by_serve["schedule"]["slug"] == "every-minute"


def test_an_ad_hoc_run_takes_its_parameters_from_a_form_with_descriptions_and_bounds(
    flow: FlowProcess, business: Business, tmp_path: Path
) -> None:
    """Two of three due texts when asked for two; 9999 is refused before anything runs."""
    for _ in range(3):
        business.due_text()
    with served(flow, tmp_path / "runner.log"):
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
        run = flow.prefect.post(f"deployments/{found['id']}/create_flow_run", {"parameters": {"limit": 2}})
        deadline = time.monotonic() + 60
        while flow.prefect.get(f"flow_runs/{run['id']}")["state"]["type"] not in ("COMPLETED", "FAILED", "CRASHED"):
            assert time.monotonic() < deadline
            time.sleep(0.3)
        state = flow.prefect.get(f"flow_runs/{run['id']}")["state"]
        assert state["message"].startswith("recovered 0, claimed 2: sent 2 in ")
        with pytest.raises(httpx.HTTPStatusError) as refused:
            flow.prefect.post(f"deployments/{found['id']}/create_flow_run", {"parameters": {"limit": 999_999}})
        assert "999999 is greater than the maximum of 100000" in refused.value.response.text


def test_a_second_runner_switches_the_schedule_on_and_its_stop_leaves_it_on(flow: FlowProcess, tmp_path: Path) -> None:
    """Prefect's own default pauses the deployment when any runner of it stops, and deletes the runs to come."""

    def runs_to_come() -> int:
        scheduled = {
            "deployment_id": {"any_": [deployment(flow.prefect)["id"]]},
            "state": {"type": {"any_": ["SCHEDULED"]}},
        }
        return int(flow.prefect.post("flow_runs/count", {"flow_runs": scheduled}))

    with served(flow, tmp_path / "first.log"):
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
    flow: FlowProcess, business: Business, tmp_path: Path
) -> None:
    """One run claims whatever is due, so the others would find nothing."""
    registry = Registry(flow.prefect, flow.stack)
    registry.all_well()
    late = [registry.run(SCHEDULED, "SCHEDULED", name="Late", tags=["auto-scheduled"]) for _ in range(3)]
    asked_for = registry.run(SCHEDULED, "SCHEDULED", name="Late")
    ids = ", ".join(f"'{run}'" for run in (*late, asked_for))
    registry.say(f"update flow_run set next_scheduled_start_time = now() - interval '10 minutes' where id in ({ids})")
    with served(flow, tmp_path / "runner.log"):
        deadline = time.monotonic() + 120
        while (found := flow.prefect.get(f"flow_runs/{asked_for}")["state"])["type"] != "COMPLETED":
            assert time.monotonic() < deadline, (found, (tmp_path / "runner.log").read_text()[-3000:])
            time.sleep(0.2)
        states = {flow.prefect.get(f"flow_runs/{run}")["state"]["message"] for run in late}
    assert states == {"Nobody ran it in its time; a later run does its work."}


def test_a_server_takes_only_its_own_answers_for_its_own(prefect: Prefect, tmp_path: Path, stack: Stack) -> None:
    """Another stack's server on its port is a taken port, even if it came in the moment between."""
    other = PrefectServer(tmp_path / "prefect", stack.postgres, port=prefect.server.port)
    assert prefect.server.answers()
    assert not other.answers()
    with pytest.raises(PortTaken, match=f"Port {prefect.server.port} is taken by another program: choose another with"):
        other.start()
    assert prefect.server.answers()
