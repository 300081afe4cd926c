"""Serve every deployment of `prefect.yaml` from this machine: `smsretry serve`.

`prefect deploy --all` with a worker registers the same deployments; that file is their one definition.
The function `prefect.serve` reads the flow's file for each run, where the method `flow.serve` would pickle the flow.

Stopping pauses nothing: a second runner that is stopped, or one that is restarted, leaves the schedule as it is. The
runs that piled up meanwhile are cancelled at the next start, because one run does the work of all.
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
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    if not isinstance(deployment, RunnerDeployment):
        raise TypeError("to_deployment must be called outside an event loop")
    return deployment


def serve_all(deployments: Sequence[RunnerDeployment]) -> None:
    """Cancel late runs, register the deployments, and run them until a signal comes. Stopping pauses none of them.

    At most `PREFECT_RUNNER_PROCESS_LIMIT` (5) runs go on at once, each in its process. After a signal Prefect's runner
    stops them one after the other, and kills each that takes more than 30 seconds.
    """
    cancel_late_runs()
    # `serve`, unlike a runner, does not read this setting by itself.
    run_limit = get_current_settings().runner.process_limit
    # Each run looks for modules where it starts, and elsewhere somebody may have a smsretry.py.
    with chdir(ROOT):
        serve(*deployments, query_seconds=2, limit=run_limit, pause_on_shutdown=False)


if __name__ == "__main__":
    check_reach()
    serve_all(deployments())
