"""What runs of pytest that were killed left behind, which pytest itself keeps for three days."""

import fcntl
import shutil
from contextlib import suppress
from pathlib import Path

from smsretry.local.postgres.server import LOCK


def remove_killed_runs(folder: Path) -> None:
    """Remove the directories of runs whose process is gone, and all of whose database servers are."""
    for lock in folder.glob("pytest-*/.lock"):
        with suppress(OSError):  # somebody else removes it
            is_alive = Path("/proc", lock.read_text()).exists()
            if not is_alive and not any(map(_is_held, lock.parent.rglob(LOCK))):
                shutil.rmtree(lock.parent)


def _is_held(lock: Path) -> bool:
    """Whether a server has it: in another container, its run's process is not seen."""
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
