"""What a Prefect server says of deployments and their runs."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
import psutil

SCHEDULED: Final = "process-sms-retries"
_PAGE: Final = 200


@dataclass
class Watch:
    """The server at an address that ends with /api."""

    api_url: str

    def run_of(self, process: psutil.Process) -> dict[str, Any] | None:
        """The run that this is the process of; None for any other process."""
        try:
            run = process.environ()["PREFECT__FLOW_RUN_ID"]
        except (psutil.Error, KeyError):
            return None
        answer = httpx.get(f"{self.api_url}/flow_runs/{run}", timeout=30)
        return dict(answer.json()) if answer.is_success else None

    def is_under_way(self, process: psutil.Process) -> bool:
        """One that is just starting or ending has nothing to lose, and Prefect may not notice its death."""
        run = self.run_of(process)
        return run is not None and run["state_type"] == "RUNNING"

    def deployment(self, name: str = SCHEDULED) -> dict[str, Any]:
        """As Prefect has it."""
        answer = httpx.get(f"{self.api_url}/deployments/name/{name}/{name}", timeout=30)
        return dict(answer.raise_for_status().json())

    def runs(self, **state: object) -> list[dict[str, Any]]:
        """The newest 200 runs in such a state, the newest first."""
        wanted = {"state": state, "deployment_id": {"is_null_": False}}
        body = {"flow_runs": wanted, "sort": "END_TIME_DESC", "limit": _PAGE}
        found: list[dict[str, Any]] = httpx.post(f"{self.api_url}/flow_runs/filter", json=body, timeout=30).json()
        return found

    def completed(self) -> list[datetime]:
        """When runs completed, the newest first."""
        return [datetime.fromisoformat(run["end_time"]) for run in self.runs(type={"any_": ["COMPLETED"]})]

    def completed_since(self, since: datetime) -> list[datetime]:
        """The same, all of them."""
        ended = {"state": {"type": {"any_": ["COMPLETED"]}}, "end_time": {"after_": since.isoformat()}}
        found = self._all({"flow_runs": ended, "sort": "END_TIME_DESC"})
        return [datetime.fromisoformat(run["end_time"]) for run in found]

    def runs_of(self, name: str, since: datetime) -> list[dict[str, Any]]:
        """All runs of a deployment that were to start between that moment and now, the oldest first."""
        between = {"after_": since.isoformat(), "before_": datetime.now(UTC).isoformat()}
        wanted = {"flow_runs": {"expected_start_time": between}, "deployments": {"name": {"any_": [name]}}}
        return self._all({**wanted, "sort": "EXPECTED_START_TIME_ASC"})

    def _all(self, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        """Page by page."""
        found: list[dict[str, Any]] = []
        while True:
            body = {**wanted, "limit": _PAGE, "offset": len(found)}
            page = httpx.post(f"{self.api_url}/flow_runs/filter", json=body, timeout=30).raise_for_status().json()
            found += page
            if len(page) < _PAGE:
                return found

    def waiting_long(self, longer_than: timedelta) -> int:
        """How many scheduled runs have been due for longer than that."""
        due = (datetime.now(UTC) - longer_than).isoformat()
        wanted = {"state": {"type": {"any_": ["SCHEDULED"]}}, "next_scheduled_start_time": {"before_": due}}
        answer = httpx.post(f"{self.api_url}/flow_runs/count", json={"flow_runs": wanted}, timeout=30)
        return int(answer.raise_for_status().json())
