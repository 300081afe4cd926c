"""Faults of the RPC endpoint on demand, for tests of what the queue's client does about them."""

import threading
from dataclasses import dataclass
from typing import Literal

from starlette.responses import HTMLResponse

# What Cloudflare, in front of Supabase, answers when it does not reach the project: HTML, and no JSON.
BAD_GATEWAY_PAGE = (
    "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head><body><h1>Bad gateway</h1></body></html>\n"
)


@dataclass(frozen=True)
class RpcFault:
    """What happens to one call of `function`."""

    function: str
    kind: Literal["drop", "bad_gateway", "delay"]
    head: bytes | None = None
    seconds: float = 0.0


class RpcFaults:
    """Faults that are due, each for one call, in the order they were planned. Any thread may use it."""

    def __init__(self) -> None:
        self._due: list[RpcFault] = []
        self._lock = threading.Lock()

    def drop_after_commit(self, function: str, *, times: int = 1, head: bytes | None = None) -> None:
        """The call takes effect, then the connection breaks: before any answer, or after `head` of a body."""
        self._plan(RpcFault(function, "drop", head=head), times)

    def bad_gateway(self, function: str, *, times: int = 1) -> None:
        """The call does not reach the database; the answer is 502 and an HTML page."""
        self._plan(RpcFault(function, "bad_gateway"), times)

    def delay(self, function: str, *, seconds: float, times: int = 1) -> None:
        """The call takes effect, and its answer comes this much later."""
        self._plan(RpcFault(function, "delay", seconds=seconds), times)

    def clear(self) -> None:
        """Forget what is still due."""
        with self._lock:
            self._due.clear()

    def take(self, function: str) -> RpcFault | None:
        """The fault this call of `function` gets, used up by asking."""
        with self._lock:
            fault = next((fault for fault in self._due if fault.function == function), None)
            if fault is not None:
                self._due.remove(fault)
            return fault

    def _plan(self, fault: RpcFault, times: int) -> None:
        with self._lock:
            self._due.extend([fault] * times)


def bad_gateway_response() -> HTMLResponse:
    """The 502 page."""
    return HTMLResponse(BAD_GATEWAY_PAGE, status_code=502)
