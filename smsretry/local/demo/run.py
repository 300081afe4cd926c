"""The demo: a business's texts through the real flow, twice, with the clock moved on in between."""

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import httpx
from rich.console import Console

from smsretry.errors import SmsRetryError
from smsretry.local.demo.fates import fates, table
from smsretry.local.demo.seeding import seed
from smsretry.local.postgres.server import EmbeddedPostgres
from smsretry.local.prefect_server import PrefectServer
from smsretry.local.stack import Stack

ROOT: Final = Path(__file__).resolve().parents[3]
"""The project, where flows/ and prefect.yaml are."""


def clear(data_dir: Path) -> None:
    """Remove an earlier demo's data.

    Raises:
        SmsRetryError: the directory holds something that is not ours.
    """
    ours = {"postgres", "prefect"}
    if data_dir.exists() and not {path.name for path in data_dir.iterdir()} <= ours:
        raise SmsRetryError(f"{data_dir} holds other things than a stack's data: give another --data-dir.")
    EmbeddedPostgres(data_dir / "postgres").remove()
    shutil.rmtree(data_dir, ignore_errors=True)


def run_flow(stack: Stack, server: PrefectServer) -> None:
    """One run of the real flow, in a process of its own, on the real Prefect server."""
    done = subprocess.run(
        [sys.executable, "-m", "flows.process_sms_retries"],
        cwd=ROOT,
        env={**os.environ, **server.environment(), **stack.environment(), "PREFECT_LOGGING_LEVEL": "WARNING"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SmsRetryError(f"The flow run failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def run_demo(data_dir: Path, console: Console) -> None:
    """Start everything, seed, run, move the clock four hours on, run again, and show what became of each text."""
    clear(data_dir)
    with ExitStack() as running:
        with console.status("Starting PostgreSQL, the RPC endpoint, the Twilio stand-in and a Prefect server …"):
            stack = running.enter_context(Stack(data_dir))
            server = running.enter_context(PrefectServer(data_dir / "prefect", stack.postgres))
        _show(stack, server, console)


def _show(stack: Stack, server: PrefectServer, console: Console) -> None:
    with console.status("Queueing texts …"):
        names = seed(stack)
    moments: list[tuple[datetime, dict[UUID, str]]] = []
    for pause in (timedelta(0), timedelta(hours=4)):
        stack.move_clock(pause)
        moment = stack.now()
        with console.status(f"Run {len(moments) + 1} of 2: {moment:%A %H:%M} UTC …"):
            run_flow(stack, server)
        moments.append((moment, fates(stack)))
    console.print(table(stack, names, moments))
    for number, run in enumerate(_flow_runs(server), start=1):
        console.print(f"Run {number}: {run['state']['message']}")
    accepted = stack.twilio.ledger.entries()
    console.print(f"Twilio's own ledger: {len(accepted)} texts to {len({text.to for text in accepted})} numbers")


def links(server: PrefectServer) -> list[str]:
    """Where the UI shows the runs so far."""
    return [f"{server.url}/runs/flow-run/{run['id']}" for run in _flow_runs(server)]


def _flow_runs(server: PrefectServer) -> list[dict[str, Any]]:
    answer = httpx.post(
        f"{server.url}/api/flow_runs/filter",
        json={"sort": "START_TIME_ASC", "flow_runs": {"state": {"type": {"any_": ["COMPLETED", "FAILED"]}}}},
    )
    runs: list[dict[str, Any]] = answer.raise_for_status().json()
    return runs
