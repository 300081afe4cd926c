"""The Prefect server itself: who may ask it, which version it is, and which of its services are on."""

import ipaddress
from collections.abc import Collection, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from smsretry.adapters.prefect.api import PrefectApi, PrefectError, PrefectLacks, PrefectRefused
from smsretry.retry.models import Finding

_SERVICES: Final = {
    "scheduler": "makes no runs, so nothing runs on a schedule",
    "late_runs": "marks no run as late, so nobody sees that runs wait",
    "triggers": "lets no automation act, so nobody is told when texts stop",
}
"""What does not happen if a service is off, by its name among the server's settings."""
_LEASES: Final = "prefect.server.concurrency.lease_storage.filesystem"
"""Where the leases of places outlive a restart; by default they are in memory."""


def server_findings(api: PrefectApi) -> Iterator[Finding]:
    """Findings about what the server tells of itself. Prefect Cloud tells nothing."""
    try:
        yield from _version(str(api.ask("admin/version")))
        settings: dict[str, Any] = api.ask("admin/settings")["server"]
        services: dict[str, Any] = settings["services"]
    except (PrefectError, KeyError, TypeError):
        return
    for name, harm in _SERVICES.items():
        if (services.get(name) or {}).get("enabled") is False:
            advice = f"is switched off, and {harm}: unset PREFECT_SERVER_SERVICES_{name.upper()}_ENABLED on the server"
            yield Finding(subject=f"Prefect's service {name}", ok=name != "scheduler", advice=advice)
    if str((settings.get("concurrency") or {}).get("lease_storage")).endswith(".memory"):
        advice = (
            "forgets at each restart which runs have a place, and a run that is under way may then be ended: set "
            f"PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE={_LEASES} on the server"
        )
        yield Finding(subject="Prefect's list of runs under way", ok=True, advice=advice)
    yield _retention((services.get("db_vacuum") or {}).get("enabled"))


def _version(there: str) -> Iterator[Finding]:
    """Prefect serves older clients of the same major version, and not newer ones for certain."""
    try:
        here = version("prefect")
        ours, theirs = _parts(here), _parts(there)
    except (PackageNotFoundError, ValueError):
        return
    if theirs[0] != ours[0]:
        advice = f"is {there}, and the runner's {here}: install the same major version on both, or no run is reported"
        yield Finding(subject="version of Prefect's server", ok=False, advice=advice)
    elif theirs < ours:
        advice = f"is {there}, older than the runner's {here}: upgrade the server first, then what uses it"
        yield Finding(subject="version of Prefect's server", ok=True, advice=advice)


def _parts(told: str) -> tuple[int, int]:
    major, minor, *_ = told.strip().split(".")
    return int(major), int(minor)


def _retention(enabled: Any) -> Finding:
    """Does the server delete old runs? By default it keeps 1,440 a day forever."""
    kept = enabled is not True and "flow_runs" not in (enabled or ())
    advice = "runs are never deleted: set PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED=events,flow_runs on the server"
    return Finding(subject="Prefect's pruning of old runs", ok=True, advice=advice if kept else None)


def tag_limits(api: PrefectApi, tags: Collection[str]) -> Iterator[Finding]:
    """Limits of task runs with a tag of ours: a task run has the tags of its deployment."""
    try:
        limits = api.ask("v2/concurrency_limits/filter", {"limit": 200})
        told = {row["name"].removeprefix("tag:"): row["limit"] for row in limits if row["active"]}
    except (PrefectLacks, KeyError, TypeError):
        return
    for tag in sorted(set(told) & set(tags)):
        advice = (
            f"lets {told[tag]} task runs with that tag run at once, and each text is one: "
            f"`prefect concurrency-limit delete {tag}`"
        )
        yield Finding(subject=f"concurrency limit of the tag {tag}", ok=False, advice=advice)


def openness(api: PrefectApi) -> Iterator[Finding]:
    """Does the API answer anyone, where others can reach it?"""
    if _is_loopback(api.host.partition(":")[0]):
        return
    try:
        api.ask("deployments/filter", {"limit": 1}, as_anyone=True)
    except PrefectRefused:
        yield Finding(subject="Prefect's auth string", ok=True)
        return
    advice = (
        f"{api.host} answers without one, so whoever reaches it can start, stop and read runs: set "
        "PREFECT_SERVER_API_AUTH_STRING on the server, and PREFECT_API_AUTH_STRING on the runner and here"
    )
    yield Finding(subject="Prefect's auth string", ok=True, advice=advice)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
