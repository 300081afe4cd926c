"""Runs that nobody started in their time: one run does the work of all, so the others are cancelled.

How many run at once is limited in `prefect.yaml`, for each deployment. A run beyond the limit waits and is not
cancelled by Prefect, because a person may have asked for it. So after an outage a few runs start, and the first of them
cancels what is overdue. No correctness depends on it: claims make overlapping runs safe.

Prefect alone would keep the place of a run that died with its server for ever (its leases are in the server's memory by
default), and in the end nothing would run. Here a limit forgets a place each half a minute in which it gave none:
`slot_decay_per_second` of https://docs.prefect.io/v3/how-to-guides/workflows/global-concurrency-limits
"""

from collections.abc import Sequence
from contextvars import copy_context
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from threading import Thread
from typing import Any, Final

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate

from .run_display import display_only, this_run

OVERDUE: Final = timedelta(minutes=1)
"""Another runner that is alive would have started the run by then."""
FORGETS_PER_SECOND: Final = 1 / 30
"""How fast a limit forgets places. In daily use it gives one more often than that, and forgets none."""
_AT_MOST_SECONDS: Final = 20
"""How long the end of a run waits for this. What is left over, the next run does."""
_PAGE: Final = 200
_CANCELLED: Final = {
    "type": "CANCELLED",
    "name": "Cancelled",
    "message": "Nobody ran it in its time; a later run does its work.",
}


class LateRuns:
    """Cancels this deployment's late runs, beside the run's work: after a night there may be a thousand."""

    def __init__(self) -> None:
        self._thread = Thread(target=copy_context().run, args=(_take_over,), daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait for it, not for long."""
        self._thread.join(_AT_MOST_SECONDS)


@display_only()
def _take_over() -> None:
    """A run that a person asked for may do less than the schedule's, so it takes nothing over."""
    run = this_run()
    if run.deployment_id is None:
        return
    of_deployment = {"id": {"any_": [str(run.deployment_id)]}}
    with get_client(sync_client=True) as client:
        _let_limits_forget(client, of_deployment)
        if run.auto_scheduled:
            _cancel_overdue(client, of_deployment, OVERDUE)


def cancel_overdue_runs(deployments: Sequence[str], *, by: timedelta = OVERDUE) -> None:
    """Cancel the scheduled runs of these deployments that are overdue by more than that.

    One run claims whatever is due, so the others would find nothing, and 60 of them take minutes of a small machine.
    Runs that a person asked for are kept.
    """
    with get_client(sync_client=True) as client:
        _cancel_overdue(client, {"name": {"any_": list(deployments)}}, by)


def _let_limits_forget(client: SyncPrefectClient, which: dict[str, Any]) -> None:
    wanted = {"deployments": which, "limit": _PAGE}
    for deployment in client.request("POST", "/deployments/filter", json=wanted).json():
        limit = deployment["global_concurrency_limit"]
        if limit and not limit["slot_decay_per_second"]:
            slower = GlobalConcurrencyLimitUpdate(slot_decay_per_second=FORGETS_PER_SECOND)
            client.update_global_concurrency_limit(limit["name"], slower)


def _cancel_overdue(client: SyncPrefectClient, which: dict[str, Any], by: timedelta) -> None:
    due = parsedate_to_datetime(client.request("GET", "/health").headers["date"]) - by
    while found := _overdue(client, which, due):
        if "ACCEPT" not in [_cancel(client, run_id) for run_id in found]:
            break


def _overdue(client: SyncPrefectClient, which: dict[str, Any], due: datetime) -> list[str]:
    wanted: dict[str, Any] = {
        "flow_runs": {
            "state": {"type": {"any_": ["SCHEDULED"]}},
            # Not the next start: it moves on for a run that waits for a place.
            "expected_start_time": {"before_": due.isoformat()},
            "tags": {"all_": ["auto-scheduled"]},
        },
        "deployments": which,
        "limit": _PAGE,
    }
    return [row["id"] for row in client.request("POST", "/flow_runs/filter", json=wanted).json()]


def _cancel(client: SyncPrefectClient, run_id: str) -> str:
    answer = client.request("POST", "/flow_runs/{id}/set_state", path_params={"id": run_id}, json={"state": _CANCELLED})
    return str(answer.json()["status"])
