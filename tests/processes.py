"""Whether a process is gone, for tests of what ends with what."""

import time

import psutil


def ends(pid: int, *, within_seconds: float = 15.0) -> bool:
    """Whether the process ends by itself. One that is dead, but that its parent did not look at yet, has ended."""
    deadline = time.monotonic() + within_seconds
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
