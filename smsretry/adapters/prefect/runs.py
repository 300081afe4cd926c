"""The runs of a scheduled deployment: does one complete, do they wait, does one never end?"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from smsretry.adapters.prefect.api import PrefectApi
from smsretry.adapters.prefect.definition import Deployment, Registered
from smsretry.instants import span
from smsretry.retry.models import Finding

SILENT: Final = timedelta(minutes=2)
"""A runner and a worker ask for runs every few seconds; Prefect itself counts one as gone after a minute."""
_NO_RUN: Final = timedelta(minutes=5)
_ZOMBIE: Final = timedelta(minutes=15)
"""Counts as hanging. A run of the flow takes seconds, and a minute or two with 500 texts."""
_PAGE: Final = 200


def run_findings(api: PrefectApi, declared: Deployment, found: Registered) -> Iterator[Finding]:
    """A line for the last completed run, and one for each kind of run that somebody must look at."""
    period = min(schedule.period for schedule in declared.schedules)
    yield _last_completed(api, declared, found, max(_NO_RUN, 2 * period))
    late = _of_state(api, found, {"name": {"any_": ["Late"]}})
    if len(late) > 1:
        yield finding(f"late runs of {declared.name}", _why_late(api, declared, found, late))
    long_ago = api.now - _ZOMBIE
    unended = {"type": {"any_": ["RUNNING", "PENDING", "PAUSED", "CANCELLING"]}}
    zombies = [row for row in _of_state(api, found, unended) if _begun(row) < long_ago]
    if zombies:
        states = " or ".join(sorted({row["state"]["name"] for row in zombies}))
        advice = (
            f"{_counted(zombies)} have been {states} for more than {span(_ZOMBIE.total_seconds())}: their process is "
            "gone or hangs. Cancel them in the UI; `smsretry automations` installs what ends them by itself"
        )
        yield finding(f"runs of {declared.name} that do not end", advice)


def _begun(row: dict[str, Any]) -> datetime:
    """When a run began, or was to begin."""
    return datetime.fromisoformat(row["start_time"] or row["expected_start_time"] or row["created"])


def _why_late(api: PrefectApi, declared: Deployment, found: Registered, late: list[dict[str, Any]]) -> str:
    """What late runs wait for. A runner of this version cancels them all when it starts."""
    older = sorted({row["deployment_version"] or "unknown" for row in late} - {declared.version})
    start = "`smsretry serve` of this version cancels them when it starts, because one run does what all would do"
    if older:
        alive = "still runs" if found.version in older and not is_silent(api, found) else "has stopped"
        return f"{_counted(late)} were made for the runner of version {', '.join(older)}, which {alive}: {start}"
    if is_silent(api, found):
        return f"{_counted(late)} wait for a runner, and none asks for them: {start}"
    if pool := found.work_pool_name:
        return f"{_counted(late)} wait for a worker of {pool}: is it busy, or a limit of pool or queue full?"
    return (
        f"{_counted(late)} wait for a runner that asks for them and starts none: are its five processes busy? See the "
        "runs page of the UI"
    )


def is_silent(api: PrefectApi, found: Registered) -> bool:
    """Whether nobody has asked for its runs lately."""
    return found.last_polled is None or api.now - found.last_polled > SILENT


def finding(subject: str, problem: str | None) -> Finding:
    """Right, or what is wrong."""
    return Finding(subject=subject, ok=problem is None, advice=problem)


def _last_completed(api: PrefectApi, declared: Deployment, found: Registered, limit: timedelta) -> Finding:
    subject = f"last completed run of {declared.name}"
    completed = _newest(api, found, "COMPLETED")
    since = datetime.fromisoformat(completed["end_time"]) if completed else found.created
    age = max(api.now - since, timedelta(0))
    shown = span(age.total_seconds())
    if age <= limit:
        return finding(f"{subject}, {shown} ago" if completed else f"{subject}: none yet", None)
    ended = _newest(api, found, "FAILED", "CRASHED", "CANCELLED")
    last = ended["state"] if ended and datetime.fromisoformat(ended["end_time"]) > since else None
    why = f"; the newest one ended {last['name']}: {last['message']}" if last else ""
    when = f"was {shown} ago" if completed else f"never was, in {shown}"
    return finding(subject, f"{when}{why}")


def _newest(api: PrefectApi, found: Registered, *types: str) -> dict[str, Any] | None:
    wanted = {
        "deployment_id": {"any_": [found.id]},
        "state": {"type": {"any_": types}},
        "end_time": {"is_null_": False},
    }
    rows = api.ask("flow_runs/filter", {"flow_runs": wanted, "sort": "END_TIME_DESC", "limit": 1})
    return rows[0] if rows else None


def _of_state(api: PrefectApi, found: Registered, state: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    """The runs of a deployment in that state, or the first 200 of them."""
    wanted = {"deployment_id": {"any_": [found.id]}, "state": state, **more}
    rows: list[dict[str, Any]] = api.ask("flow_runs/filter", {"flow_runs": wanted, "limit": _PAGE})
    return rows


def _counted(rows: list[dict[str, Any]]) -> str:
    return f"{len(rows)}{' or more' if len(rows) == _PAGE else ''}"
