"""Work pools and their queues: is one paused, gone, limited, or without a worker? Only where a deployment uses one."""

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote

from smsretry.adapters.prefect.api import PrefectApi, PrefectLacks
from smsretry.adapters.prefect.definition import Registered
from smsretry.retry.models import Finding

_START: Final = "start `prefect worker start --pool {}` under a supervisor"
_FEW: Final = 5
"""Fewer runs at once than this, and a form of the desk waits for a run of the schedule."""


def pool_findings(api: PrefectApi, found: list[Registered]) -> Iterator[Finding]:
    """Findings about each pool, and each queue of it, that the deployments name."""
    for pool in sorted({row.work_pool_name for row in found if row.work_pool_name}):
        there = _ask(api, f"work_pools/{quote(pool)}")
        if there is None:
            advice = "is gone, so nothing that names it runs: `prefect work-pool create --type process` makes it anew"
            yield Finding(subject=f"work pool {pool}", ok=False, advice=advice)
            continue
        workers = api.ask(f"work_pools/{quote(pool)}/workers/filter", {"limit": 200})
        yield _finding(f"work pool {pool}", _pool_problem(pool, there, workers))
        for queue in sorted(
            {row.work_queue_name for row in found if row.work_pool_name == pool and row.work_queue_name}
        ):
            queued = _ask(api, f"work_pools/{quote(pool)}/queues/{quote(queue)}")
            yield _finding(f"work queue {queue} of {pool}", _queue_problem(pool, queue, queued))


def _ask(api: PrefectApi, path: str) -> Any:
    """The answer; None: there is no such thing."""
    try:
        return api.ask(path)
    except PrefectLacks:
        return None


def _pool_problem(pool: str, there: dict[str, Any], workers: list[dict[str, Any]]) -> str | None:
    if there["is_paused"]:
        return f"is paused, so nothing runs: `prefect work-pool resume {pool}`, or switch it on in the UI"
    if not any(worker.get("status") == "ONLINE" for worker in workers):
        return f"has no worker that is alive, of {len(workers)} known: {_START.format(pool)}"
    return _limited(there)


def _queue_problem(pool: str, queue: str, there: dict[str, Any] | None) -> str | None:
    if there is None:
        return f"is gone, so nothing that names it runs: `prefect work-queue create {queue} --pool {pool}`"
    if there["is_paused"]:
        return f"is paused, so nothing in it runs: `prefect work-queue resume {queue} --pool {pool}`"
    return _limited(there)


def _limited(there: dict[str, Any]) -> str | None:
    limit = there.get("concurrency_limit")
    if limit is None or limit >= _FEW:
        return None
    return f"lets only {limit} run at once, so runs wait, and one that hangs may stop all: clear its concurrency limit"


def _finding(subject: str, problem: str | None) -> Finding:
    return Finding(subject=subject, ok=problem is None, advice=problem)
