"""A real Prefect server, for all tests of this folder, with its data beside the stack's."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx
import pytest

from smsretry.adapters.certificates import trusted
from smsretry.local.demo.run import ROOT
from smsretry.local.prefect_server import PrefectServer
from smsretry.local.stack import Stack
from tests.support.records import Record
from tests.support.waiting import until

Ask = Callable[..., Record]
"""Fills in a form, and waits for the answer: the flow run as the API has it."""


@dataclass(frozen=True)
class Prefect:
    """The server, and what its API says."""

    server: PrefectServer
    http: httpx.Client = field(
        default_factory=partial(httpx.Client, verify=trusted(), timeout=30)
    )

    def post(self, path: str, body: Record) -> Any:
        """Ask the API."""
        return (
            self.http.post(f"{self.server.url}/api/{path}", json=body)
            .raise_for_status()
            .json()
        )

    def get(self, path: str) -> Any:
        """Ask the API."""
        return self.http.get(f"{self.server.url}/api/{path}").raise_for_status().json()

    def new_run(self, flow: str, **parameters: Any) -> str:
        """The id of a run of that flow that nobody has started yet."""
        made = self.post("flows/", {"name": flow})
        body = {
            "flow_id": made["id"],
            "state": {"type": "PENDING"},
            "parameters": parameters,
        }
        return str(self.post("flow_runs/", body)["id"])

    def order(self, form: str, parameters: Record, **options: Any) -> str:
        """Fill in a form; returns the flow run's id."""
        found = self.get(f"deployments/name/{form}/{form}")
        body = {"parameters": parameters, **options}
        return str(self.post(f"deployments/{found['id']}/create_flow_run", body)["id"])

    def forget_deployments(self) -> None:
        """And with them the runs that are scheduled: stopping a runner leaves both."""
        self._forget("deployments")

    def forget_runs(self) -> None:
        """With their flows. Those of another test would be runs that its database does not know."""
        self._forget("flows")

    def _forget(self, kind: str) -> None:
        for found in self.post(f"{kind}/filter", {}):
            self.http.delete(
                f"{self.server.url}/api/{kind}/{found['id']}"
            ).raise_for_status()

    def end_of(self, flow_run_id: str) -> Record:
        """The flow run when it has ended."""
        ended = ("COMPLETED", "FAILED", "CRASHED")
        until(lambda: self.get(f"flow_runs/{flow_run_id}")["state"]["type"] in ended)
        run: Record = self.get(f"flow_runs/{flow_run_id}")
        return run

    def last_run(self) -> Record:
        """The flow run that was started last."""
        started = {
            "start_time": {"is_null_": False}
        }  # a scheduled run would sort by when it is to start
        body = {"flow_runs": started, "sort": "START_TIME_DESC", "limit": 1}
        runs: list[Record] = self.post("flow_runs/filter", body)
        return runs[0]

    def events(self, resource: str) -> list[Record]:
        """The event feed of one resource, oldest first, as `/events?resource=…` shows it."""
        about = {"id": [resource]}
        records: list[Record] = []
        for which in ({"resource": about}, {"related": about}):
            body = {"filter": {**which, "order": "DESC"}, "limit": 50}
            records += self.post("events/filter", body)["events"]
        return sorted(records, key=lambda event: str(event["occurred"]))

    def artifacts(self, key: str) -> list[Record]:
        """The history of an artifact, newest first."""
        found: list[Record] = self.post(
            "artifacts/filter",
            {
                "artifacts": {"key": {"any_": [key]}},
                "sort": "UPDATED_DESC",
                "limit": 50,
            },
        )
        return found

    def logs(self, flow_run_id: str) -> list[Record]:
        """The log lines of a run, as its first page shows them."""
        found: list[Record] = self.post(
            "logs/filter",
            {
                "logs": {"flow_run_id": {"any_": [flow_run_id]}},
                "limit": 200,
                "sort": "TIMESTAMP_ASC",
            },
        )
        return found

    def task_runs(self, flow_run_id: str) -> list[Record]:
        """Its task runs."""
        found: list[Record] = self.post(
            "task_runs/filter",
            {"flow_runs": {"id": {"any_": [flow_run_id]}}, "limit": 200},
        )
        return found


@pytest.fixture(scope="package")
def prefect(
    running_stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prefect]:
    """The embedded Prefect server. It is busy even when idle, so it ends with the last test of this folder."""
    with PrefectServer(
        tmp_path_factory.mktemp("prefect") / "home", running_stack.postgres
    ) as server:
        yield Prefect(server)


class Forks:
    """Runs modules to their end, each in a process of its own; see `tests.e2e.forked`."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.e2e.forked"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, module: str, environment: dict[str, str]) -> str:
        """Run it; what it printed."""
        assert self._process.stdin
        assert self._process.stdout
        with tempfile.NamedTemporaryFile("r") as output:
            order = {
                "module": module,
                "environment": environment,
                "output": output.name,
            }
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            assert self._process.stdout.readline(), (
                "the process that forks has ended; see its stderr"
            )
            return output.read()

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=30)


@pytest.fixture(scope="package")
def forks() -> Iterator[Forks]:
    """Flow runs that cost no second each to load what they run."""
    forks = Forks()
    yield forks
    forks.close()


@dataclass(frozen=True)
class FlowProcess:
    """Runs the flow as the runner does: in a process of its own, settings from the environment."""

    stack: Stack
    prefect: Prefect
    forks: Forks
    module: str = "flows.process_sms_retries"

    def environment(self, **changes: str) -> dict[str, str]:
        """The runner's environment."""
        return {
            **os.environ,
            **self.prefect.server.environment(),
            **self.stack.environment(),
            **changes,
        }

    def start(self) -> "subprocess.Popen[bytes]":
        """Start a run, for whoever wants to interfere with it."""
        return subprocess.Popen(
            [sys.executable, "-m", self.module],
            cwd=ROOT,
            env=self.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def run(self, **changes: str) -> tuple[Record, str]:
        """Run once; the flow run as the API has it, and what the process printed."""
        printed = self.forks.run(self.module, self.environment(**changes))
        return self.prefect.last_run(), printed


@pytest.fixture
def flow(stack: Stack, prefect: Prefect, forks: Forks) -> FlowProcess:
    """The flow, against the stack with empty tables."""
    return FlowProcess(stack, prefect, forks)


@pytest.fixture(scope="module")
def forms(running_stack: Stack, prefect: Prefect, forks: Forks) -> Iterator[None]:
    """The deployments, registered for all tests of this file. Runs happen when a test asks for them."""
    forks.run(
        "tests.e2e.register", FlowProcess(running_stack, prefect, forks).environment()
    )
    yield
    prefect.forget_deployments()


@pytest.fixture
def ask(forms: None, flow: FlowProcess) -> Ask:
    """Fill in a form, run what was ordered as a runner does, and return the flow run as the API has it.

    A refused run prints no traceback, not even at its very end.
    """

    def ask(form: str, parameters: Record, **options: Any) -> Record:
        ordered = flow.prefect.order(form, parameters, **options)
        printed = flow.forks.run(
            "prefect.engine", flow.environment(PREFECT__FLOW_RUN_ID=ordered)
        )
        assert "Traceback" not in printed, printed[-2500:]
        return flow.prefect.end_of(ordered)

    return ask
