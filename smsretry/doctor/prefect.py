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
from smsretry.doctor.parts import Findings, remark, verdict
from smsretry.instants import span
from smsretry.retry.models import Finding

_RUNNER_PATIENCE: Final = timedelta(minutes=2)
"""A runner and a worker ask for runs every few seconds; Prefect itself counts one as gone after a minute."""
_RUN_PATIENCE: Final = timedelta(minutes=5)
"""How long ago a run may have completed, even where one should complete every minute."""
_PAGE: Final = 200
"""How many runs, the newest ones, are looked at."""
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
_HANGS: Final = "cancel in the UI those that hang"
_NOT_TAKEN: Final = (
    "no runner takes them, or a work queue is paused or a concurrency limit reached: see the deployment "
    "in the UI"
)
_UNDONE: Final = {
    "Running": _HANGS,
    "Pending": _HANGS,
    "Paused": _HANGS,
    "Cancelling": _HANGS,
    "Late": _NOT_TAKEN,
    "AwaitingConcurrencySlot": _NOT_TAKEN,
    "Cancelled": _NOT_TAKEN,
}
"""What to do about runs that have not done their work, by their state."""
_NO_RUN: Final = "nobody made a run: see that the schedule is on, and the scheduler of the Prefect server"
_ERROR: Final = re.compile(r"^(?=[\w.]+: )", re.M)
"""Where in a traceback the error's own lines begin."""
_JSON_RULE: Final = (
    'must be an object of JSON with words for values, like {"X-Access": "…"}'
)
_NO_ADDRESS: Final = "is not set, so whether anything runs is unknown: right only where cron runs `smsretry process`"
_START: Final = "start `smsretry serve`, or a worker, under a supervisor"
_REGISTER: Final = "restart `smsretry serve` of this version, or run `smsretry deploy`"


def prefect_findings(offsets: ClockOffsets) -> Findings:
    """Findings, in the order in which to mend them. Nothing changes at the server, but Prefect's folder is made."""
    problems = list[Finding]()
    try:
        settings = PrefectSettings()
    except ValidationError as error:
        for problem in error.errors(include_input=False):
            variable = str(problem["loc"][0]).upper()
            is_address = variable == "PREFECT_API_URL"
            problems.append(
                verdict(variable, ADDRESS_RULE if is_address else _JSON_RULE)
            )
        settings = PrefectSettings.model_construct()
    if not problems and not settings.prefect_api_url:
        problems.append(remark("PREFECT_API_URL", _NO_ADDRESS))
    with PrefectApi(settings) as api:
        try:
            if not problems:
                api.ask("health")
        except PrefectError as error:
            problems.append(verdict("Prefect's API", str(error)))
        yield from _settings_findings(server_answers=not problems)
        yield from problems
        if not problems:
            yield from _server_findings(api, offsets)


