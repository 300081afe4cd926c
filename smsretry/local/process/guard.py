"""Run one command that must not outlive whoever started it.

    python guard.py SIGTERM 10 [UID:GID] -- CMD ARGS...

Its standard input is a pipe, of which the starter has the other end. When that reaches its end (the starter closed it,
or died, even by kill -9), the command gets the signal, and after so many seconds its process group gets SIGKILL. A line
in the pipe asks for SIGKILL at once. The exit code is the command's; 128 + n if signal n ended it.

The command has a session of its own, so that a terminal's Ctrl-C reaches only the starter, which then stops things in
order. On Linux it dies even with a guard that is itself killed by kill -9. This file imports the standard library
only, because `GuardedProcess` runs it without the package.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading

_NOT_FOUND = 127  # what a shell answers for a command it cannot run
_PR_SET_PDEATHSIG = 1  # from <linux/prctl.h>


def main() -> int:
    """Run the command to its end and return its exit code."""
    signal_name, grace, account, *command = (
        word for word in sys.argv[1:] if word != "--"
    )
    uid, _, gid = account.partition(":")
    as_user = {"user": int(uid), "group": int(gid), "extra_groups": []} if uid else {}
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(
            number, lambda _number, _frame: None
        )  # it ends with its command, and not before
    try:
        child: subprocess.Popen[bytes] = subprocess.Popen(  # type: ignore[call-overload]  # keywords from a dict
            command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            close_fds=False,
            preexec_fn=_die_too,
            **as_user,
        )
    except OSError as error:
        sys.stderr.write(f"Cannot run {command[0]}: {error.strerror}\n")
        return _NOT_FOUND
    threading.Thread(
        target=_obey,
        args=(child, signal.Signals[signal_name], float(grace)),
        daemon=True,
    ).start()
    code = child.wait()
    _kill_group(child)  # what the command itself left behind
    return code if code >= 0 else 128 - code


def _obey(
    child: "subprocess.Popen[bytes]", signal_number: signal.Signals, grace: float
) -> None:
    """End the command when the pipe says so."""
    if not os.read(0, 1):
        child.send_signal(signal_number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(grace)
            return
    _kill_group(child)


def _kill_group(child: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


def _die_too() -> None:
    """Let Linux kill the command when the guard dies. Runs in the command's process, before it."""
    if hasattr(libc := ctypes.CDLL(None), "prctl"):
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
