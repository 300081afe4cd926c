"""A deadline for a whole exchange with the database's API, and not for each piece of it.

httpx applies its timeout to every read, so a server that sends a byte a second would keep a worker for ever.
"""

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import httpx


class Deadline:
    """The deadline of each exchange of a client, in any thread. `start` is a hook for the client's requests."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._local = threading.local()

    def start(self, request: httpx.Request) -> None:
        """Start the time of this thread's exchange."""
        self._local.ends = time.monotonic() + self._seconds
        request.extensions["trace"] = self._watch

    def _watch(self, event: str, info: Mapping[str, Any]) -> None:
        """Wrap the reads of a new connection when httpx reports it. Later exchanges use it, too."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            stream = info["return_value"]
            if hasattr(stream, "__dict__"):  # perhaps not in another httpx: then only each read is bounded
                vars(stream)["read"] = partial(self._read, stream.read)

    def _read(self, read: Callable[[int, float], bytes], max_bytes: int, timeout: float | None = None) -> bytes:
        left = self._local.ends - time.monotonic()
        if left <= 0:
            raise httpx.ReadTimeout("The answer took too long")
        return read(max_bytes, left if timeout is None else min(timeout, left))
