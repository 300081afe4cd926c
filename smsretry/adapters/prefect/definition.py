"""`prefect.yaml`: the one definition of the deployments, which `smsretry serve` and `smsretry deploy` register.

A deployment as a server has it may differ from this version's: see `differences`.
"""

import sysconfig
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel, TypeAdapter

ROOT: Final = Path(__file__).resolve().parents[3]
"""The folder that holds `smsretry/`: the repository, or where the wheel is installed."""


class Schedule(BaseModel):
    """When a deployment runs."""

    cron: str | None = None
    interval: float | None = None
    timezone: str | None = None
    slug: str
    active: bool = True

    @property
    def period(self) -> timedelta:
        """The rough time from one run to the next, by the minute and the hour of `cron`."""
        if self.interval:
            return timedelta(seconds=self.interval)
        minute, hour, *_ = (self.cron or "0 0").split()
        if minute.startswith("*/"):
            return timedelta(minutes=int(minute[2:]))
        if not minute.isdigit():
            return timedelta(minutes=1)
        return timedelta(days=1) if hour.isdigit() else timedelta(hours=1)

    def __str__(self) -> str:
        rule = self.cron or "a rule of dates"
        if self.interval:
            rule = f"every {self.interval:g} s"
        # For a run that comes oftener, the zone makes no difference.
        if self.period >= timedelta(hours=1):
            rule += f" {self.timezone or 'UTC'}"
        return f"{self.slug}: {rule}"


class Deployment(BaseModel):
    """An entry of the file, with the fields that a server registers too."""

    name: str
    entrypoint: str
    version: str
    parameters: dict[str, Any]
    tags: list[str] = []
    enforce_parameter_schema: bool = True
    schedules: list[Schedule] = []


def definition_file() -> Path:
    """`prefect.yaml`: the repository's, or the one that came with the wheel (see pyproject.toml).

    `pip install` puts it below the environment's prefix, and with `--user` below the user's. With `--target` it is in
    that folder, which may be a project with a `prefect.yaml` of its own.
    """
    prefixes = (
        sysconfig.get_path("data"),
        sysconfig.get_path("data", sysconfig.get_preferred_scheme("user")),
    )
    target, *installed = (
        Path(prefix, "share", "smsretry") for prefix in (ROOT, *prefixes)
    )
    for folder in (target, ROOT, *installed):
        file = folder / "prefect.yaml"
        if file.exists():
            return file
    raise FileNotFoundError("smsretry came without prefect.yaml: install it anew")


def entries() -> list[dict[str, Any]]:
    """The deployments in `prefect.yaml`, as they are written."""
    text = definition_file().read_text(encoding="utf-8")
    deployments: list[dict[str, Any]] = yaml.safe_load(text)["deployments"]
    return deployments


@cache
def declared() -> tuple[Deployment, ...]:
    """The deployments of this version."""
    return TypeAdapter(tuple[Deployment, ...]).validate_python(entries())


class RegisteredSchedule(BaseModel):
    """A schedule of a registered deployment."""

    active: bool
    slug: str | None = None
    schedule: dict[str, Any]
    parameters: dict[str, Any] | None = None


class Registered(BaseModel):
    """A deployment as the server has it: a row of `deployments/filter`."""

    id: str
    name: str
    work_pool_name: str | None = None
    work_queue_name: str | None = None
    created: datetime
    entrypoint: str | None
    version: str | None
    paused: bool
    parameters: dict[str, Any]
    tags: list[str] = []
    enforce_parameter_schema: bool = True
    job_variables: dict[str, Any] | None = None
    schedules: list[RegisteredSchedule]
    last_polled: datetime | None = None
    global_concurrency_limit: dict[str, Any] | None = None
    concurrency_options: dict[str, Any] | None = None


def differences(ours: Deployment, registered: Registered) -> list[str]:
    """The differences between the file's deployment and the registered one, in a few words each.

    It is no difference that one of them or its schedule is paused. A paused schedule beside ours is left out.
    """
    our_slugs = [schedule.slug for schedule in ours.schedules]
    schedules = [
        Schedule.model_validate({**schedule.schedule, "slug": schedule.slug or ""})
        for schedule in registered.schedules
        if schedule.active or schedule.slug in our_slugs
    ]
    pairs = {
        "entrypoint": (registered.entrypoint, ours.entrypoint),
        "version": (registered.version, ours.version),
        "parameters": (registered.parameters, ours.parameters),
        "tags": (_in_order(registered.tags), _in_order(ours.tags)),
        "validation of parameters": (_validation(registered), _validation(ours)),
        "schedule": (_in_order(schedules), _in_order(ours.schedules)),
    }
    unlike = [
        f"{key} is {value_there} there and {value_here} here"
        for key, (value_there, value_here) in pairs.items()
        if value_there != value_here
    ]
    return unlike + [
        f"schedule {schedule.slug} has parameters of its own: {', '.join(schedule.parameters)}"
        for schedule in registered.schedules
        if schedule.parameters
    ]


def _in_order(values: Iterable[object]) -> str:
    return ", ".join(sorted(map(str, values))) or "none"


def _validation(deployment: Deployment | Registered) -> str:
    return "on" if deployment.enforce_parameter_schema else "off"
