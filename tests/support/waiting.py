"""Waiting for what comes about by itself. A busy machine is slow, so nothing is judged by how long it takes."""

import time
from collections.abc import Callable
from typing import Any

import psycopg


def until(condition: Callable[[], object], *, seconds: float = 120) -> None:
    """Wait until it holds; fail if it does not within so long."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s"
        time.sleep(0.1)


def until_locked_out(
    waiting: psycopg.Connection[Any], *, seen_by: psycopg.Connection[Any]
) -> None:
    """Wait until a connection waits for a lock, as another one sees it."""
    waits = "select from pg_locks where not granted and pid = %s"
    until(
        lambda: (
            seen_by.execute(waits, [waiting.info.backend_pid]).fetchone() is not None
        )
    )
