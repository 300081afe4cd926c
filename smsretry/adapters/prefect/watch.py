"""Is Prefect there, are the deployments registered and switched on, and does anyone run them? For `smsretry doctor`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pydantic import TypeAdapter

from smsretry.adapters.answering import slow_finding
from smsretry.adapters.prefect.alerts import alert_findings
from smsretry.adapters.prefect.api import PrefectApi, PrefectError
from smsretry.adapters.prefect.definition import Deployment, Registered, differences
from smsretry.adapters.prefect.pools import pool_findings
from smsretry.adapters.prefect.profile import profile_findings
from smsretry.adapters.prefect.runs import finding, is_silent, run_findings
from smsretry.adapters.prefect.server import openness, server_findings, tag_limits
from smsretry.instants import span
from smsretry.retry.models import Finding

_PAGE: Final = 200
OURS: Final = ("SUPABASE_", "TWILIO_", "SMSRETRY_")
"""What the settings' names begin with."""
_REGISTER: Final = "restart `smsretry serve` of this version, or run `smsretry deploy`"
_ABSENT: Final = (
    "PREFECT_API_URL is not set, so whether anything runs on a schedule is unknown. This is right only where cron runs "
    "`smsretry process`"
)


def watch(api: PrefectApi, deployments: Sequence[Deployment], environment: Mapping[str, str]) -> Iterator[Finding]:
    """Findings, in the order in which to mend them. Reads only."""
    yield from profile_findings(environment)
    if not api.url:
        yield Finding(subject="Prefect", ok=True, advice=_ABSENT)
        return
    try:
        api.ask("health")
        registered = _registered(api)
        yield Finding(subject=f"Prefect's API at {api.host}", ok=True)
        yield from openness(api)
        yield from server_findings(api)
        ours = list[Registered]()
        for declared in deployments:
            found = _best(declared, registered)
            yield from _of_deployment(api, declared, found)
            ours += [found] if found else []
        yield from _beside(api, deployments, registered, ours)
        yield from tag_limits(api, {tag for declared in deployments for tag in declared.tags})
        yield from pool_findings(api, ours)
        yield from alert_findings(api)
    except PrefectError as error:
        yield Finding(subject="Prefect's API", ok=False, advice=str(error))
    yield from slow_finding("Prefect", api.fastest, f"look at {api.host}, its database, and the network")


def _registered(api: PrefectApi) -> list[Registered]:
    """All deployments of the server."""
    rows = list[Registered]()
    while len(rows) % _PAGE == 0:
        more = api.ask("deployments/filter", {"limit": _PAGE, "offset": len(rows)})
        if not more:
            break
        rows += TypeAdapter(list[Registered]).validate_python(more)
    return rows


def _best(declared: Deployment, registered: Sequence[Registered]) -> Registered | None:
    """The one of that name that is most like the file's."""
    found = [row for row in registered if row.name == declared.name]
    return min(found, key=lambda row: len(differences(declared, row)), default=None)


def _of_deployment(api: PrefectApi, declared: Deployment, found: Registered | None) -> Iterator[Finding]:
    if found is None:
        yield finding(f"deployment {declared.name}", f"is not registered: {_REGISTER}")
        return
    unlike = "; ".join(differences(declared, found))
    advice = f"is not this version's: {unlike}. R{_REGISTER[1:]}" if unlike else None
    yield finding(f"deployment {declared.name}", advice)
    yield from _limit(declared, found)
    yield from _environment_of_runs(declared, found)
    if declared.schedules:
        yield finding(f"schedule of {declared.name}", _switched_off(found))
        yield finding(f"runner of {declared.name}", _no_runner(api, found))
        yield from run_findings(api, declared, found)


def _limit(declared: Deployment, found: Registered) -> Iterator[Finding]:
    """Does a limit give back the place of a run that died with Prefect's server? The first run sees to it."""
    limit = found.global_concurrency_limit
    if limit is None or limit.slot_decay_per_second:
        return
    subject = f"concurrency limit of {declared.name}"
    if limit.active_slots >= limit.limit:
        advice = (
            f"all its {limit.limit} places are taken, and one of a run that died is never given back, so no other may "
            f"begin. If none is under way: `prefect gcl update {limit.name} --slot-decay-per-second 0.033`"
        )
        yield Finding(subject=subject, ok=False, advice=advice)
    elif declared.schedules:
        advice = "keeps the place of a run that dies for ever, until the first run that completes has seen to it"
        yield Finding(subject=subject, ok=True, advice=advice)


def _environment_of_runs(declared: Deployment, found: Registered) -> Iterator[Finding]:
    """Settings in a deployment's job variables: Prefect shows them to everybody, and they win over the runner's."""
    given = (found.job_variables or {}).get("env") or {}
    ours = sorted(name for name in given if name.startswith(OURS))
    if ours:
        advice = (
            f"set {', '.join(ours)} for its runs, so the values that are checked here do not count, and Prefect shows "
            "them to everybody: clear them in the UI (edit the deployment), and set them where the worker runs"
        )
        yield Finding(subject=f"job variables of {declared.name}", ok=True, advice=advice)


def _beside(
    api: PrefectApi, deployments: Sequence[Deployment], registered: Sequence[Registered], ours: Sequence[Registered]
) -> Iterator[Finding]:
    """Deployments of our flows that are not the file's: left by another version, or made by hand."""
    names, flows = {one.name for one in deployments}, {one.entrypoint for one in deployments}
    others = [row for row in registered if row not in ours and (row.name in names or row.entrypoint in flows)]
    others = [row for row in others if row.name in names or row.runs_by_itself]
    if not others:
        return
    asked = api.ask("flows/filter", {"flows": {"id": {"any_": sorted({row.flow_id for row in others})}}})
    flow_names = {row["id"]: row["name"] for row in asked}
    for row in others:
        made_by = f"of version {row.version or 'unknown'}"
        what = "runs by itself, too" if row.runs_by_itself else "is registered, too"
        name = f"{flow_names.get(row.flow_id, '?')}/{row.name}"
        advice = f"{what} ({made_by}), beside this version's: `prefect deployment delete {name}`"
        yield finding(f"deployment {name}", advice)


def _switched_off(found: Registered) -> str | None:
    if found.paused:
        return "the deployment is paused, so nothing runs: switch it on in the UI, or restart `smsretry serve`"
    off = [row.slug or "unnamed" for row in found.schedules if not row.active]
    if off or not found.schedules:
        return f"{', '.join(off) or 'there is none, or it'} is switched off: switch it on in the UI, or {_REGISTER}"
    return None


def _no_runner(api: PrefectApi, found: Registered) -> str | None:
    start = "start `smsretry serve`, or a worker, under a supervisor"
    if found.last_polled is None:
        return f"none has ever asked for its runs: {start}"
    silent = span((api.now - found.last_polled).total_seconds())
    return f"none has asked for its runs for {silent}: {start}" if is_silent(api, found) else None
