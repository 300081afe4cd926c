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
        """About how long it is from one run to the next, by the first field of `cron` that is no star."""
        if self.interval:
            return timedelta(seconds=self.interval)
        minute, hour, *_ = (self.cron or "0 0").split()
        if minute.startswith("*/"):
            return timedelta(minutes=int(minute[2:]))
        if not minute.isdigit():
            return timedelta(minutes=1)
        return timedelta(days=1) if hour.isdigit() else timedelta(hours=1)

    def __str__(self) -> str:
        every = f"every {self.interval:g} s" if self.interval else "a rule of dates"
        is_daily = self.period >= timedelta(hours=1)  # what comes oftener has no zone
        zone = f" {self.timezone or 'UTC'}" if is_daily else ""
        return f"{self.slug}: {self.cron or every}{zone}"


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
    return next(
        file
        for folder in (target, ROOT, *installed)
        if (file := folder / "prefect.yaml").exists()
    )


def definition() -> str:
    """The text of `prefect.yaml`."""
    return definition_file().read_text(encoding="utf-8")


@cache
def declared() -> tuple[Deployment, ...]:
    """The deployments of this version."""
    return TypeAdapter(tuple[Deployment, ...]).validate_python(
        yaml.safe_load(definition())["deployments"]
    )


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


def differences(declared: Deployment, deployment: Registered) -> list[str]:
    """The differences between a registered deployment and the file's, in a few words each. Switches are not
    compared, and schedules that are switched off beside ours are left out.
    """
    registered = [
        Schedule.model_validate({**schedule.schedule, "slug": schedule.slug or ""})
        for schedule in deployment.schedules
        if schedule.active
        or schedule.slug in [ours.slug for ours in declared.schedules]
    ]
    pairs = {
        "entrypoint": (deployment.entrypoint, declared.entrypoint),
        "version": (deployment.version, declared.version),
        "parameters": (deployment.parameters, declared.parameters),
        "tags": (_words(deployment.tags), _words(declared.tags)),
        "validation of parameters": (_switch(deployment), _switch(declared)),
        "schedule": (_listed(registered), _listed(declared.schedules)),
    }
    unlike = [
        f"{key} is {there} there and {here} here"
        for key, (there, here) in pairs.items()
        if there != here
    ]
    return unlike + [
        f"schedule {schedule.slug} has parameters of its own: {', '.join(schedule.parameters)}"
        for schedule in deployment.schedules
        if schedule.parameters
    ]


def _words(tags: Iterable[str]) -> str:
    return ", ".join(sorted(tags)) or "none"


def _switch(deployment: Deployment | Registered) -> str:
    return "on" if deployment.enforce_parameter_schema else "off"


def _listed(schedules: Iterable[Schedule]) -> str:
    return ", ".join(sorted(map(str, schedules))) or "none"
