"""The server that the embedded stack's parts run on: it starts and stops at once, and logs no request."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from smsretry.local.process.http import DropConnection, LocalServer

NUMBER = "12025550123"
ARRIVED, WOKE = threading.Event(), threading.Event()


async def _answer(request: Request) -> Response:
    if request.url.path == "/sleep":
        ARRIVED.set()
        await asyncio.sleep(30)
        WOKE.set()
    return (
        DropConnection()
        if request.url.path.startswith("/drop")
        else PlainTextResponse("hello")
    )


def test_it_stops_at_once_comes_back_at_its_address_and_logs_no_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An outage is a stop and a start: clients keep their URL, and no pending answer or idle connection holds it up.
    Paths and bodies hold phone numbers: the client's own libraries may log them, the server may not.
    """
    app = Starlette(routes=[Route("/{path:path}", _answer)])
    with (
        LocalServer(app) as server,
        httpx.Client() as idle,
        ThreadPoolExecutor(1) as pool,
    ):
        with caplog.at_level("DEBUG"):
            assert idle.get(f"{server.url}/{NUMBER}").text == "hello"
            with pytest.raises(httpx.TransportError):
                httpx.get(f"{server.url}/drop/{NUMBER}")
        ours = [
            record
            for record in caplog.records
            if record.name.startswith(("uvicorn", "smsretry", "asyncio"))
        ]
        assert [
            record.getMessage() for record in ours if record.name != "asyncio"
        ] == []
        assert not any(NUMBER in record.getMessage() for record in ours)
        pending = pool.submit(httpx.get, f"{server.url}/sleep", timeout=90)
        assert ARRIVED.wait(30)
        url = server.url
        server.stop()
        assert not WOKE.is_set()
        with pytest.raises(httpx.TransportError):
            pending.result(timeout=30)
        with pytest.raises(httpx.ConnectError, match="refused"):
            httpx.get(url)
        server.start()
        assert (server.url, httpx.get(url).text) == (url, "hello")
