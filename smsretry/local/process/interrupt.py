"""Ctrl-C as a request: it is noted when it comes, and obeyed where the stack waits.

A KeyboardInterrupt can come between any two instructions: in an import, after a process has started and before
anybody holds its handle, in the cleanup. Some of what it interrupts swallows it, and then nothing ends. So no command
knows one: a signal ends the process at once, while there is nothing to end first. `demo` and `up` have it noted; each
of their waits looks whether there is one, and what was started is then stopped in order, however often Ctrl-C is
pressed.

SIGTERM and SIGHUP (the terminal was closed) are treated alike. A signal that whoever started us ignores stays ignored.
This file imports the standard library only, because it is there before anything else is imported.
"""

import os
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SLICE_SECONDS: Final = 0.2
_noted: list[int] = []


def end_at_once() -> None:
    """Let a signal end this process with one line. Exit code 130 after Ctrl-C, 143 after SIGTERM."""

    def end(number: int, _frame: FrameType | None) -> None:
        os.write(2, b"\nStopped.\n")
        os._exit(128 + number)

    _handle(end)


def note() -> None:
    """Note signals for the rest of this process. Nothing else happens until somebody looks."""

    def note_it(number: int, _frame: FrameType | None) -> None:
        if not _noted:
            os.write(2, b"\nStopping everything. This takes a few seconds.\n")
        _noted.append(number)

    _handle(note_it)


def ignore() -> None:
    """The command has ended: one more Ctrl-C must not become the exit code of a process that is about to end."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def noted() -> int | None:
    """The signal that asked for the end, or None."""
    return _noted[0] if _noted else None


def obey() -> None:
    """Raise KeyboardInterrupt if the end was asked for."""
    if _noted:
        raise KeyboardInterrupt


def pause(seconds: float) -> None:
    """Sleep, and obey. Raises KeyboardInterrupt."""
    until = time.monotonic() + seconds
    obey()
    while (remaining := until - time.monotonic()) > 0:
        time.sleep(min(remaining, _SLICE_SECONDS))
        obey()


def _handle(handler: Callable[[int, FrameType | None], None]) -> None:
    for number in _SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)
