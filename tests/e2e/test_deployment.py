"""The deployments as runners come and go: what is registered, who runs it, and what becomes of runs that are late."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from textwrap import indent

import httpx
import psutil
import pytest

from smsretry.adapters.prefect.definition import declared
from smsretry.local.demo.run import ROOT
from smsretry.local.process.child_process import ChildProcess
from smsretry.local.stack import Stack
from tests.conftest import Business
from tests.e2e.documents import Document
from tests.e2e.registry import SCHEDULED, FlowProcess, Forks, Prefect, Registry
from tests.support.records import Record, columns
from tests.support.waiting import until

pytestmark = pytest.mark.long

PLANNED = "process-scheduled-sends"


def deployment(prefect: Prefect) -> Record:
    """The deployment as the API has it."""
    record: Record = prefect.get(f"deployments/name/{SCHEDULED}/{SCHEDULED}")
    return record


def serving(flow: FlowProcess, log: Path) -> ChildProcess:
    """The command that serves the deployments, started away from the repository; it has begun."""
    command = str(Path(sys.executable).with_name("smsretry"))
    runner = ChildProcess(
        [command, "serve"], log=log, env=flow.environment(), cwd=log.parent
    )
    until(
        lambda: (
            "Your deployments are being served" in log.read_text()
            or runner.poll() is not None
        )
    )
    return runner


@pytest.fixture(scope="module")
def runner(
    running_stack: Stack,
    prefect: Prefect,
    forks: Forks,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[None]:
    """The deployments, served while a late run that somebody asked for waits: it is run."""
    registry = Registry(prefect, running_stack)
    registry.all_well()
    asked_for = registry.run(SCHEDULED, "SCHEDULED", name="Late")
    log = tmp_path_factory.mktemp("runner") / "runner.log"
    runner = serving(FlowProcess(running_stack, prefect, forks), log)
    try:
        assert prefect.end_of(asked_for)["state"]["type"] == "COMPLETED", (
            log.read_text()[-3000:]
        )
        yield
    finally:
        runner.stop()
        prefect.forget_deployments()


def test_a_second_runner_switches_the_schedule_on_and_its_stop_leaves_it_on(
    runner: None, flow: FlowProcess, tmp_path: Path
) -> None:
    """Prefect's own default pauses the deployment when any runner of it stops, and deletes the runs to come."""
    own = {
        "deployment_id": {"any_": [deployment(flow.prefect)["id"]]},
        "state": {"type": {"any_": ["SCHEDULED"]}},
    }

    def runs_to_come() -> int:
        return int(flow.prefect.post("flow_runs/count", {"flow_runs": own}))

    pause = f"{flow.prefect.server.url}/api/deployments/{deployment(flow.prefect)['id']}/pause_deployment"
    httpx.post(pause, timeout=30).raise_for_status()
    assert deployment(flow.prefect)["paused"]
    second = serving(flow, tmp_path / "second.log")
    until(runs_to_come)
    second.stop()
    record = deployment(flow.prefect)
    assert not record["paused"]
    assert [schedule["active"] for schedule in record["schedules"]] == [True]
    assert runs_to_come() > 0


def test_serve_and_deploy_register_the_same_deployment_which_names_no_folder(
    runner: None, flow: FlowProcess, tmp_path: Path
) -> None:
    """Name, description, version, tags, parameters, schedule and form; `prefect.yaml` is the one definition."""

    def essence() -> Record:
        record = deployment(flow.prefect)
        [schedule] = record["schedules"]
        keys = [
            "name",
            "description",
            "version",
            "tags",
            "parameters",
            "parameter_openapi_schema",
            "entrypoint",
            "path",
        ]
        shown = {key: record[key] for key in [*keys, "entrypoint"]} | {
            key: schedule[key] for key in ("active", "slug")
        }
        times = {key: schedule["schedule"][key] for key in ("cron", "timezone")}
        return shown | {"schedule": times, "pull_steps": record["pull_steps"] or []}

    by_serve = essence()
    for command in (
        ["prefect", "work-pool", "create", "smsretry", "--type", "process"],
        ["smsretry", "deploy"],
    ):
        subprocess.run(
            [Path(sys.executable).with_name(command[0]), *command[1:]],
            cwd=tmp_path,
            env=flow.environment(),
            check=True,
            capture_output=True,
            timeout=120,
        )
    assert essence() == by_serve
    assert columns(by_serve, "path", "pull_steps") == (None, [])
    # A run overlaps the next minute's, and is over before the one after that takes its place, ten seconds early.
    assert (
        60
        < by_serve["parameter_openapi_schema"]["properties"]["drain_seconds"]["default"]
        < 110
    )
    assert by_serve["version"] == declared()[0].version
    assert columns(by_serve, "schedule", "active") == (
        {"cron": "* * * * *", "timezone": "UTC"},
        True,
    )
    scheduled = flow.prefect.get(f"deployments/name/{PLANNED}/{PLANNED}")["schedules"]
    assert [(one["schedule"]["cron"], one["active"]) for one in scheduled] == [
        ("* * * * *", True)
    ]


