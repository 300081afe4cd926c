"""Faults of the endpoint on demand, for tests of what its client does about them."""

import threading
from dataclasses import dataclass
from typing import Final, Literal

from starlette.responses import HTMLResponse, JSONResponse, Response

MAX_ROWS: Final = 1000
"""The most rows of an answer, as on Supabase."""
# What Cloudflare, in front of Supabase, answers when it does not reach the project: HTML, and no JSON.
BAD_GATEWAY_PAGE: Final = (
    "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head>"
    "<body><h1>Bad gateway</h1></body></html>\n"
)
_UNREADABLE: Final = {
    "broken_gzip": Response(b"no gzip", headers={"content-encoding": "gzip"}),
    "nested": Response(b"[" * 100_000, media_type="application/json"),
}


@dataclass(frozen=True)
class RpcFault:
    """What happens to one call of `function`."""

    function: str
    instead: Response | None = None
    """Answered by somebody between the client and the database. None: the call takes effect, and the answer is lost."""
    about: bytes = b""
    """Only a call whose body holds this."""

    def strikes(self, function: str, body: bytes) -> bool:
        """Whether it is due for this call. A group of calls is one for each function in it."""
        is_in_group = (
            function == "group_sms_calls" and f'"{self.function}"'.encode() in body
        )
        return (function == self.function or is_in_group) and self.about in body


class RpcFaults:
    """Faults that are due, each for one call, in the order they were planned. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Forget what is still due, and behave as a new endpoint does."""
        self._due: list[RpcFault] = []
        self.max_rows = MAX_ROWS
        """After how many rows each answer is cut off."""
        self.takes_bearer_keys = False
        """Whether the gateway forgives a publishable or secret key in `Authorization`, as live ones were seen to do."""
        self.legacy_is_revoked = False
        """Whether what the JWT secret signed counts no more: tokens, and the anon and service_role keys."""

    def drop_after_commit(self, function: str, *, times: int = 1) -> None:
        """The call takes effect, then the connection breaks before any answer."""
        self._due += [RpcFault(function)] * times

    def bad_gateway(self, function: str, *, times: int = 1) -> None:
        """The call does not reach the database; the answer is 502 and an HTML page."""
        self._due += [
            RpcFault(function, HTMLResponse(BAD_GATEWAY_PAGE, status_code=502))
        ] * times

    def unknown(self, function: str) -> None:
        """The API's schema cache does not know the function."""
        content = {"code": "PGRST202", "message": f"Could not find {function}"}
        self._due.append(RpcFault(function, JSONResponse(content, status_code=404)))

    def unreadable(
        self, function: str, kind: Literal["broken_gzip", "nested"], *, about: str = ""
    ) -> None:
        """The call does not reach the database; the answer is a 200 that no client can decode."""
        self._due.append(RpcFault(function, _UNREADABLE[kind], about=about.encode()))

    def take(self, function: str, body: bytes) -> RpcFault | None:
        """The fault this call of `function` gets, used up by asking."""
        with self._lock:
            fault = next(
                (fault for fault in self._due if fault.strikes(function, body)), None
            )
            if fault is not None:
                self._due.remove(fault)
            return fault
