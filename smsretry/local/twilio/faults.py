"""Twilio's errors, the ways in which the stand-in can be made to fail, and the order in which it will.

A fault of sending strikes a request that Twilio would otherwise accept; `accepted` says whether the message is in the
ledger all the same, which is the one thing the sender cannot see.
"""

import asyncio
import json
import threading
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from datetime import timedelta
from enum import Enum
from typing import Any, ClassVar, Final, TypeVar

from starlette.responses import HTMLResponse, JSONResponse, Response

from smsretry.local.process.http import DropConnection

_PAGE_OF_HTML: Final = (
    "<html><body><h1>This page is not Twilio's JSON</h1></body></html>"
)
_TRUNCATED_BYTES: Final = 80  # of about 900: the SID comes much later
_TOLD: Final = "The stand-in was told to answer with this error"


def error(
    code: int,
    http_status: int,
    text: str = _TOLD,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Twilio's error JSON, under its status. Its `message` often quotes the recipient's number."""
    more_info = f"https://www.twilio.com/docs/errors/{code}"
    return JSONResponse(
        {"code": code, "message": text, "more_info": more_info, "status": http_status},
        http_status,
        headers,
    )


@dataclass(frozen=True, slots=True)
class JsonError:
    """Twilio's error JSON. With `accepted`, the message was created before the error was."""

    code: int
    _: KW_ONLY
    http_status: int = 400
    message: str = _TOLD
    retry_after: timedelta | None = None
    """Sent as the `Retry-After` header, in whole seconds. Twilio documents none for this endpoint."""
    accepted: bool = False

    async def answer(self, _created: Mapping[str, Any]) -> Response:
        """What the sender gets in place of a 201 with `created`, which is empty if the fault accepts nothing."""
        headers = (
            {}
            if self.retry_after is None
            else {"Retry-After": str(int(self.retry_after.total_seconds()))}
        )
        return error(self.code, self.http_status, self.message, headers)


@dataclass(frozen=True, slots=True)
class HtmlError:
    """A page of HTML, as a proxy or a load balancer in front of Twilio sends."""

    _: KW_ONLY
    http_status: int = 503
    accepted: bool = False

    async def answer(self, _created: Mapping[str, Any]) -> Response:
        """The page."""
        return HTMLResponse(_PAGE_OF_HTML, self.http_status)


@dataclass(frozen=True, slots=True)
class DropUnaccepted:
    """The whole request was read, and forgotten: the connection ends without a byte of an answer."""

    accepted: ClassVar[bool] = False

    async def answer(self, _created: Mapping[str, Any]) -> Response:
        """A broken connection."""
        return DropConnection()


@dataclass(frozen=True, slots=True)
class AcceptThenDrop(DropUnaccepted):
    """The message is accepted; then the connection ends without a byte of an answer."""

    accepted: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class AcceptThenWait:
    """The message is accepted at once; the 201 comes this much later, in real time."""

    wait: timedelta
    accepted: ClassVar[bool] = True

    async def answer(self, created: Mapping[str, Any]) -> Response:
        """The 201, late."""
        await asyncio.sleep(self.wait.total_seconds())
        return JSONResponse(created, 201)


class BrokenAnswer(Enum):
    """A 201 for an accepted message, which does not say what a 201 should."""

    EMPTY = "no body"
    HTML = "a page of HTML"
    TRUNCATED = "the connection closes in the middle of the body"
    WITHOUT_SID = "the message's JSON, but its sid is null"

    @property
    def accepted(self) -> bool:
        return True

    async def answer(self, created: Mapping[str, Any]) -> Response:
        """The broken 201 that the value names."""
        match self:
            case BrokenAnswer.EMPTY:
                return Response(status_code=201, media_type="application/json")
            case BrokenAnswer.HTML:
                return HTMLResponse(_PAGE_OF_HTML, 201)
            case BrokenAnswer.TRUNCATED:
                return DropConnection(
                    json.dumps(created).encode()[:_TRUNCATED_BYTES], http_status=201
                )
            case BrokenAnswer.WITHOUT_SID:
                return JSONResponse({**created, "sid": None}, 201)


@dataclass(frozen=True, slots=True)
class ListError:
    """`GET Messages.json` answers with this error."""

    code: int = 20500
    _: KW_ONLY
    http_status: int = 500


@dataclass(frozen=True, slots=True)
class FetchError:
    """`GET Messages/{sid}.json` answers with this error."""

    code: int = 20500
    _: KW_ONLY
    http_status: int = 500


@dataclass(frozen=True, slots=True)
class EndlessList:
    """`GET Messages.json` has no last page: the next one is this one."""


@dataclass(frozen=True, slots=True)
class ListLag:
    """`GET Messages.json` does not show a message until it is this old by the stand-in's clock."""

    lag: timedelta


SendFault = (
    JsonError
    | HtmlError
    | DropUnaccepted
    | AcceptThenDrop
    | AcceptThenWait
    | BrokenAnswer
)
Fault = SendFault | ListError | EndlessList | ListLag | FetchError
_Kind = TypeVar("_Kind")


@dataclass(slots=True)
class _Planned:
    fault: Fault
    to: str | None
    remaining: float


class FaultPlan:
    """What is still to go wrong. The first planned fault that fits is used first. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: list[_Planned] = []

    def add(self, fault: Fault, *, to: str | None, times: float) -> None:
        """Plan one fault for the next `times` requests."""
        with self._lock:
            self._planned = [planned for planned in self._planned if planned.remaining]
            self._planned.append(_Planned(fault, to, times))

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        with self._lock:
            self._planned.clear()

    def next(self, to: str | None, *kinds: type[_Kind]) -> _Kind | None:
        """Use up the next fault of these kinds for a request about this number."""
        with self._lock:
            for planned in self._planned:
                if (
                    isinstance(planned.fault, kinds)
                    and planned.remaining
                    and planned.to in (None, to)
                ):
                    planned.remaining -= 1
                    return planned.fault
        return None
