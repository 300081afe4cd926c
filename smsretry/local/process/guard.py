"""Run one command that must not outlive whoever started it.

    python -m smsretry.local.process.guard [--signal SIGINT] [--grace 10] -- CMD ARGS...

The guard holds the read end of its starter's pipe as its stdin. When that reaches its end (the starter closed it, or
died, even by kill -9), or on SIGTERM or SIGINT, it sends the command the signal, and after the grace SIGKILLs the
command's process group and children. The exit code is the command's; 128 + n if signal n ended it. On Linux the
command dies even with a guard that is itself killed by kill -9.

The command gets a session of its own, so that a terminal's Ctrl-C reaches only the starter, which then stops things
in order. It reads /dev/null and writes where the guard writes. This file imports the standard library only, because
`GuardedProcess` runs it without the package.
"""

import argparse
import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

_NOT_FOUND = 127  # what a shell answers for a command it cannot run
_PR_SET_PDEATHSIG = 1  # from <linux/prctl.h>


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command to its end and return its exit code."""
    options = _parse(arguments)
    wake, wake_writer = os.pipe()
    os.set_blocking(wake_writer, False)
    signal.set_wakeup_fd(wake_writer)
    ends: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _frame: ends.append(got))
    signal.signal(signal.SIGCHLD, lambda _got, _frame: None)  # only a handled signal writes to the wake-up pipe

    try:
        child = _start(options.command, options.user)
    except OSError as error:
        sys.stderr.write(f"Cannot run {options.command[0]}: {error.strerror}\n")
        return _NOT_FOUND
    try:
        if options.pid_fd is not None:
            _report(child.pid, options.pid_fd)
        _watch(child, wake, ends)
    finally:  # whatever happens here, the command does not outlive it
        code = _end(child, signal.Signals[options.signal], options.grace)
    return code if code >= 0 else 128 - code


def _report(pid: int, to: int) -> None:
    """Tell the starter. One that is interrupted or dies at this moment reads no more; its stdin then ends, too."""
    with contextlib.suppress(BrokenPipeError):
        os.write(to, f"{pid}\n".encode())
    os.close(to)


def _watch(child: "subprocess.Popen[bytes]", wake: int, ends: list[int]) -> None:
    stdin = sys.stdin.fileno()
    while child.poll() is None and not ends:
        ready, _, _ = select.select([stdin, wake], [], [])
        if wake in ready:
            os.read(wake, 512)
        elif not os.read(stdin, 512):
            break


def kill_tree(pid: int) -> None:
    """SIGKILL a process, its group, and its direct children (PostgreSQL gives each of its children a group)."""
    children = _children_of(pid)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    for process in (pid, *children):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m smsretry.local.process.guard", description="Run CMD; end it with us."
    )
    parser.add_argument(
        "--signal", default="SIGTERM", choices=[s.name for s in signal.Signals], help="how CMD is asked to end"
    )
    parser.add_argument("--grace", type=float, default=10.0, help="seconds CMD gets for that, before SIGKILL")
    parser.add_argument("--user", help="run CMD as this user (needs root)")
    parser.add_argument("--pid-fd", type=int, help="file descriptor that gets CMD's process id and a newline")
    parser.add_argument("command", nargs="+", metavar="CMD")
    return parser.parse_args(arguments)


def _start(command: Sequence[str], user: str | None) -> "subprocess.Popen[bytes]":
    dies_with_us = _dies_with(os.getpid())
    if user is None:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=dies_with_us)
    import pwd

    account = pwd.getpwnam(user)
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=dies_with_us,
        user=account.pw_uid, group=account.pw_gid, extra_groups=[],
    )  # fmt: skip


def _dies_with(guard: int) -> Callable[[], None] | None:
    """For the command, before it is run: Linux kills it when the guard is killed by SIGKILL, which it cannot see."""
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    prctl = ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:  # it was killed before it could be asked for
            os._exit(128 + signal.SIGKILL)

    return ask


def _end(child: "subprocess.Popen[bytes]", how: signal.Signals, grace: float) -> int:
    if child.poll() is None:
        child.send_signal(how)
        try:
            child.wait(grace)
        except subprocess.TimeoutExpired:
            kill_tree(child.pid)
    code = child.wait()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)  # what the command itself left behind
    return code


def _children_of(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    with contextlib.suppress(OSError):  # not Linux, or a kernel without that file
        table = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=False).stdout  # noqa: S607 - wherever ps is
        return [int(child) for child, parent in (line.split() for line in table.splitlines()) if int(parent) == pid]
    return []


if __name__ == "__main__":
    sys.exit(main())
