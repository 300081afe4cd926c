"""Start a command that ends when this process does, however this process ends."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from pwd import struct_passwd
from typing import Final

from smsretry.local.process import guard
from smsretry.settings import Settings, variable_names

_TAIL_LINES: Final = 20


class GuardedProcess:
    """A running command under `smsretry.local.process.guard`. Its output is appended to `log`.

    It ends with this process because this process alone holds the other end of the guard's pipe. A child made by
    `os.fork` without exec holds it too; one made by `subprocess` does not.

    Args:
        stop_signal: how it is asked to end.
        grace_seconds: how long it has for that, before SIGKILL.
        account: run it as this user, which needs root.
        keeps: file descriptors that it has as well.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        grace_seconds: float = 10.0,
        account: struct_passwd | None = None,
        keeps: Sequence[int] = (),
    ) -> None:
        self.log = log
        user = f"{account.pw_uid}:{account.pw_gid}" if account else ""
        # By its path and isolated: nothing of the package or the environment can slow or break it.
        guarded = [
            sys.executable,
            "-I",
            "-S",
            guard.__file__,
            stop_signal.name,
            str(grace_seconds),
            user,
            "--",
        ]
        with log.open("ab") as output:
            self._guard = subprocess.Popen(
                [*guarded, *command], stdin=subprocess.PIPE, stdout=output, stderr=output, env=env, cwd=cwd,
                pass_fds=keeps, start_new_session=True, bufsize=0,
            )  # fmt: skip

    def poll(self) -> int | None:
        """The command's exit code, 128 + n after signal n, 127 if it cannot be run; None while it runs."""
        return self._guard.poll()

    def stop(self) -> int:
        """Send the stop signal and wait, for as long as its grace takes. Exit code."""
        return self._end(b"")

    def kill(self) -> int:
        """SIGKILL the command and its process group, as a crash would. Exit code."""
        return self._end(b"\n")

    def log_tail(self) -> str:
        """The last lines of its output."""
        return "\n".join(
            self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        )

    def _end(self, word: bytes) -> int:
        pipe = self._guard.stdin
        if pipe is not None and not pipe.closed:
            with contextlib.suppress(BrokenPipeError):  # it has ended by itself
                pipe.write(word)
            pipe.close()
        return self._guard.wait()


def inherited() -> dict[str, str]:
    """This process's environment without what would steer Prefect, and without another installation's settings.

    A real account's TWILIO_MESSAGING_SERVICE_SID, say, would be taken for the stand-in's.
    """
    settings = variable_names(Settings)
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PREFECT_") and name not in settings
    }
