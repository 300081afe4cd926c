"""Is Prefect there, are the deployments registered and switched on, and does anyone run them? For `smsretry doctor`."""

import ipaddress
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import TypeAdapter

from smsretry.adapters.prefect.api import PrefectApi, PrefectError, PrefectRefused
from smsretry.adapters.prefect.definition import Deployment
from smsretry.adapters.prefect.registered import Registered, differences
from smsretry.retry.models import Finding

_SILENT: Final = timedelta(minutes=2)
"""A runner and a worker ask for runs every few seconds; Prefect itself takes one for gone after a minute."""
_NO_RUN: Final = timedelta(minutes=5)
_ZOMBIE: Final = timedelta(minutes=15)
"""A run of the flow takes seconds, and a minute or two with 500 texts."""
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
        api.get("health")
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
    return TypeAdapter(list[Registered]).validate_python(api.post("deployments/filter", {"deployments": names}))


def _openness(api: PrefectApi) -> Iterator[Finding]:
    """Does the API answer anyone, where others can reach it?"""
    if _is_loopback(api.host.partition(":")[0]):
        return
    try:
        api.post("deployments/filter", {"limit": 1}, as_anyone=True)
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
    subject = f"deployment {declared.name}"
    if not found:
        yield Finding(subject=subject, ok=False, advice=f"is not registered: {_REGISTER}")
        return
    best = min(found, key=lambda row: len(differences(declared, row)))
    if unlike := differences(declared, best):
        yield Finding(
            subject=subject, ok=False, advice=f"is not this version's: {'; '.join(unlike)}. {_capital(_REGISTER)}"
        )
    else:
        yield Finding(subject=subject, ok=True)
    if declared.schedules:
        yield _switched_on(declared, best)
        yield _runner(api, declared, best)
        yield from _runs(api, declared, best)


def _switched_on(declared: Deployment, found: Registered) -> Finding:
    subject = f"schedule of {declared.name}"
    if found.paused:
        advice = "the deployment is paused, so nothing runs: switch it on in the UI, or restart `python -m flows.serve`"
        return Finding(subject=subject, ok=False, advice=advice)
    off = [row.slug or "unnamed" for row in found.schedules if not row.active]
    if off or not found.schedules:
        advice = f"{', '.join(off) or 'there is none, or it'} is switched off: switch it on in the UI, or {_REGISTER}"
        return Finding(subject=subject, ok=False, advice=advice)
    return Finding(subject=subject, ok=True)


def _runner(api: PrefectApi, declared: Deployment, found: Registered) -> Finding:
    subject, what_to_do = f"runner of {declared.name}", "start `python -m flows.serve`, or a worker, under a supervisor"
    if found.last_polled is None:
        return Finding(subject=subject, ok=False, advice=f"none has ever asked for its runs: {what_to_do}")
    silent = api.now - found.last_polled
    if silent > _SILENT:
        return Finding(
            subject=subject, ok=False, advice=f"none has asked for its runs for {_age(silent)}: {what_to_do}"
        )
    return Finding(subject=subject, ok=True)


def _runs(api: PrefectApi, declared: Deployment, found: Registered) -> Iterator[Finding]:
    period = min(schedule.period for schedule in declared.schedules)
    yield _last_completed(api, declared, found, max(_NO_RUN, 2 * period))
    late = _count(api, found, {"state": {"name": {"any_": ["Late"]}}})
    if late > 1:
        advice = f"{late} wait for a runner: is one alive, and are its five processes busy? See the runs page of the UI"
        yield Finding(subject=f"late runs of {declared.name}", ok=False, advice=advice)
    long_ago = (api.now - _ZOMBIE).isoformat()
    zombies = _count(api, found, {"state": {"type": {"any_": ["RUNNING"]}}, "start_time": {"before_": long_ago}})
    if zombies:
        advice = (
            f"{zombies} have been Running for more than {_age(_ZOMBIE)}: their process is gone or hangs. Cancel them "
            "in the UI; `python -m flows.automations` installs what ends them by itself"
        )
        yield Finding(subject=f"runs of {declared.name} that do not end", ok=False, advice=advice)


def _last_completed(api: PrefectApi, declared: Deployment, found: Registered, limit: timedelta) -> Finding:
    subject = f"last completed run of {declared.name}"
    completed = _newest(api, found, "COMPLETED")
    since = datetime.fromisoformat(completed["end_time"]) if completed else found.created
    age = max(api.now - since, timedelta(0))
    if age <= limit:
        return Finding(subject=f"{subject}, {_age(age)} ago" if completed else f"{subject}: none yet", ok=True)
    ended = _newest(api, found, "FAILED", "CRASHED", "CANCELLED")
    last = ended["state"] if ended and datetime.fromisoformat(ended["end_time"]) > since else None
    why = f"; the newest one ended {last['name']}: {last['message']}" if last else ""
    when = f"was {_age(age)} ago" if completed else f"never was, in {_age(age)}"
    return Finding(subject=subject, ok=False, advice=f"{when}{why}")


def _newest(api: PrefectApi, found: Registered, *types: str) -> dict[str, Any] | None:
    wanted = {
        "deployment_id": {"any_": [found.id]},
        "state": {"type": {"any_": types}},
        "end_time": {"is_null_": False},
    }
    rows = api.post("flow_runs/filter", {"flow_runs": wanted, "sort": "END_TIME_DESC", "limit": 1})
    return rows[0] if rows else None


def _count(api: PrefectApi, found: Registered, wanted: dict[str, Any]) -> int:
    return int(api.post("flow_runs/count", {"flow_runs": {"deployment_id": {"any_": [found.id]}, **wanted}}))


def _retention(api: PrefectApi) -> Iterator[Finding]:
    """1,440 runs a day are kept for ever by default. A server that does not tell its settings is not asked twice."""
    try:
        vacuum = api.get("admin/settings")["server"]["services"]["db_vacuum"]["enabled"]
    except (PrefectError, KeyError, TypeError):
        return
    kept = vacuum is not True and "flow_runs" not in (vacuum or ())
    advice = "runs are never deleted: set PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED=events,flow_runs on the server"
    yield Finding(subject="Prefect's pruning of old runs", ok=True, advice=advice if kept else None)


def _age(age: timedelta) -> str:
    seconds = int(age.total_seconds())
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
