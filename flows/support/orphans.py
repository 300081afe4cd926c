"""Task runs that a dead run left behind: Prefect shows them as Running for ever, until they are set to Crashed here."""

from datetime import timedelta
from typing import Final

from prefect.client.orchestration import get_client

from flows.support.run_display import display_only, this_run

_SETTLED: Final = timedelta(minutes=10)
"""A run's last states reach the server some seconds after its end, and a minute after it under load."""
_PAGE: Final = 200
_CRASHED: Final = {
    "type": "CRASHED",
    "name": "Crashed",
    "message": "The run ended without it. The queue knows what became of its text.",
}


@display_only()
def crash_orphaned_task_runs() -> None:
    """End the task runs of this flow's runs that have been over for ten minutes. One request where there is none."""
    run = this_run()
    if run.state is None:
        return
    wanted = {
        "flows": {"id": {"any_": [str(run.flow_id)]}},
        "flow_runs": {
            "state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]}},
            "end_time": {"before_": (run.state.timestamp - _SETTLED).isoformat()},
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
