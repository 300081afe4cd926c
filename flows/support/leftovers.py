"""Clears away what runs leave behind in Prefect, so that its UI is right again: what a dead run did not end, and idle
runs. A run does it last: no text waits while the server looks through all of its task runs.
"""

from datetime import timedelta
from typing import Any, Final

from httpx import HTTPStatusError
from prefect.client.orchestration import get_client

from smsretry.desk.pages.answers import IDLE

from .run_display import display_only, this_run

_SETTLED: Final = timedelta(minutes=10)
"""A run's last states reach the server some seconds after its end, and a minute after it under load."""
_IDLE_KEPT: Final = timedelta(hours=1)
"""Long enough to see that the schedule is kept. The database's own list of runs has them all."""
_DELETE: Any = "/flow_runs/bulk_delete"
"""Prefect's own list of its server's calls lacks it."""
_AT_ONCE: Final = 50
"""As many as the server deletes in one call."""
_UNKNOWN_CALL: Final = (404, 405)
"""An older server does not have it, and keeps them."""
_PAGE: Final = 200
_CRASHED: Final = {
    "type": "CRASHED",
    "name": "Crashed",
    "message": "The run ended without it. The queue knows what became of its text.",
}


@display_only()
def crash_orphaned_task_runs() -> None:
    """End the task runs of this flow's runs that have been over for ten minutes. One request where there is none.

    Prefect would show them as Running forever.
    """
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


@display_only()
def delete_idle_runs() -> None:
    """Delete this deployment's idle runs that ended more than an hour ago. One request.

    There would be about 3,000 a day among those that did something.
    """
    run = this_run()
    if run.state is None or run.deployment_id is None:
        return
    idle = {
        "name": {"any_": [IDLE]},
        "deployment_id": {"any_": [str(run.deployment_id)]},
        "state": {"type": {"any_": ["COMPLETED"]}},
        "end_time": {"before_": (run.state.timestamp - _IDLE_KEPT).isoformat()},
    }
    with get_client(sync_client=True) as client:
        try:
            client.request("POST", _DELETE, json={"flow_runs": idle, "limit": _AT_ONCE})
        except HTTPStatusError as error:
            if error.response.status_code not in _UNKNOWN_CALL:
                raise