def test_a_runner_has_five_runs_at_once_whatever_has_piled_up(
    runner: None, prefect: Prefect
) -> None:
    """More would slow each other down until none ends in its minute, and they would pile up without an end."""
    runs = [prefect.order(SCHEDULED, {"drain_seconds": 0}) for _ in range(6)]
    first_end = min(prefect.end_of(run)["end_time"] for run in runs)
    states = [prefect.get(f"flow_run_states/?flow_run_id={run}") for run in runs]
    taken = [
        min(state["timestamp"] for state in of_one if state["type"] == "PENDING")
        for of_one in states
    ]
    assert max(taken) > first_end


def test_a_runner_reports_a_run_whose_process_is_killed(
    runner: None, business: Business, prefect: Prefect
) -> None:
    """Nobody else is left to do so. It waits for a text that is due soon."""
    business.due_text(due=timedelta(seconds=50))
    run = prefect.order(SCHEDULED, {"drain_seconds": 60})
    until(lambda: prefect.get(f"flow_runs/{run}")["state_type"] == "RUNNING")
    for process in psutil.process_iter(["environ"]):
        if (process.info["environ"] or {}).get("PREFECT__FLOW_RUN_ID") == run:
            process.kill()
    until(
        lambda: (
            "sms.queue.run-failed"
            in [one["event"] for one in prefect.events(f"prefect.flow-run.{run}")]
        )
    )


def test_a_run_of_the_schedule_does_the_work_of_those_that_are_late(
    stack: Stack, flow: FlowProcess, prefect: Prefect
) -> None:
    """They are cancelled; what a person asked for waits, and cancels nothing; so does another deployment's run."""

    def states(*runs: str) -> list[str]:
        return [prefect.get(f"flow_runs/{run}")["state"]["name"] for run in runs]

    registry = Registry(prefect, stack)
    registry.empty()
    for name in (SCHEDULED, PLANNED):
        registry.register(name)
    this, *late = [
        registry.missed(SCHEDULED, minutes) for minutes in (4, *range(5, 15))
    ]
    others = registry.missed(PLANNED, 5)
    asked_for = prefect.order(SCHEDULED, {"limit": 1, "drain_seconds": 0})
    flow.forks.run("prefect.engine", flow.environment(PREFECT__FLOW_RUN_ID=asked_for))
    assert states(asked_for, this, *late) == ["Completed", *["Late"] * 11]
    asked_again = registry.run(SCHEDULED, "SCHEDULED", name="Late")
    flow.forks.run("prefect.engine", flow.environment(PREFECT__FLOW_RUN_ID=this))
    assert states(this, *late, others, asked_again) == [
        "Completed",
        *["Cancelled"] * 10,
        "Late",
        "Late",
    ]
    registry.empty()


def test_the_flow_that_contributing_adds_is_deployed_and_runs(
    flow: FlowProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a copy of the repository, by the steps shown."""
    contributing = Document(ROOT / ".github" / "CONTRIBUTING.md")
    [source] = contributing.blocks("python")
    [deployment] = contributing.blocks("yaml")
    for room in ("flows", "smsretry"):
        shutil.copytree(ROOT / room, tmp_path / room)
    (tmp_path / "smsretry_flows").symlink_to(
        "flows"
    )  # what `pip install -e .` does there
    (tmp_path / "flows" / "take_back_texts.py").write_text(
        source.text, encoding="utf-8"
    )
    definition = (ROOT / "prefect.yaml").read_text(encoding="utf-8") + indent(
        deployment.text, "  "
    )
    (tmp_path / "prefect.yaml").write_text(definition, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    show = "from flows.serve import deployments; print([d.name for d in deployments()])"
    served = subprocess.check_output(
        [sys.executable, "-c", show], cwd=tmp_path, env=flow.environment(), text=True
    )
    assert "take-back-texts" in served
    subprocess.run(
        [sys.executable, "-m", "flows.take_back_texts"],
        cwd=tmp_path,
        env=flow.environment(),
        check=True,
    )
    assert flow.prefect.last_run()["state"]["message"] == "Took back 0 texts"
