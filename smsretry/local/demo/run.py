"""The demo: the texts of three businesses through the real flow, twice, with the clock moved on in between."""

import sys
import tempfile
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import httpx
from rich.console import Console

from smsretry.errors import LocalStackError
from smsretry.local.demo.clock import describe_clock
from smsretry.local.demo.fates import fates, tables
from smsretry.local.demo.people import SHOWN
from smsretry.local.demo.seeding import seed
from smsretry.local.prefect_server import PrefectServer
from smsretry.local.process.child_process import ChildProcess, inherited
from smsretry.local.process.interrupt import pause
from smsretry.local.stack import Stack

ROOT: Final = Path(__file__).resolve().parents[3]
"""The repository, or where the wheel is installed."""
STARTING: Final = (
    "Starting PostgreSQL, the RPC endpoint, the Twilio stand-in and a Prefect server …"
)
_BETWEEN: Final = timedelta(hours=4)


def run_demo(*, every_row: bool, console: Console) -> None:
    """Start everything, seed, run, move the clock four hours on, run again, and show what became of each text.

    Args:
        every_row: show all texts, not one of each kind.
        console: where it is shown.

    Raises:
        LocalStackError: something did not start.
    """
    with ExitStack() as running:
        directory = Path(
            running.enter_context(tempfile.TemporaryDirectory(prefix="smsretry-demo-"))
        )
        with console.status(STARTING):
            stack = running.enter_context(Stack(directory))
            server = running.enter_context(
                PrefectServer(directory / "prefect", stack.postgres)
            )
        _show(stack, server, console, every_row=every_row)


def _show(
    stack: Stack, server: PrefectServer, console: Console, *, every_row: bool
) -> None:
    with console.status("Queueing texts …"):
        names = seed(stack)
    console.print(f"The stack's own clock: {describe_clock(stack)}.")
    moments: list[tuple[datetime, dict[UUID, str]]] = []
    for number, wait in enumerate((timedelta(0), _BETWEEN), start=1):
        stack.move_clock(wait)
        moment = stack.now()
        with console.status(f"Run {number} of 2: {moment:%A %H:%M} UTC …"):
            _run_flow(stack, server)
        moments.append((moment, fates(stack)))
    console.print(
        f"Between the two runs it is moved on by {_BETWEEN.seconds // 3600} hours.\n"
    )
    console.print(
        tables(stack, names, moments, only=None if every_row else SHOWN), "", sep="\n"
    )
    for number, run in enumerate(_flow_runs(server), start=1):
        console.print(f"Run {number}: {run['name']}")
    accepted = stack.twilio.ledger.entries()
    console.print(
        f"Twilio's own ledger: {len(accepted)} texts to {len({text.to for text in accepted})} numbers"
    )


def _run_flow(stack: Stack, server: PrefectServer) -> None:
    """One run of the real flow, in a process of its own, on the real Prefect server."""
    process = ChildProcess(
        [sys.executable, "-m", "smsretry_flows.process_sms_retries"],
        log=server.log.with_name("runs.log"),
        env={
            **inherited(),
            **server.environment(),
            **stack.environment(),
            "PREFECT_LOGGING_LEVEL": "WARNING",
        },
        cwd=ROOT,
    )
    try:
        while (code := process.poll()) is None:
            pause(0.1)
    finally:
        process.stop()
    if code:
        raise LocalStackError(f"The flow run failed:\n{process.log_tail()}")


def _flow_runs(server: PrefectServer) -> list[dict[str, Any]]:
    answer = httpx.post(
        f"{server.url}/api/flow_runs/filter",
        json={
            "sort": "START_TIME_ASC",
            "flow_runs": {"state": {"type": {"any_": ["COMPLETED", "FAILED"]}}},
        },
    )
    runs: list[dict[str, Any]] = answer.raise_for_status().json()
    return runs
