"""Prefect: do its settings load, is its server there, are the deployments registered and on, does somebody run them?"""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlsplit

from pydantic import TypeAdapter, ValidationError

from smsretry.adapters.prefect.api import (
    PrefectApi,
    PrefectError,
    PrefectLacks,
    PrefectSettings,
)
from smsretry.adapters.prefect.definition import (
    Deployment,
    Registered,
    declared,
    differences,
)
from smsretry.doctor.clocks import PREFECT
from smsretry.instants import span
from smsretry.retry.models import Finding

_SILENT: Final = timedelta(minutes=2)
"""A runner and a worker ask for runs every few seconds; Prefect itself counts one as gone after a minute."""
_NO_RUN: Final = timedelta(minutes=5)
_PAGE: Final = 200
_LOAD_SECONDS: Final = 20.0
_LOADS: Final = """
import json, sys, tempfile
from prefect.context import SyncClientContext
from prefect.results import get_default_result_storage
from prefect.settings import get_current_settings
settings = get_current_settings()
settings.home.mkdir(parents=True, exist_ok=True)
tempfile.TemporaryFile(dir=settings.home).close()
print(json.dumps([settings.api.url, settings.tasks.default_retries, settings.flows.default_retries,
                  settings.runner.process_limit]), flush=True)
if "answers" in sys.argv:
    with SyncClientContext.get_or_create():
        get_default_result_storage(_sync=True)
"""
"""What each run loads. Server and storage are asked only if the server answers: Prefect would start one of its own."""
_WAITING: Final[tuple[tuple[dict[str, Any], str], ...]] = (
    (
        {"type": {"any_": ["RUNNING", "PENDING", "PAUSED", "CANCELLING"]}},
        "cancel in the UI those that hang",
    ),
    (
        {"name": {"any_": ["Late", "AwaitingConcurrencySlot"]}},
        "no runner takes them, or a work queue is paused or a concurrency limit reached: see the deployment in the UI",
    ),
)
"""Runs that have not ended, and what keeps them."""
_UNMADE: Final = "nobody made a run: see that the schedule is on, and the scheduler of the Prefect server"
_ERROR: Final = re.compile(r"^(?=[\w.]+: )", re.M)
"""Where in a traceback the error's own lines begin."""
_MUST_BE: Final = {
    "PREFECT_API_URL": "must be the address of Prefect's API: http://<host>:4200/api"
}
_JSON: Final = 'must be an object of JSON with words for values, like {"X-Access": "…"}'
_START: Final = "start `smsretry serve`, or a worker, under a supervisor"
_REGISTER: Final = "restart `smsretry serve` of this version, or run `smsretry deploy`"


def prefect_findings(
    ahead: dict[str, timedelta], now: Callable[[], datetime]
) -> Iterator[Finding]:
    """Findings, in the order in which to mend them. Reads only."""
    try:
        settings = PrefectSettings()
    except ValidationError as error:
        yield from _loaded()
        for problem in error.errors(include_input=False):
            variable = str(problem["loc"][0]).upper()
            yield _finding(variable, _MUST_BE.get(variable, _JSON))
        return
    if not settings.prefect_api_url:
        yield from _loaded()
        advice = "is not set, so whether anything runs is unknown: right only where cron runs `smsretry process`"
        yield Finding(subject="PREFECT_API_URL", ok=True, advice=advice)
        return
    with PrefectApi(settings) as api:
        try:
            api.ask("health")
        except PrefectError as error:
            yield from _loaded()
            yield _finding("Prefect's API", str(error))
            return
        yield from _loaded("answers")
        yield _finding(f"Prefect's API at {api.host}", None)
        at = api.server_time or now()
        ahead[PREFECT] = at - now()
        try:
            names = {
                "deployments": {
                    "name": {"any_": [deployment.name for deployment in declared()]}
                }
            }
            registered = TypeAdapter(list[Registered]).validate_python(
                api.ask("deployments/filter", names)
            )
            for deployment in declared():
                yield from _deployment(api, deployment, registered, at)
        except PrefectError as error:
            yield _finding("Prefect's API", str(error))


