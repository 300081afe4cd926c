"""Prefect: do its settings load, is its server there, are the deployments registered and on, does somebody run them?"""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote, urlsplit

from pydantic import TypeAdapter, ValidationError

from smsretry.adapters.prefect.api import (
    ADDRESS_RULE,
    JsonObject,
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
from smsretry.doctor.clocks import PREFECT, ClockOffsets
from smsretry.doctor.parts import Findings
from smsretry.instants import span
from smsretry.retry.models import Finding

_RUNNER_PATIENCE: Final = timedelta(minutes=2)
"""A runner and a worker ask for runs every few seconds; Prefect itself counts one as gone after a minute."""
_RUN_PATIENCE: Final = timedelta(minutes=5)
"""How long ago a run may have completed, even where one should complete every minute."""
_PAGE: Final = 200
_LOAD_SECONDS: Final = 20.0
_LOADING: Final = """
import json, sys, tempfile
from prefect.context import SyncClientContext
from prefect.results import get_default_result_storage
from prefect.settings import get_current_settings
settings = get_current_settings()
settings.home.mkdir(parents=True, exist_ok=True)
tempfile.TemporaryFile(dir=settings.home).close()
print(json.dumps({
    "url": settings.api.url,
    "default_retries": [settings.tasks.default_retries, settings.flows.default_retries],
    "run_limit": settings.runner.process_limit,
}), flush=True)
if "server-answers" in sys.argv:
    with SyncClientContext.get_or_create():
        get_default_result_storage(_sync=True)
"""
"""What each run loads. Server and storage are asked only if the server answers: Prefect would start one of its own."""
_UNFINISHED: Final[tuple[tuple[JsonObject, str], ...]] = (
    (
        {"type": {"any_": ["RUNNING", "PENDING", "PAUSED", "CANCELLING"]}},
        "cancel in the UI those that hang",
    ),
    (
        {"name": {"any_": ["Late", "AwaitingConcurrencySlot"]}},
        "no runner takes them, or a work queue is paused or a concurrency limit reached: see the deployment in the UI",
    ),
)
"""Filters of runs that have not ended, each with what to do about them."""
_NO_RUN: Final = "nobody made a run: see that the schedule is on, and the scheduler of the Prefect server"
_ERROR: Final = re.compile(r"^(?=[\w.]+: )", re.M)
"""Where in a traceback the error's own lines begin."""
_JSON_RULE: Final = (
    'must be an object of JSON with words for values, like {"X-Access": "…"}'
)
_START: Final = "start `smsretry serve`, or a worker, under a supervisor"
_REGISTER: Final = "restart `smsretry serve` of this version, or run `smsretry deploy`"


def prefect_findings(offsets: ClockOffsets) -> Findings:
    """Findings, in the order in which to mend them. Nothing changes at the server, but Prefect's folder is made."""
    try:
        settings = PrefectSettings()
    except ValidationError as error:
        yield from _settings_findings()
        for problem in error.errors(include_input=False):
            variable = str(problem["loc"][0]).upper()
            is_address = variable == "PREFECT_API_URL"
            yield _finding(variable, ADDRESS_RULE if is_address else _JSON_RULE)
        return
    if not settings.prefect_api_url:
        yield from _settings_findings()
        advice = "is not set, so whether anything runs is unknown: right only where cron runs `smsretry process`"
        yield Finding(subject="PREFECT_API_URL", ok=True, advice=advice)
        return
    with PrefectApi(settings) as api:
        try:
            api.ask("health")
        except PrefectError as error:
            yield from _settings_findings()
            yield _finding("Prefect's API", str(error))
            return
        yield from _settings_findings(server_answers=True)
        yield _finding(f"Prefect's API at {api.host}", None)
        at = api.server_time or offsets.now()
        offsets.record(PREFECT, at)
        names = [deployment.name for deployment in declared()]
        try:
            registered = TypeAdapter(list[Registered]).validate_python(
                api.ask(
                    "deployments/filter", {"deployments": {"name": {"any_": names}}}
                )
            )
            for deployment in declared():
                yield from _deployment_findings(api, deployment, registered, at)
        except PrefectError as error:
            yield _finding("Prefect's API", str(error))


def _settings_findings(*, server_answers: bool = False) -> Findings:
    """Prefect's own settings, of environment, .env, prefect.toml, pyproject.toml and profile; its folder, its storage.

    A process of its own loads them, as `smsretry serve` does.
    """
    arguments = ["server-answers"] if server_answers else []
    try:
        loading = subprocess.run(  # noqa: S603 - our own words
            [sys.executable, "-P", "-c", _LOADING, *arguments],
            capture_output=True, text=True, timeout=_LOAD_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        advice = f"were not checked: loading them took more than {_LOAD_SECONDS:.0f} s here. Ask again"
        yield Finding(subject="Prefect's settings", ok=True, advice=advice)
        return
    problem = None
    if loading.returncode:
        problem = f"cannot be loaded, so no run starts: {_complaint(loading.stderr)}"
    if not loading.stdout:
        yield _finding("Prefect's settings", problem)
        return
    settings = json.loads(loading.stdout.splitlines()[-1])
    harmful = "; ".join(_harmful_settings(**settings)) or None
    yield Finding(subject="Prefect's settings", ok=True, advice=harmful)
    if server_answers:
        yield _finding("Prefect's server and result storage", problem)


def _complaint(stderr: str) -> str:
    """The error of a traceback in one line."""
    *_, error = _ERROR.split(stderr)
    lines = [
        line.partition(" [type=")[0].strip()
        for line in error.splitlines()
        if "further information" not in line
    ]
    sentence = "; ".join(lines[:3])[:300].rstrip(".")
    return f"{sentence}. `prefect config view` shows what counts"


def _harmful_settings(
    url: str | None, default_retries: Sequence[int], run_limit: int
) -> Iterator[str]:
    server = _netloc(url)
    ours = _netloc(os.environ.get("PREFECT_API_URL"))
    if server and server != ours:
        yield f"name the server {server}, and PREFECT_API_URL {ours or 'is not set'}: set it, here and on the runner"
    if any(default_retries):
        yield "repeat runs or tasks (default_retries), and the queue alone repeats here: unset that"
    if not run_limit:
        yield "let no run start (PREFECT_RUNNER_PROCESS_LIMIT is 0): unset it"


def _netloc(url: str | None) -> str:
    """Host and port, without credentials."""
    return urlsplit(url or "").netloc.rpartition("@")[2]


def _deployment_findings(
    api: PrefectApi,
    deployment: Deployment,
    registered: Sequence[Registered],
    at: datetime,
) -> Findings:
    """Findings about one of our deployments. Another flow's may have its name: the most similar one is taken."""
    candidates = [
        (differences(deployment, row), row)
        for row in registered
        if row.name == deployment.name
    ]
    subject = f"deployment {deployment.name}"
    if not candidates:
        yield _finding(subject, f"is not registered: {_REGISTER}")
        return
    deviations, registration = min(candidates, key=lambda candidate: len(candidate[0]))
    problem = (
        f"is not this version's: {'; '.join(deviations)}. {_REGISTER.capitalize()}"
    )
    yield _finding(subject, problem if deviations else None)
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
            f"schedule of {deployment.name}",
            _schedule_problem(deployment, registration),
        )
        yield _finding(
            f"runner of {deployment.name}", _runner_problem(api, registration, at)
        )
        yield _last_completed(api, deployment, registration, at)


def _schedule_problem(deployment: Deployment, registration: Registered) -> str | None:
    if registration.paused:
        return "the deployment is paused, so nothing runs: switch it on in the UI, or restart `smsretry serve`"
    collision = (registration.concurrency_options or {}).get("collision_strategy")
    if registration.global_concurrency_limit and collision == "CANCEL_NEW":
        return "a run that comes while another is under way is cancelled (CANCEL_NEW): take its concurrency limit away"
    ours = {schedule.slug for schedule in deployment.schedules}
    inactive = ours - {row.slug for row in registration.schedules if row.active}
    if inactive:
        return f"{', '.join(sorted(inactive))} is switched off: switch it on in the UI, or {_REGISTER}"
    return None


def _runner_problem(
    api: PrefectApi, registration: Registered, at: datetime
) -> str | None:
    if name := registration.work_pool_name:
        path = f"work_pools/{quote(name)}"
        try:
            pool = api.ask(path)
            queue = api.ask(
                f"{path}/queues/{quote(registration.work_queue_name or 'default')}"
            )
        except PrefectLacks:
            return f"the work pool {name}, or its queue, is gone: `prefect work-pool create --type process {name}`"
        limits = [queue["concurrency_limit"], pool["concurrency_limit"]]
        if pool["is_paused"]:
            return f"the work pool {name} is paused, so nothing runs: `prefect work-pool resume {name}`"
        if queue["is_paused"] or 0 in limits:
            return f"the queue {queue['name']} of {name} is paused, or a concurrency limit of them is 0: see the UI"
        if pool.get("status") == "NOT_READY":
            return f"the work pool {name} has no worker: start `prefect worker start --pool {name}` under a supervisor"
    if registration.last_polled is None:
        return f"none has ever asked for its runs: {_START}"
    silence = at - registration.last_polled
    if silence > _RUNNER_PATIENCE:
        return (
            f"none has asked for its runs for {span(silence.total_seconds())}: {_START}"
        )
    return None


def _last_completed(
    api: PrefectApi, deployment: Deployment, registration: Registered, at: datetime
) -> Finding:
    """When a run last completed. If that is long ago, what became of the runs since."""
    subject = f"last completed run of {deployment.name}"
    completed = _last_ended(api, registration, "COMPLETED")
    broken = _last_ended(api, registration, "FAILED", "CRASHED", "CANCELLED")
    since = registration.created
    if completed:
        since = datetime.fromisoformat(completed["end_time"])
    if broken and datetime.fromisoformat(broken["end_time"]) <= since:
        broken = None
    age = max(at - since, timedelta())
    shortest_period = min(schedule.period for schedule in deployment.schedules)
    if age <= max(_RUN_PATIENCE, 2 * shortest_period):
        if broken and broken["state"]["type"] == "CANCELLED":
            # A later run does its work.
            broken = None
        subject += f", {span(age.total_seconds())} ago" if completed else ": none yet"
        return Finding(
            subject=subject,
            ok=completed is not None or broken is None,
            advice=_ending(broken) if broken else None,
        )
    reasons = list(_unfinished_runs(api, registration))
    if broken:
        reasons.append(_ending(broken))
    when = "was {} ago" if completed else "never was, in {}"
    advice = when.format(span(age.total_seconds()))
    return _finding(subject, "; ".join([advice, *(reasons or [_NO_RUN])]))


def _ending(run: JsonObject) -> str:
    state = run["state"]
    return f"the newest one ended {state['name']}: {state['message']}"


def _last_ended(
    api: PrefectApi, registration: Registered, *types: str
) -> JsonObject | None:
    """The run that ended last in a state of one of these types."""
    runs = {
        "deployment_id": {"any_": [registration.id]},
        "state": {"type": {"any_": types}},
        "end_time": {"is_null_": False},
    }
    rows: list[JsonObject] = api.ask(
        "flow_runs/filter", {"flow_runs": runs, "sort": "END_TIME_DESC", "limit": 1}
    )
    return rows[0] if rows else None


def _unfinished_runs(api: PrefectApi, registration: Registered) -> Iterator[str]:
    """The newest runs that have not ended, counted by state, and what to do about them."""
    for state, remedy in _UNFINISHED:
        runs = {"deployment_id": {"any_": [registration.id]}, "state": state}
        rows = api.ask(
            "flow_runs/filter", {"flow_runs": runs, "sort": "ID_DESC", "limit": _PAGE}
        )
        if rows:
            counts = Counter(row["state"]["name"] for row in rows)
            states = ", ".join(f"{count} {name}" for name, count in counts.items())
            yield f"{states}: {remedy}"


def _finding(subject: str, problem: str | None) -> Finding:
    return Finding(subject=subject, ok=problem is None, advice=problem)
