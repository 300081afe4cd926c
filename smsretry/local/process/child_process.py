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

from smsretry.local.process import end_with_starter
from smsretry.settings import Settings, variable_names

_TAIL_LINES: Final = 20


class ChildProcess:
    """A running command in a session of its own: Ctrl-C reaches only its starter. Its output is appended to `log`.

    On Linux it gets its stop signal also when the thread that starts it has ended, however that comes about.

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
        self._stop_signal, self._grace_seconds = stop_signal, grace_seconds
        user = f"{account.pw_uid}:{account.pw_gid}" if account else ""
        # By its path and isolated: nothing of the package or the environment can slow or break it.
        becoming = [
            sys.executable,
            "-I",
            "-S",
            end_with_starter.__file__,
            str(os.getpid()),
            str(int(stop_signal)),
            user,
        ]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*becoming, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=env,
                cwd=cwd,
                pass_fds=keeps,
                start_new_session=True,
            )

    def poll(self) -> int | None:
        """The command's exit code, -n after signal n; None while it runs."""
        return self._process.poll()

    def stop(self) -> int:
        """Send the stop signal, and SIGKILL after the grace. Exit code."""
        self._process.send_signal(self._stop_signal)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(self._grace_seconds)
        return self.kill()

    def kill(self) -> int:
        """SIGKILL the command and its process group, as a crash would. Exit code."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        return self._process.wait()

    def log_tail(self) -> str:
        """The last lines of its output."""
        return "\n".join(
            self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        )


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
