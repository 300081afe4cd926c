"""`smsretry up`: the embedded stack, a Prefect server with its UI, and the deployments served on their schedule."""

import os
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from smsretry.errors import LocalStackError
from smsretry.local.demo.run import ROOT, links
from smsretry.local.demo.seeding import seed
from smsretry.local.prefect_server import PrefectServer
from smsretry.local.process.guarded_process import GuardedProcess
from smsretry.local.stack import Stack

_UI_PORT = 4200


def run_up(data_dir: Path, *, port: int | None, empty: bool, console: Console) -> None:
    """Start all, print where to look, and stay until interrupted.

    Raises:
        LocalStackError: something did not start, or ended by itself; names its log.
    """
    with ExitStack() as running:
        with console.status("Starting PostgreSQL, the RPC endpoint, the Twilio stand-in and a Prefect server …"):
            stack = running.enter_context(Stack(data_dir))
            server = running.enter_context(
                PrefectServer(data_dir / "prefect", stack.postgres, port=port or _usual_port())
            )
        if not empty and stack.is_empty():
            seed(stack)
            console.print("The database was empty: it now holds the demo's texts.")
        runner = GuardedProcess(
            [sys.executable, "-m", "flows.serve"],
            log=data_dir / "prefect" / "runner.log",
            env={**os.environ, **server.environment(), **stack.environment()},
            cwd=ROOT,
            grace_seconds=30,
        )
        running.callback(runner.stop)
        _print_addresses(stack, server, runner, console)
        _stay(server, runner)


def _print_addresses(stack: Stack, server: PrefectServer, runner: GuardedProcess, console: Console) -> None:
    console.print(f"\nPrefect UI    [bold]{server.url}[/]   deployment process-sms-retries, every minute")
    for link in links(server):
        console.print(f"  earlier run {link}", soft_wrap=True)
    console.print(f"Database      {stack.database_url}", soft_wrap=True)
    console.print(f"Runner's log  {runner.log}", soft_wrap=True)
    console.print("\nTo run smsretry against this stack from another terminal:")
    for name, value in stack.environment().items():
        console.print(f"  export {name}={value}", soft_wrap=True)
    console.print("\nCtrl-C stops everything.")


def _usual_port() -> int | None:
    """Prefect's own default where it is free."""
    try:
        socket.create_server(("127.0.0.1", _UI_PORT)).close()
    except OSError:
        return None
    return _UI_PORT


def _stay(server: PrefectServer, runner: GuardedProcess) -> None:
    while True:
        if server.ended():
            raise LocalStackError(f"The Prefect server ended by itself. Its log is {server.log}.")
        if runner.poll() is not None:
            raise LocalStackError(f"The runner ended by itself. Its log is {runner.log}.")
        time.sleep(1)
