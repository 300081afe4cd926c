"""Is Prefect there, are the deployments registered and switched on, and does anyone run them? For `smsretry doctor`."""

import ipaddress
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import TypeAdapter

from smsretry.adapters.prefect.api import PrefectApi, PrefectError, PrefectRefused
from smsretry.adapters.prefect.definition import Deployment, Registered, differences
from smsretry.instants import span
from smsretry.retry.models import Finding

_SILENT: Final = timedelta(minutes=2)
"""A runner and a worker ask for runs every few seconds; Prefect itself counts one as gone after a minute."""
_NO_RUN: Final = timedelta(minutes=5)
_ZOMBIE: Final = timedelta(minutes=15)
"""Counts as hanging. A run of the flow takes seconds, and a minute or two with 500 texts."""
_REGISTER: Final = "restart `python -m flows.serve` with this version, or run `prefect --no-prompt deploy --all`"
_ABSENT: Final = (
    "PREFECT_API_URL is not set, so whether anything runs on a schedule is unknown. This is right only where cron runs "
    "`smsretry process`"
)


def watch(api: PrefectApi, deployments: Sequence[Deployment]) -> Iterator[Finding]:
    """Findings, in the order in which to mend them. Reads only."""
    if not api.url:
        yield Finding(subject="Prefect", ok=True, advice=_ABSENT)
        return
    try:
        api.ask("health")
        found = _registered(api, deployments)
        yield Finding(subject=f"Prefect's API at {api.host}", ok=True)
        yield from _openness(api)
        for declared in deployments:
            yield from _of_deployment(api, declared, [row for row in found if row.name == declared.name])
        yield from _retention(api)
    except PrefectError as error:
        yield Finding(subject="Prefect's API", ok=False, advice=str(error))


def _registered(api: PrefectApi, deployments: Sequence[Deployment]) -> list[Registered]:
    names = {"name": {"any_": [declared.name for declared in deployments]}}
    return TypeAdapter(list[Registered]).validate_python(api.ask("deployments/filter", {"deployments": names}))


def _openness(api: PrefectApi) -> Iterator[Finding]:
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


def _of_deployment(api: PrefectApi, declared: Deployment, found: Sequence[Registered]) -> Iterator[Finding]:
    if not found:
        yield _finding(f"deployment {declared.name}", f"is not registered: {_REGISTER}")
        return
    best = min(found, key=lambda row: len(differences(declared, row)))
    unlike = "; ".join(differences(declared, best))
    advice = f"is not this version's: {unlike}. R{_REGISTER[1:]}" if unlike else None
    yield _finding(f"deployment {declared.name}", advice)
    if declared.schedules:
        yield _finding(f"schedule of {declared.name}", _switched_off(best))
        yield _finding(f"runner of {declared.name}", _no_runner(best, api.now))
        yield from _runs(api, declared, best)


def _finding(subject: str, problem: str | None) -> Finding:
    return Finding(subject=subject, ok=problem is None, advice=problem)


def _switched_off(found: Registered) -> str | None:
    if found.paused:
        return "the deployment is paused, so nothing runs: switch it on in the UI, or restart `python -m flows.serve`"
    off = [row.slug or "unnamed" for row in found.schedules if not row.active]
    if off or not found.schedules:
        return f"{', '.join(off) or 'there is none, or it'} is switched off: switch it on in the UI, or {_REGISTER}"
    return None


def _no_runner(found: Registered, now: datetime) -> str | None:
    start = "start `python -m flows.serve`, or a worker, under a supervisor"
    if found.last_polled is None:
        return f"none has ever asked for its runs: {start}"
    silent = now - found.last_polled
    return f"none has asked for its runs for {span(silent.total_seconds())}: {start}" if silent > _SILENT else None


def _runs(api: PrefectApi, declared: Deployment, found: Registered) -> Iterator[Finding]:
    period = min(schedule.period for schedule in declared.schedules)
    yield _last_completed(api, declared, found, max(_NO_RUN, 2 * period))
    late = _count(api, found, {"state": {"name": {"any_": ["Late"]}}})
    if late > 1:
        advice = f"{late} wait for a runner: is one alive, and are its five processes busy? See the runs page of the UI"
        yield _finding(f"late runs of {declared.name}", advice)
    long_ago = (api.now - _ZOMBIE).isoformat()
    zombies = _count(api, found, {"state": {"type": {"any_": ["RUNNING"]}}, "start_time": {"before_": long_ago}})
    if zombies:
        advice = (
            f"{zombies} have been Running for more than {span(_ZOMBIE.total_seconds())}: their process is gone or "
            "hangs. Cancel them in the UI; `python -m flows.automations` installs what ends them by itself"
        )
        yield _finding(f"runs of {declared.name} that do not end", advice)


def _last_completed(api: PrefectApi, declared: Deployment, found: Registered, limit: timedelta) -> Finding:
    subject = f"last completed run of {declared.name}"
    completed = _newest(api, found, "COMPLETED")
    since = datetime.fromisoformat(completed["end_time"]) if completed else found.created
    age = max(api.now - since, timedelta(0))
    shown = span(age.total_seconds())
    if age <= limit:
        return _finding(f"{subject}, {shown} ago" if completed else f"{subject}: none yet", None)
    ended = _newest(api, found, "FAILED", "CRASHED", "CANCELLED")
    last = ended["state"] if ended and datetime.fromisoformat(ended["end_time"]) > since else None
    why = f"; the newest one ended {last['name']}: {last['message']}" if last else ""
    when = f"was {shown} ago" if completed else f"never was, in {shown}"
    return _finding(subject, f"{when}{why}")


def _newest(api: PrefectApi, found: Registered, *types: str) -> dict[str, Any] | None:
    wanted = {
        "deployment_id": {"any_": [found.id]},
        "state": {"type": {"any_": types}},
        "end_time": {"is_null_": False},
    }
    rows = api.ask("flow_runs/filter", {"flow_runs": wanted, "sort": "END_TIME_DESC", "limit": 1})
    return rows[0] if rows else None


def _count(api: PrefectApi, found: Registered, wanted: dict[str, Any]) -> int:
    return int(api.ask("flow_runs/count", {"flow_runs": {"deployment_id": {"any_": [found.id]}, **wanted}}))


def _retention(api: PrefectApi) -> Iterator[Finding]:
    """Does the server delete old runs? By default it keeps 1,440 a day forever. Not every server tells its settings."""
    try:
        vacuum = api.ask("admin/settings")["server"]["services"]["db_vacuum"]["enabled"]
    except (PrefectError, KeyError, TypeError):
        return
    kept = vacuum is not True and "flow_runs" not in (vacuum or ())
    advice = "runs are never deleted: set PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED=events,flow_runs on the server"
    yield Finding(subject="Prefect's pruning of old runs", ok=True, advice=advice if kept else None)
