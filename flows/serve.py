"""Serve every deployment of `prefect.yaml` from this machine: `python -m flows.serve`.

`prefect deploy --all` with a worker registers the same deployments; that file is their one definition.
The module-level `serve` is used because `flow.serve()` pickles the flow, and this one reads its file for each run.
"""

import sysconfig
from contextlib import chdir
from pathlib import Path
from typing import Any, Final

import yaml
from prefect import Flow, serve
from prefect.deployments.runner import RunnerDeployment
from prefect.flows import load_flow_from_entrypoint
from prefect.schedules import Schedule

ROOT: Final = Path(__file__).resolve().parent.parent
"""The folder that holds `flows/`: the repository, or where the wheel is installed. Entrypoints are relative to it."""


def deployments() -> list[RunnerDeployment]:
    """Read the deployments of `prefect.yaml`, in any working directory."""
    with chdir(ROOT):
        return [_deployment(entry) for entry in yaml.safe_load(_definition())["deployments"]]


def _definition() -> str:
    """`prefect.yaml`: the repository's, or the one that came with the wheel (`data-files` in pyproject.toml)."""
    installed = [Path(prefix, "share", "smsretry") for prefix in (ROOT, sysconfig.get_path("data"))]
    found = next(folder for folder in (ROOT, *installed) if (folder / "prefect.yaml").exists())
    return (found / "prefect.yaml").read_text(encoding="utf-8")


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
    with chdir(ROOT):  # each run loads its flow by an entrypoint relative to it
        serve(*deployments(), query_seconds=2)
