"""Two ways to register the deployments, one definition: `prefect.yaml`. Neither needs the repository."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from smsretry.adapters.prefect.definition import declared
from tests.e2e.conftest import FlowProcess
from tests.e2e.serving import deployment, forget, served


@pytest.mark.long
def test_serve_and_deploy_register_the_same_deployment_which_names_no_folder(flow: FlowProcess, tmp_path: Path) -> None:
    """Name, description, version, tags, parameters, schedule and form; `prefect.yaml` is the one definition."""

    def essence() -> dict[str, Any]:
        found = deployment(flow.prefect)
        schedule = {key: found["schedules"][0][key] for key in ("schedule", "active", "slug")}
        schedule["schedule"].pop("day_or", None)
        keys = ["name", "description", "version", "tags", "parameters", "parameter_openapi_schema"]
        keys += ["entrypoint", "path", "pull_steps"]
        return {key: found[key] for key in keys} | {"schedule": schedule, "schedules": len(found["schedules"])}

    with served(flow, tmp_path / "runner.log"):
        by_serve = essence()
        scheduled = flow.prefect.get("deployments/name/process-scheduled-sends/process-scheduled-sends")["schedules"]
    assert [(one["schedule"]["cron"], one["active"]) for one in scheduled] == [("* * * * *", True)]
    for command in (["prefect", "work-pool", "create", "smsretry", "--type", "process"], ["smsretry", "deploy"]):
        subprocess.run(
            [Path(sys.executable).with_name(command[0]), *command[1:]],
            cwd=tmp_path,
            env=flow.environment(),
            check=True,
            capture_output=True,
            timeout=120,
        )
    assert essence() == by_serve
    forget(flow.prefect)
    assert (by_serve["path"], by_serve["pull_steps"]) == (None, [])
    # A run overlaps the next minute's, and is over before the one after that takes its place, ten seconds early.
    assert 60 < by_serve["parameter_openapi_schema"]["properties"]["drain_seconds"]["default"] < 110
    assert by_serve["version"] == declared()[0].version
    assert by_serve["schedule"]["schedule"] == {"cron": "* * * * *", "timezone": "UTC"}
    assert by_serve["schedule"]["slug"] == "every-minute"
