"""`smsretry up`: the embedded stack, a Prefect server with its UI, and the deployments served on their schedule."""

import contextlib
import shlex
import sys
import time
import webbrowser
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console

from smsretry.adapters.prefect.definition import declared
from smsretry.errors import LocalStackError
from smsretry.local.demo.clock import describe_clock, is_open, move_to_morning
from smsretry.local.demo.people import BUSINESS
from smsretry.local.demo.run import ROOT, STARTING
from smsretry.local.demo.seeding import seed
from smsretry.local.demo.senders import HARBOR, PILATES, open_accounts
from smsretry.local.demo.stream import Stream
from smsretry.local.postgres.server import LOCK
from smsretry.local.prefect_server import PortTaken, PrefectServer, refuse_taken
from smsretry.local.process.child_process import ChildProcess, inherited
from smsretry.local.process.interrupt import pause
from smsretry.local.stack import Stack
from smsretry.local.twilio.journey import usual_journey
from smsretry.settings import Settings, variable_names

_UI_PORT: Final = 4200
_SERVED_SECONDS: Final = 60
"""A runner takes about five seconds. After so long `up` goes on without it."""


def run_up(
    data_dir: Path,
    *,
    port: int | None,
    empty: bool,
    rate: float,
    browse: bool,
    console: Console,
) -> None:
    """Start all, print where to look, and stay until interrupted.

    Args:
        data_dir: created if missing, kept afterwards.
        port: of the Prefect UI; None for 4200, or a free one if that is taken.
        empty: neither the demo's texts nor new ones.
        rate: new texts a minute.
        browse: open the UI in a browser.
        console: where it is shown.

    Raises:
        LocalStackError: the directory or the port is somebody else's, or something did not start, or ended by itself.
    """
    if port is not None:
        refuse_taken(port)  # before anything is started
    with ExitStack() as running:
        directory = _of_a_stack(data_dir.absolute())
        with console.status(STARTING):
            stack = running.enter_context(Stack(directory))
            stack.twilio.journey = usual_journey
            open_accounts(stack)
            server = _start_server(directory / "prefect", stack, port, running)
        _enliven(stack, console, empty=empty)
        runner = ChildProcess(
            [sys.executable, "-m", "smsretry_flows.serve"],
            log=directory / "prefect" / "runner.log",
            env={**inherited(), **server.environment(), **stack.environment()},
            cwd=ROOT,
            grace_seconds=30,
        )
        running.callback(runner.stop)
        with console.status("Registering the deployments …"):
            _until_served(server, runner)
        environment = directory / "env"
        running.callback(environment.unlink, missing_ok=True)
        _write(
            environment,
            {
                "PREFECT_API_URL": f"{server.url}/api",
                "DATABASE_URL": stack.database_url,
            },
            stack,
        )
        stream = Stream(stack, rate=0 if empty else rate)
        _tell(stack, server, runner, environment, console, empty=empty)
        console.print(
            f"New texts     {stream}\n\nCtrl-C stops everything.", soft_wrap=True
        )
        if browse and not webbrowser.open(server.url):
            console.print("No browser could be opened here.")
        _stay(stack, server, runner, stream)


def _of_a_stack(directory: Path) -> Path:
    """A mistyped name costs nobody a folder. Raises LocalStackError: it is somebody else's."""
    if (
        directory.exists()
        and any(directory.iterdir())
        and not (directory / "postgres" / LOCK).exists()
    ):
        raise LocalStackError(
            f"{directory} holds other things than a stack's data: give another --data-dir."
        )
    return directory


def _start_server(
    home: Path, stack: Stack, port: int | None, running: ExitStack
) -> PrefectServer:
    """Start it on that port. None: on Prefect's usual one or, if another program has it, on a free one."""
    if port is None:
        with contextlib.suppress(PortTaken):
            return running.enter_context(
                PrefectServer(home, stack.postgres, port=_UI_PORT)
            )
    return running.enter_context(PrefectServer(home, stack.postgres, port=port))


def _until_served(server: PrefectServer, runner: ChildProcess) -> None:
    """Whoever looks from now on, in the UI or with `doctor`, finds all of them. A runner that ends is told later."""
    names, since = {deployment.name for deployment in declared()}, datetime.now(UTC)
    deadline = time.monotonic() + _SERVED_SECONDS
    while (
        runner.poll() is None
        and not server.serves(names, since=since)
        and time.monotonic() < deadline
    ):
        pause(0.2)


def _enliven(stack: Stack, console: Console, *, empty: bool) -> None:
    """The demo's texts in an empty database; and a time of day at which texts go out."""
    if not empty and stack.is_empty():
        seed(stack)
        console.print("The database was empty: it now holds the demo's texts.")
    elif not is_open(stack):
        move_to_morning(stack)
        console.print(
            "It was night or a weekend by the stack's clock: it is moved on to the next weekday's morning."
        )


def _write(file: Path, addresses: Mapping[str, str], stack: Stack) -> None:
    """What another terminal needs to reach this stack, for a shell. It holds keys: only this user may read it."""
    settings = stack.environment()
    lines = [
        f"export {name}={shlex.quote(value)}"
        for name, value in {**addresses, **settings}.items()
    ]
    lines += [
        f"unset {name}"
        for name in sorted({*variable_names(Settings)} - settings.keys())
    ]  # another installation's
    file.unlink(missing_ok=True)
    file.touch(mode=0o600, exist_ok=False)
    file.write_text("\n".join([*lines, ""]))


def _tell(
    stack: Stack,
    server: PrefectServer,
    runner: ChildProcess,
    environment: Path,
    console: Console,
    *,
    empty: bool,
) -> None:
    seeded = (
        f"Customers     by name in the table customers, such as Zane of {BUSINESS}, whose first text fails",
        f"Senders       `smsretry senders list`: {HARBOR.business} has its own, {PILATES.business} a suspended one",
    )
    for line in (
        f"\nPrefect UI    [bold]{server.url}[/]   deployment process-sms-retries, every minute",
        f"Its API       export PREFECT_API_URL={server.url}/api",
        f"Clock         the stack's own: {describe_clock(stack)}, which Prefect shows",
        *(() if empty else seeded),
        f"Runner's log  {runner.log}",
        f"Settings      . {shlex.quote(str(environment))}",
        '              in another terminal; then `smsretry doctor`, `prefect flow-run ls`, `psql "$DATABASE_URL"` …',
        "Alerts        none yet: make a notification block in the UI (Blocks), then, likewise in another terminal,",
        "              `smsretry automations --notify <type>/<name>`",
    ):
        console.print(line, soft_wrap=True)


def _stay(
    stack: Stack, server: PrefectServer, runner: ChildProcess, stream: Stream
) -> None:
    while True:
        for ended, name, log in (
            (stack.postgres.ended(), "PostgreSQL", stack.postgres.log),
            (server.ended(), "The Prefect server", server.log),
            (runner.poll() is not None, "The runner", runner.log),
        ):
            if ended:
                raise LocalStackError(f"{name} ended by itself. Its log is {log}.")
        stream.tick()
        pause(0.5)
