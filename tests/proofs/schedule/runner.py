"""`smsretry serve` with schedules in a hurry: `python -m tests.proofs.schedule.runner <seconds>`."""

import sys
from datetime import timedelta

from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import IntervalSchedule

from flows.serve import deployments, serve_all
from tests.proofs.schedule.crew import SCHEDULED


def main(seconds: float) -> None:
    """Serve those that run every minute every so many seconds; the rest as `smsretry serve` does it."""
    scheduled = [
        deployment for deployment in deployments() if deployment.name in SCHEDULED
    ]
    schedule = IntervalSchedule(interval=timedelta(seconds=seconds))
    for deployment in scheduled:
        deployment.schedules = [
            DeploymentScheduleCreate(schedule=schedule, slug="in-a-hurry", active=True)
        ]
    serve_all(scheduled)


if __name__ == "__main__":
    main(float(sys.argv[1]))
