"""A deployment as the server has it, and in what it differs from this version's `prefect.yaml`."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from smsretry.adapters.prefect.definition import Deployment, Schedule


class RegisteredSchedule(BaseModel):
    """A schedule of the deployment."""

    active: bool
    slug: str | None = None
    schedule: dict[str, Any]

    def as_declared(self) -> Schedule:
        """In the file's form."""
        return Schedule.model_validate({**self.schedule, "slug": self.slug or "", "active": self.active})


class Registered(BaseModel):
    """A row of `deployments/filter`."""

    id: str
    name: str
    created: datetime
    entrypoint: str | None
    version: str | None
    paused: bool
    parameters: dict[str, Any]
    schedules: list[RegisteredSchedule]
    last_polled: datetime | None = None


def differences(declared: Deployment, found: Registered) -> list[str]:
    """What is not as the file has it, each in a few words. Whether it is switched on is another question."""
    return [
        f"{what} is {_said(there)} there and {_said(here)} here"
        for what, there, here in _pairs(declared, found)
        if there != here
    ]


def _pairs(declared: Deployment, found: Registered) -> Iterator[tuple[str, object, object]]:
    yield "entrypoint", found.entrypoint, declared.entrypoint
    yield "version", found.version, declared.version
    yield "parameters", found.parameters, declared.parameters
    there = [schedule.as_declared() for schedule in found.schedules]
    yield "schedule", sorted(map(_when, there)), sorted(map(_when, declared.schedules))


def _when(schedule: Schedule) -> str:
    return f"{schedule} {schedule.timezone or 'UTC'}"


def _said(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return str(value)
