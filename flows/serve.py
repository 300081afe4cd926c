"""Serve every deployment of `prefect.yaml` from this machine: `python -m flows.serve`.

`prefect deploy --all` with a worker registers the same deployments; the file is their one definition.
Module-level `serve`, not `flow.serve()`: that one pickles the flow, this one reads its file anew for each run.
"""

import os
from pathlib import Path
from typing import Any

import yaml
from prefect import Flow, serve
from prefect.deployments.runner import RunnerDeployment
from prefect.flows import load_flow_from_entrypoint
from prefect.schedules import Schedule

ROOT = Path(__file__).resolve().parent.parent


def deployments() -> list[RunnerDeployment]:
    """The deployments of `prefect.yaml`. The working directory must be the project's."""
    text = (ROOT / "prefect.yaml").read_text(encoding="utf-8")
    return [_deployment(entry) for entry in yaml.safe_load(text)["deployments"]]


def _deployment(entry: dict[str, Any]) -> RunnerDeployment:
    flow: Flow[..., Any] = load_flow_from_entrypoint(entry["entrypoint"], use_placeholder_flow=False)
    deployment = flow.to_deployment(
        name=entry["name"],
        description=entry["description"],
        version=entry["version"],
        tags=entry["tags"],
        parameters=entry["parameters"],
        schedules=[Schedule(**schedule) for schedule in entry.get("schedules", [])],
        enforce_parameter_schema=entry["enforce_parameter_schema"],
    )
    if not isinstance(deployment, RunnerDeployment):
        raise TypeError("to_deployment must be called outside an event loop")
    return deployment


if __name__ == "__main__":
    os.chdir(ROOT)  # entrypoints are relative to it
    serve(*deployments(), query_seconds=2)
