"""What a runner registers and reports, said to a Prefect server by hand, so that each of it can be wrong."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from smsretry.adapters.prefect.definition import declared
from smsretry.local.prefect_server import DATABASE
from smsretry.local.stack import Stack

# A file that takes these from here has a Prefect server of its own: tests/support/scheduling.py.
from tests.e2e.conftest import FlowProcess as FlowProcess
from tests.e2e.conftest import Forks as Forks
from tests.e2e.conftest import Prefect as Prefect

SCHEDULED = "process-sms-retries"


@dataclass
class Registry:
    """The deployments of a Prefect server."""

    prefect: Prefect
    stack: Stack

    @property
    def api_url(self) -> str:
        """What PREFECT_API_URL must be."""
        return f"{self.prefect.server.url}/api"

    def all_well(self) -> None:
        """All registered, asked for by a runner, and the scheduled one has just completed a run."""
        self._forget_runs()
        ids = [self.register(deployment.name) for deployment in declared()]
        self.prefect.post(
            "deployments/get_scheduled_flow_runs", {"deployment_ids": ids}
        )
        self.run(SCHEDULED, "COMPLETED")
        while any(
            one["last_polled"] is None
            for one in self.prefect.post("deployments/filter", {})
        ):
            time.sleep(0.02)  # it is noted after the answer

    def register(self, deployment: str, **changes: Any) -> str:
        """Register one of `prefect.yaml`, changed as told; returns its id."""
        [declared_deployment] = [one for one in declared() if one.name == deployment]
        flow = self.prefect.post("flows/", {"name": deployment})
        schedules = [
            {
                "schedule": {"cron": schedule.cron, "timezone": schedule.timezone},
                "active": schedule.active,
                "slug": schedule.slug,
            }
            for schedule in declared_deployment.schedules
        ]
        body = {
            **declared_deployment.model_dump(exclude={"schedules"}),
            "flow_id": flow["id"],
            "schedules": schedules,
            **changes,
        }
        return str(self.prefect.post("deployments/", body)["id"])

    def run(
        self, deployment: str, state: str, *, tags: Sequence[str] = (), **options: str
    ) -> str:
        """A run of it that is in this state; returns its id."""
        found = self.prefect.post(
            "deployments/filter", {"deployments": {"name": {"any_": [deployment]}}}
        )
        run = self.prefect.post(
            f"deployments/{found[0]['id']}/create_flow_run", {"tags": list(tags)}
        )
        for kind in ("RUNNING", state) if state != "SCHEDULED" else (state,):
            self.prefect.post(
                f"flow_runs/{run['id']}/set_state",
                {"state": {"type": kind, **options}, "force": True},
            )
        return str(run["id"])

    def missed(self, deployment: str, minutes: int) -> str:
        """A run of its schedule that nobody started, so many minutes ago; returns its id."""
        run = self.run(deployment, "SCHEDULED", name="Late", tags=["auto-scheduled"])
        self.say(
            f"update flow_run set auto_scheduled = true, expected_start_time = now() - interval '{minutes} minutes', "
            f"next_scheduled_start_time = now() - interval '{minutes} minutes' where id = '{run}'"
        )
        return run

    def say(self, statement: str) -> None:
        """Change the server's own database: what only time would change."""
        with psycopg.connect(
            self.stack.postgres.url(DATABASE), autocommit=True
        ) as connection:
            connection.execute(statement.encode())

    def empty(self) -> None:
        """As if nothing had ever been registered."""
        self._forget_runs()
        self._forget_alerts()

    def _forget_runs(self) -> None:
        self.say(
            "delete from flow_run; delete from deployment; delete from work_pool where name = 'texts'"
        )

    def _forget_alerts(self) -> None:
        self.say("delete from automation where name like 'smsretry: %'")
