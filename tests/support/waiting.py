"""Waiting for what comes about by itself. A busy machine is slow, so nothing is judged by how long it takes."""

import time
from collections.abc import Callable


def until(condition: Callable[[], object], *, seconds: float = 120) -> None:
    """Wait until it holds; fail if it does not within so long."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s"
        time.sleep(0.1)
