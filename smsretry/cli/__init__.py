"""The command `smsretry`: each of its commands, and how it reads and shows. Only what a command needs is imported."""

import signal
import sys
from typing import NoReturn

STOPPED = 130
"""Exit code after Ctrl-C or SIGTERM, as shells have it."""


def main() -> None:
    """Run the command. It ends with one line and no traceback, even if it is stopped while it loads."""
    try:
        signal.signal(signal.SIGTERM, _interrupt)
        from smsretry.cli.command import app

        app(prog_name="smsretry")
    except KeyboardInterrupt:
        sys.stderr.write("Stopped.\n")
        sys.exit(STOPPED)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt  # SIGTERM stops what runs in order, as Ctrl-C does