def _loaded(*server: str) -> Iterator[Finding]:
    """Prefect's own settings, of environment, .env, prefect.toml, pyproject.toml and profile; its folder, its storage.

    A process of its own loads them, as `smsretry serve` does.
    """
    try:
        ended = subprocess.run(  # noqa: S603 - our own words
            [sys.executable, "-P", "-c", _LOADS, *server],
            capture_output=True, text=True, timeout=_LOAD_SECONDS, check=False,
        )  # fmt: skip
        *_, error = _ERROR.split(ended.stderr)
        lines = [
            line.partition(" [type=")[0].strip()
            for line in error.splitlines()
            if "further information" not in line
        ]
        complaint = f"{'; '.join(lines[:3])[:300].rstrip('.')}. `prefect config view` shows what counts"
        problem = (
            f"cannot be loaded, so no run starts: {complaint}"
            if ended.returncode
            else None
        )
        if not ended.stdout:
            yield _finding("Prefect's settings", problem)
            return
        yield Finding(
            subject="Prefect's settings",
            ok=True,
            advice=_odd(*json.loads(ended.stdout.splitlines()[-1])),
        )
        if server:
            yield _finding("Prefect's server and result storage", problem)
    except subprocess.TimeoutExpired:
        advice = f"were not checked: loading them took more than {_LOAD_SECONDS:.0f} s here. Ask again"
        yield Finding(subject="Prefect's settings", ok=True, advice=advice)


def _odd(url: str | None, *retries_and_limit: int) -> str | None:
    *retries, run_limit = retries_and_limit
    address, ours = (
        urlsplit(url_given or "").netloc.rpartition("@")[2]
        for url_given in (url, os.environ.get("PREFECT_API_URL"))
    )
    problems = [
        f"name the server {address}, and PREFECT_API_URL {ours or 'is not set'}: set it, here and on the runner"
        if address and address != ours else "",
        "repeat runs or tasks (default_retries), and the queue alone repeats here: unset that" if any(retries) else "",
        "" if run_limit else "let no run start (PREFECT_RUNNER_PROCESS_LIMIT is 0): unset it",
    ]  # fmt: skip
    return "; ".join(filter(None, problems)) or None


def _deployment(
    api: PrefectApi,
    deployment: Deployment,
    registered: Sequence[Registered],
    at: datetime,
) -> Iterator[Finding]:
    """One of ours. Of several with its name it is the one that is most like it."""
    named = [row for row in registered if row.name == deployment.name]
    registration = min(
        named, key=lambda row: len(differences(deployment, row)), default=None
    )
    if registration is None:
        yield _finding(
            f"deployment {deployment.name}", f"is not registered: {_REGISTER}"
        )
        return
    unlike = "; ".join(differences(deployment, registration))
    yield _finding(
        f"deployment {deployment.name}",
        f"is not this version's: {unlike}. R{_REGISTER[1:]}" if unlike else None,
    )
    if env := sorted((registration.job_variables or {}).get("env") or {}):
        advice = (
            f"set {', '.join(env)} for its runs: what is checked here does not count there, "
            "and Prefect shows it to all"
        )
        yield Finding(
            subject=f"job variables of {deployment.name}", ok=True, advice=advice
        )
    if deployment.schedules:
        yield _finding(
            f"schedule of {deployment.name}", _switched_off(deployment, registration)
        )
        yield _finding(
            f"runner of {deployment.name}", _no_runner(api, registration, at)
        )
        yield _last_completed(api, deployment, registration, at)


def _switched_off(deployment: Deployment, registration: Registered) -> str | None:
    if registration.paused:
        return "the deployment is paused, so nothing runs: switch it on in the UI, or restart `smsretry serve`"
    ours = {schedule.slug for schedule in deployment.schedules}
    off = ours - {row.slug for row in registration.schedules if row.active}
    if off:
        return f"{', '.join(sorted(off))} is switched off: switch it on in the UI, or {_REGISTER}"
    return None


