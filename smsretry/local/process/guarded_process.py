"""Start a command that ends when this process does, however this process ends."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from smsretry.errors import LocalStackError
from smsretry.local.process import guard

_TAIL_LINES = 20


class GuardedProcess:
    """A running command under `smsretry.local.process.guard`. Its output is appended to `log`.

    Ends with this process because this process alone holds the other end of the guard's stdin. A child made by
    `os.fork` without exec holds it too; one made by `subprocess` does not.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        stop_signal: signal.Signals = signal.SIGTERM,
        grace_seconds: float = 10.0,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
    ) -> None:
        """Start it. `user` needs root. Raises LocalStackError if the command cannot be run."""
        self.log = log
        pid_reader, pid_writer = os.pipe()
        options = ["--signal", stop_signal.name, "--grace", str(grace_seconds), "--pid-fd", str(pid_writer)]
        if user is not None:
            options += ["--user", user]
        with os.fdopen(pid_reader) as reported, log.open("ab") as output:
            try:
                self._guard = subprocess.Popen(
                    # By its path and isolated: nothing of the package or the environment can slow or break it.
                    [sys.executable, "-I", "-S", guard.__file__, *options, "--", *command],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=output,
                    env=env,
                    cwd=cwd,
                    pass_fds=[pid_writer],
                    start_new_session=True,
                )
            finally:
                os.close(pid_writer)
            pid = reported.readline().strip()
        if not pid:
            self._wait(None)
            raise LocalStackError(f"{command[0]} did not start; the end of {log}:\n{self.log_tail()}")
        self.pid = int(pid)

    def poll(self) -> int | None:
        """The command's exit code, 128 + n after signal n; None while it runs."""
        return self._guard.poll()

    def stop(self, timeout: float | None = None) -> int:
        """Send the stop signal and wait, by default for as long as the guard's grace takes; then kill. Exit code."""
        self._close_stdin()
        try:
            return self._wait(timeout)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """SIGKILL the command and its children, as a crash would. Exit code."""
        if self.poll() is None:
            guard.kill_tree(self.pid)
        return self._wait(None)

    def log_tail(self) -> str:
        """The last lines of its output."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
        return ""

    def _wait(self, timeout: float | None) -> int:
        code = self._guard.wait(timeout)
        self._close_stdin()
        return code

    def _close_stdin(self) -> None:
        if self._guard.stdin is not None:
            self._guard.stdin.close()
