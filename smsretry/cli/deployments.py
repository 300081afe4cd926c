"""Commands that need Prefect. Each becomes a process of `smsretry_flows`, because this package imports no Prefect."""

import os
import sys
from importlib.util import find_spec
from typing import Annotated, Final, NoReturn

import typer

from smsretry.errors import SmsRetryError

_FLOWS: Final = "smsretry_flows"


def serve() -> None:
    """Run the deployments here on their schedules, until Ctrl-C or SIGTERM. Needs a Prefect server."""
    _become("serve")


def deploy() -> None:
    """Register the deployments for workers of the work pool `smsretry`; again after each upgrade."""
    _become("deploy")


def automations(
    notify: Annotated[
        str | None,
        typer.Option(
            metavar="BLOCK",
            help="A notification block, as <type>/<name>; else the one they have.",
        ),
    ] = None,
) -> None:
    """Install or update the alerts in Prefect. Those that notify need a block, or are left out."""
    if notify:
        _become("automations", notify)
    _become("automations")


def _become(module: str, *arguments: str) -> NoReturn:
    """Replace this process, so that signals and the exit code are the module's own.

    `-P` keeps the working directory out of the search for modules: somebody may have a `smsretry.py` there.

    Raises:
        SmsRetryError: the flows are not installed.
    """
    if find_spec(_FLOWS) is None:
        raise SmsRetryError(
            f"There is no module {_FLOWS}: the installation is incomplete. Install it again (`pip install -e .` in the "
            "repository)"
        )
    sys.stdout.flush()
    command = [sys.executable, "-P", "-m", f"{_FLOWS}.{module}", *arguments]
    os.execv(sys.executable, command)  # noqa: S606 - no shell is meant