def _server_findings(api: PrefectApi, offsets: ClockOffsets) -> Findings:
    """Findings about a server that answers, and our deployments there."""
    yield remark(f"Prefect's API at {api.host}")
    at = api.server_time or offsets.now()
    offsets.record(PREFECT, at)
    ours = {"name": {"any_": [deployment.name for deployment in declared()]}}
    try:
        rows = api.ask("deployments/filter", {"deployments": ours})
        registered = TypeAdapter(list[Registered]).validate_python(rows)
        for deployment in declared():
            yield from _deployment_findings(api, deployment, registered, at)
    except PrefectError as error:
        yield verdict("Prefect's API", str(error))


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
        yield remark("Prefect's settings", advice)
        return
    problem = None
    if loading.returncode:
        problem = f"cannot be loaded, so no run starts: {_complaint(loading.stderr)}"
    if not loading.stdout:
        yield verdict("Prefect's settings", problem)
        return
    settings = json.loads(loading.stdout.splitlines()[-1])
    harmful = "; ".join(_harmful_settings(**settings))
    yield remark("Prefect's settings", harmful or None)
    if server_answers:
        yield verdict("Prefect's server and result storage", problem)


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
    name = deployment.name
    namesakes = [row for row in registered if row.name == name]
    if not namesakes:
        yield verdict(f"deployment {name}", f"is not registered: {_REGISTER}")
        return
    there = min(namesakes, key=lambda row: len(differences(deployment, row)))
    problem = "; ".join(differences(deployment, there))
    if problem:
        problem = f"is not this version's: {problem}. {_REGISTER.capitalize()}"
    yield verdict(f"deployment {name}", problem or None)
    if env := sorted((there.job_variables or {}).get("env") or {}):
        advice = (
            f"set {', '.join(env)} for its runs: what is checked here does not count there, "
            "and Prefect shows it to all"
        )
        yield remark(f"job variables of {name}", advice)
    if deployment.schedules:
        yield verdict(f"schedule of {name}", _schedule_problem(deployment, there))
        yield verdict(f"runner of {name}", _runner_problem(api, there, at))
        yield _last_completed(api, deployment, there, at)


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
            queue_name = registration.work_queue_name or "default"
            queue = api.ask(f"{path}/queues/{quote(queue_name)}")
        except PrefectLacks:
            return f"the work pool {name}, or its queue, is gone: `prefect work-pool create --type process {name}`"
        if pool["is_paused"]:
            return f"the work pool {name} is paused, so nothing runs: `prefect work-pool resume {name}`"
        if queue["is_paused"] or 0 in (
            queue["concurrency_limit"],
            pool["concurrency_limit"],
        ):
            return f"the queue {queue_name} of {name} is paused, or a concurrency limit of them is 0: see the UI"
        if pool.get("status") == "NOT_READY":
            return f"the work pool {name} has no worker: start `prefect worker start --pool {name}` under a supervisor"
    if registration.last_polled is None:
        return f"none has ever asked for its runs: {_START}"
    silence = at - registration.last_polled
    if silence <= _RUNNER_PATIENCE:
        return None
    ago = span(silence.total_seconds())
    return f"none has asked for its runs for {ago}: {_START}"


def _last_completed(
    api: PrefectApi, deployment: Deployment, registration: Registered, at: datetime
) -> Finding:
    """When a run last completed. If that is long ago, what became of the runs since."""
    # The server tells its time without fractions, and makes that text anew about once a second.
    begun_by = at + timedelta(seconds=3)
    which = {
        "deployment_id": {"any_": [registration.id]},
        "expected_start_time": {"before_": begun_by.isoformat()},
    }
    page = {"flow_runs": which, "sort": "EXPECTED_START_TIME_DESC", "limit": _PAGE}
    since, newer = registration.created, list[JsonObject]()
    when = "never was, in {}"
    for run in api.ask("flow_runs/filter", page):
        if run["state"]["type"] == "COMPLETED":
            when, since = "was {} ago", datetime.fromisoformat(run["end_time"])
            break
        newer.append(run["state"])
    age = max(at - since, timedelta())
    broken = [
        f"the newest one ended {state['name']}: {state['message']}"
        for state in newer
        if state["type"] in ("FAILED", "CRASHED")
    ][:1]
    subject = f"last completed run of {deployment.name}"
    ago = span(age.total_seconds())
    period = min(schedule.period for schedule in deployment.schedules)
    if age <= max(_RUN_PATIENCE, 2 * period):
        advice = next(iter(broken), None)
        if when.startswith("never"):
            return verdict(f"{subject}: none yet", advice)
        return remark(f"{subject}, {ago} ago", advice)
    counts = Counter(state["name"] for state in newer)
    reasons = [
        f"{count} {name}: {_UNDONE[name]}"
        for name, count in counts.items()
        if name in _UNDONE
    ]
    reasons = [*reasons, *broken] or [_NO_RUN]
    return verdict(subject, "; ".join([when.format(ago), *reasons]))
