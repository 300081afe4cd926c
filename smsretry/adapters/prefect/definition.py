"""`prefect.yaml`: the one definition of the deployments, which `flows.serve` and `prefect deploy` register."""

import sysconfig
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel, TypeAdapter

ROOT: Final = Path(__file__).resolve().parents[3]
"""The folder that holds `smsretry/` and `flows/`: the repository, or where the wheel is installed."""


class Schedule(BaseModel):
    """When a deployment runs."""

    cron: str | None = None
    interval: float | None = None
    timezone: str | None = None
    slug: str
    active: bool = True

    @property
    def period(self) -> timedelta:
        """About how long it is from one run to the next: that of a cron by its first field that is no star."""
        if self.interval:
            return timedelta(seconds=self.interval)
        minute, hour, *_ = (self.cron or "0 0").split()
        if minute.startswith("*/"):
            return timedelta(minutes=int(minute[2:]))
        if not minute.isdigit():
            return timedelta(minutes=1)
        return timedelta(days=1) if hour.isdigit() else timedelta(hours=1)

    def __str__(self) -> str:
        return f"{self.slug}: {self.cron or f'every {self.interval:g} s'}"


class Deployment(BaseModel):
    """An entry of the file, as far as it can be compared with what a server has registered."""

    name: str
    entrypoint: str
    version: str
    parameters: dict[str, Any]
    schedules: list[Schedule] = []


def definition() -> str:
    """The text of `prefect.yaml`: the repository's, or the one that came with the wheel (see pyproject.toml)."""
    installed = [Path(prefix, "share", "smsretry") for prefix in (ROOT, sysconfig.get_path("data"))]
    found = next(folder for folder in (ROOT, *installed) if (folder / "prefect.yaml").exists())
    return (found / "prefect.yaml").read_text(encoding="utf-8")


@cache
def declared() -> tuple[Deployment, ...]:
    """The deployments of this version."""
    return TypeAdapter(tuple[Deployment, ...]).validate_python(yaml.safe_load(definition())["deployments"])
