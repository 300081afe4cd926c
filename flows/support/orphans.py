"""Task runs that a dead run left behind: Prefect shows them as Running for ever, until they are set to Crashed here."""

from datetime import timedelta
from typing import Any, Final

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State

_SETTLED: Final = timedelta(minutes=10)
"""A run's last states reach the server some seconds after its end, and a minute after it under load."""
_PAGE: Final = 200
_CRASHED: Final = {
    "type": "CRASHED",
    "name": "Crashed",
    "message": "The run ended without it. The queue knows what became of its text.",
}


def crash_orphaned_task_runs(flow: Flow[..., Any], flow_run: FlowRun, state: State) -> None:  # noqa: ARG001 - a hook has these
    """For `on_running`: end the task runs of the flow's runs that have been over for ten minutes.

    One request where there is none. What goes wrong here is logged by Prefect, and does not touch the run.
    """
    wanted = {
        "flows": {"id": {"any_": [str(flow_run.flow_id)]}},
        "flow_runs": {
            "state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]}},
            "end_time": {"before_": (state.timestamp - _SETTLED).isoformat()},
        },
        "task_runs": {"state": {"type": {"any_": ["RUNNING", "PENDING"]}}},
        "limit": _PAGE,
    }
    with get_client(sync_client=True) as client:
        for orphan in client.request("POST", "/task_runs/filter", json=wanted).json():
            client.request(
                "POST",
                "/task_runs/{id}/set_state",
                path_params={"id": orphan["id"]},
                json={"state": _CRASHED, "force": True},
            )
