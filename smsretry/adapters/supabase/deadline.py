"""A whole exchange with the database's API, and not each piece of it, has to be over in time.

httpx gives its timeout to every read, so a server that sends a byte a second would keep a worker for ever.
"""

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import httpx


class Deadline:
    """One for all exchanges of a client, in any of its threads. `start` is a hook for its requests."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._local = threading.local()

    def start(self, request: httpx.Request) -> None:
        """From now on, the time of this thread's exchange runs."""
        self._local.ends = time.monotonic() + self._seconds
        request.extensions["trace"] = self._watch

    def _watch(self, event: str, info: Mapping[str, Any]) -> None:
        """What httpx tells of an exchange: here, of a connection that was made for it, which later ones use too."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            stream = info["return_value"]
            if hasattr(stream, "__dict__"):  # of another httpx, perhaps not: then each read is bounded, as httpx has it
                vars(stream)["read"] = partial(self._read, stream.read)

    def _read(self, read: Callable[[int, float], bytes], max_bytes: int, timeout: float | None = None) -> bytes:
        left = self._ends_in()
        if left <= 0:
            raise httpx.ReadTimeout("The answer took too long")
        return read(max_bytes, left if timeout is None else min(timeout, left))

    def _ends_in(self) -> float:
        ends: float = self._local.ends
        return ends - time.monotonic()
