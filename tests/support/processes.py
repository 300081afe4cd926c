"""Whether a process is gone, for tests of what ends with what."""

import os
import time
from pathlib import Path
from uuid import uuid4

import psutil

_PATIENCE_SECONDS = 120


def ends(pid: int) -> bool:
    """Whether the process ends by itself. One that is dead, but that its parent did not look at yet, has ended."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while is_alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_alive(pid: int) -> bool:
    """Whether the process runs."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


class Descendants:
    """The processes a command starts, known by a variable in their environment wherever they went."""

    def __init__(self, temporary: Path) -> None:
        temporary.mkdir()
        self._mark, self._temporary = uuid4().hex, temporary
        self.environment = {
            **os.environ,
            "SMSRETRY_TEST_MARK": self._mark,
            "TMPDIR": str(temporary),
            "COLUMNS": "200",
        }

    def running(self) -> list[str]:
        """The command lines of those that run."""
        return [
            " ".join(process.cmdline())
            for process in psutil.process_iter()
            if self._is_ours(process)
        ]

    def left_behind(self) -> list[str]:
        """What they left in the system's temporary directory, which they were told is another one."""
        return [path.name for path in self._temporary.iterdir()]

    def all_end(self) -> bool:
        """Whether they end by themselves: a runner is given half a minute, and a busy machine is slow."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self.running():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return bool(process.environ().get("SMSRETRY_TEST_MARK") == self._mark)
        except psutil.Error:
            return False
