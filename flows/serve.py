"""Serve every deployment of `prefect.yaml` from this machine: `smsretry serve`.

`prefect deploy --all` with a worker registers the same deployments; that file is their one definition.
The module-level `serve` is used because `flow.serve()` pickles the flow, and this one reads its file for each run.

Stopping pauses nothing: a second runner that is stopped, or one that is restarted, leaves the schedule as it is. What
piled up meanwhile is cancelled at the next start, because one run does what they all would have done.
"""

from collections.abc import Sequence
from contextlib import chdir
from typing import Any

from prefect import Flow, serve
from prefect.deployments.runner import RunnerDeployment
from prefect.flows import load_flow_from_entrypoint
from prefect.schedules import Schedule
from prefect.settings import get_current_settings
from prefect.types.entrypoint import EntrypointType

from smsretry.adapters.prefect.definition import ROOT, entries

from .support.schedule import cancel_late_runs
from .support.server import check_reach


def deployments() -> list[RunnerDeployment]:
    """Read the deployments of `prefect.yaml`, in any working directory."""
    with chdir(ROOT):
        return list(map(_deployment, entries()))


def _deployment(entry: dict[str, Any]) -> RunnerDeployment:
    flow: Flow[..., Any] = load_flow_from_entrypoint(
        entry["entrypoint"], use_placeholder_flow=False
    )
    deployment = flow.to_deployment(
        name=entry["name"],
        description=entry["description"],
        version=entry["version"],
        tags=entry["tags"],
        parameters=entry["parameters"],
        schedules=[Schedule(**schedule) for schedule in entry.get("schedules", [])],
        enforce_parameter_schema=entry["enforce_parameter_schema"],
        entrypoint_type=EntrypointType.FILE_PATH
        if ":" in entry["entrypoint"]
        else EntrypointType.MODULE_PATH,
    )
    if not isinstance(deployment, RunnerDeployment):
        raise TypeError("to_deployment must be called outside an event loop")
    return deployment


def serve_all(deployments: Sequence[RunnerDeployment]) -> None:
    """Cancel what is late, register them, and run them until a signal comes. Stopping pauses none of them."""
    cancel_late_runs()
    run_limit = (
        get_current_settings().runner.process_limit
    )  # which `serve`, unlike a runner, does not take by itself
    with chdir(
        ROOT
    ):  # each run looks for modules where it starts, and elsewhere somebody may have a smsretry.py
        serve(*deployments, query_seconds=2, limit=run_limit, pause_on_shutdown=False)


if __name__ == "__main__":
    check_reach()
    serve_all(deployments())