def _no_runner(api: PrefectApi, registration: Registered, at: datetime) -> str | None:
    if pool := registration.work_pool_name:
        try:
            there = api.ask(f"work_pools/{quote(pool)}")
            queue = api.ask(
                f"work_pools/{quote(pool)}/queues/{quote(registration.work_queue_name or 'default')}"
            )
        except PrefectLacks:
            return f"the work pool {pool}, or its queue, is gone: `prefect work-pool create --type process {pool}`"
        if there["is_paused"]:
            return f"the work pool {pool} is paused, so nothing runs: `prefect work-pool resume {pool}`"
        if queue["is_paused"] or 0 in (
            queue["concurrency_limit"],
            there["concurrency_limit"],
        ):
            return f"the queue {queue['name']} of {pool} is paused, or a concurrency limit of them is 0: see the UI"
        if there.get("status") == "NOT_READY":
            return f"the work pool {pool} has no worker: start `prefect worker start --pool {pool}` under a supervisor"
    if registration.last_polled is None:
        return f"none has ever asked for its runs: {_START}"
    silent = at - registration.last_polled
    return (
        f"none has asked for its runs for {span(silent.total_seconds())}: {_START}"
        if silent > _SILENT
        else None
    )


def _last_completed(
    api: PrefectApi, deployment: Deployment, registration: Registered, at: datetime
) -> Finding:
    """When one last completed; and if that is long ago, what has become of those since."""
    subject = f"last completed run of {deployment.name}"
    completed = _runs(api, registration, {"type": {"any_": ["COMPLETED"]}}, limit=1)
    since = (
        datetime.fromisoformat(completed[0]["end_time"])
        if completed
        else registration.created
    )
    age = max(at - since, timedelta())
    newest = _runs(
        api,
        registration,
        {"type": {"any_": ["FAILED", "CRASHED", "CANCELLED"]}},
        limit=1,
    )
    ended = [
        row["state"]
        for row in newest
        if datetime.fromisoformat(row["end_time"]) > since
    ]
    reasons = [
        f"the newest one ended {state['name']}: {state['message']}" for state in ended
    ]
    if age <= max(
        _NO_RUN, 2 * min(schedule.period for schedule in deployment.schedules)
    ):
        subject += f", {span(age.total_seconds())} ago" if completed else ": none yet"
        reasons = (
            reasons if ended and ended[0]["type"] != "CANCELLED" else []
        )  # a later run does its work
        return Finding(
            subject=subject,
            ok=bool(completed) or not reasons,
            advice="".join(reasons) or None,
        )
    standing = [
        f"{', '.join(f'{n} {name}' for name, n in waiting.items())}: {what_to_do}"
        for state, what_to_do in _WAITING
        if (
            waiting := Counter(
                row["state"]["name"] for row in _runs(api, registration, state)
            )
        )
    ]
    advice = (
        f"was {span(age.total_seconds())} ago"
        if completed
        else f"never was, in {span(age.total_seconds())}"
    )
    return _finding(subject, "; ".join([advice, *([*standing, *reasons] or [_UNMADE])]))


def _runs(
    api: PrefectApi, registration: Registered, state: dict[str, Any], limit: int = _PAGE
) -> list[dict[str, Any]]:
    query = {"deployment_id": {"any_": [registration.id]}, "state": state}
    if limit == 1:
        query["end_time"] = {"is_null_": False}
    body = {
        "flow_runs": query,
        "sort": "END_TIME_DESC" if limit == 1 else "ID_DESC",
        "limit": limit,
    }
    rows: list[dict[str, Any]] = api.ask("flow_runs/filter", body)
    return rows


def _finding(subject: str, problem: str | None) -> Finding:
    return Finding(subject=subject, ok=problem is None, advice=problem)
