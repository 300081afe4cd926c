"""What piled up while nobody ran it: a scheduled run that is overdue is cancelled when a runner starts."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

from prefect.client.orchestration import SyncPrefectClient, get_client

OVERDUE: Final = timedelta(minutes=1)
"""Another runner that is alive would have started it by then."""
_PAGE: Final = 200
_CANCELLED: Final = {
    "type": "CANCELLED",
    "name": "Cancelled",
    "message": "Nobody ran it in its time; a later run does its work.",
}


def cancel_overdue_runs(deployments: Sequence[str], *, by: timedelta = OVERDUE) -> int:
    """Cancel the scheduled runs of these deployments that are overdue by more than that; returns how many.

    One run claims whatever is due, so the others would find nothing, and 60 of them take minutes of a small machine.
    Runs that a person asked for are kept.
    """
    cancelled = 0
    with get_client(sync_client=True) as client:
        due = parsedate_to_datetime(client.request("GET", "/health").headers["date"]) - by
        while found := _overdue(client, deployments, due):
            answers = [_cancel(client, run_id) for run_id in found]
            cancelled += answers.count("ACCEPT")
            if "ACCEPT" not in answers:
                break
    return cancelled


def _overdue(client: SyncPrefectClient, deployments: Sequence[str], due: datetime) -> list[str]:
    wanted: dict[str, Any] = {
        "flow_runs": {
            "state": {"type": {"any_": ["SCHEDULED"]}},
            "next_scheduled_start_time": {"before_": due.isoformat()},
            "tags": {"all_": ["auto-scheduled"]},
        },
        "deployments": {"name": {"any_": list(deployments)}},
        "limit": _PAGE,
    }
    return [row["id"] for row in client.request("POST", "/flow_runs/filter", json=wanted).json()]


def _cancel(client: SyncPrefectClient, run_id: str) -> str:
    answer = client.request("POST", "/flow_runs/{id}/set_state", path_params={"id": run_id}, json={"state": _CANCELLED})
    return str(answer.json()["status"])
