"""The stand-in's answers other than resources: Twilio's errors, and what a planned fault makes of an answer."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final, assert_never

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from smsretry.local.process.http import DropConnection
from smsretry.local.twilio.faults import (
    AcceptThenDrop,
    AcceptThenWait,
    BrokenAnswer,
    DropUnaccepted,
    HtmlError,
    JsonError,
    SendFault,
)

_PAGE_OF_HTML: Final = "<html><body><h1>This page is not Twilio's JSON</h1></body></html>"
_TRUNCATED_BYTES: Final = 80  # of about 900: the SID comes much later


async def faulty(fault: SendFault, created: dict[str, Any]) -> Response:
    """What the sender gets instead of a 201 with `created`, which is empty if the fault accepts nothing."""
    match fault:
        case JsonError():
            headers = {} if fault.retry_after is None else {"Retry-After": str(int(fault.retry_after.total_seconds()))}
            return error(fault.code, fault.http_status, fault.message, headers)
        case HtmlError():
            return HTMLResponse(_PAGE_OF_HTML, fault.http_status)
        case DropUnaccepted() | AcceptThenDrop():
            return DropConnection()
        case AcceptThenWait():
            await asyncio.sleep(fault.wait.total_seconds())
            return JSONResponse(created, 201)
        case BrokenAnswer.EMPTY:
            return Response(status_code=201, media_type="application/json")
        case BrokenAnswer.HTML:
            return HTMLResponse(_PAGE_OF_HTML, 201)
        case BrokenAnswer.TRUNCATED:
            return DropConnection(json.dumps(created).encode()[:_TRUNCATED_BYTES], http_status=201)
        case BrokenAnswer.WITHOUT_SID:
            return JSONResponse({**created, "sid": None}, 201)
        case _ as unreachable:
            assert_never(unreachable)


def error(code: int, http_status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    """Twilio's error JSON, under its status. Its `message` often quotes the recipient's number."""
    more = f"https://www.twilio.com/docs/errors/{code}"
    return JSONResponse({"code": code, "message": text, "more_info": more, "status": http_status}, http_status, headers)


def unauthorized() -> Response:
    """No credentials, or wrong ones."""
    return error(20003, 401, "Authenticate", {"WWW-Authenticate": 'Basic realm="Twilio API"'})


def not_found(request: Request, _raised: Exception | None = None) -> Response:
    """No such resource, or another account's."""
    return error(20404, 404, f"The requested resource {request.url.path} was not found")
