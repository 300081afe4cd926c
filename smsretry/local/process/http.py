"""Serve an ASGI app on loopback from a background thread, and let it break connections.

    with LocalServer(app) as server:
        httpx.get(server.url)

`DropConnection` is an answer an app may return: the connection breaks in place of a response, or part-way into one.
Uvicorn offers an app no way to do that, so the protocol below hands each request its transport.
"""

import asyncio
import contextlib
import socket
import threading
import time
from concurrent.futures import Future
from typing import Final, Self

import uvicorn
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

_HOST: Final = "127.0.0.1"
_TRANSPORT: Final = "smsretry.transport"
_STOP_SECONDS: Final = 5.0
# Longer than any test or demo keeps a pooled connection idle: a server that closes one just as the client reuses it
# would look like an answer lost on the way.
_KEEP_ALIVE_SECONDS: Final = 300


def free_port() -> int:
    """A port that was free a moment ago. For a server of another process; `LocalServer` needs none."""
    with socket.create_server((_HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class DropConnection(Response):
    """A connection that breaks before a byte of the response, or after `head` of its body.

    `head` goes out under a Content-Length one byte larger, so the client sees a body cut short. A client that
    reads the whole head cannot mistake it for a complete answer.
    """

    def __init__(self, head: bytes | None = None, *, http_status: int = 200):
        super().__init__(status_code=http_status, media_type="application/json")
        self._head = head

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport: asyncio.Transport = scope["state"][_TRANSPORT]
        if self._head is not None:
            self.headers["content-length"] = str(len(self._head) + 1)
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            await send(
                {"type": "http.response.body", "body": self._head, "more_body": True}
            )
        transport.close()
        # Uvicorn answers 500 for an app that returns before it has noticed that the connection is gone.
        while (await receive())["type"] != "http.disconnect":
            pass


class LocalServer:
    """One ASGI app on a free port of 127.0.0.1, which a later `start` takes again."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._port = 0
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        """`http://host:port`, no slash at the end. Known once started, and kept after `stop`."""
        if not self._port:
            raise RuntimeError("This server has no address yet: call start() first")
        return f"http://{_HOST}:{self._port}"

    def start(self) -> Self:
        """Return when requests are being answered.

        Raises:
            OSError: somebody else has taken its port since.
            RuntimeError: its app did not start.
        """
        listener = socket.create_server((_HOST, self._port), backlog=512)
        # asyncio sets this only on sockets it made itself; without it every answer waits 40 ms for an ACK.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._port = listener.getsockname()[1]
        self._server = _Server(self._app, listener)
        while not self._server.started:
            if not self._server.thread.is_alive():
                listener.close()
                raise RuntimeError("The local server did not start: its app failed")
            time.sleep(0.005)
        return self

    def stop(self) -> None:
        """Close every connection, cancel what is still being answered, join the thread. May be called again."""
        server, self._server = self._server, None
        if server is not None:
            server.should_exit = True
            server.end.set_result(None)
            server.thread.join(_STOP_SECONDS)
            if server.thread.is_alive():
                raise RuntimeError(
                    "The local server did not stop: its app blocks the event loop, or its own shutdown"
                )

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Protocol(H11Protocol):
    """Hands each request its transport, and writes no access log: paths hold phone numbers."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # the only kind there is
        super().connection_made(transport)
        # Here and not by uvicorn's own `access_log=False`, which would mute every uvicorn of this process.
        self.access_log = False
        self.app_state = {**self.app_state, _TRANSPORT: transport}


class _Server(uvicorn.Server):
    """One run of uvicorn in its own thread, on a socket that is already bound."""

    def __init__(self, app: ASGIApp, listener: socket.socket) -> None:
        super().__init__(
            uvicorn.Config(
                self._answer, interface="asgi3", http=_Protocol, ws="none", loop="asyncio", log_config=None,
                proxy_headers=False, date_header=False,  # the app's clock may be another one than the machine's
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            )
        )  # fmt: skip
        self._app = app
        self.end = Future[None]()
        self.thread = threading.Thread(
            target=self._run_on, args=(listener,), name="LocalServer", daemon=True
        )
        self.thread.start()

    async def main_loop(self) -> None:
        """Wait for the end, which uvicorn looks for ten times a second: tests start and stop a server each."""
        await self.on_tick(0)
        await asyncio.wrap_future(self.end)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Break off what uvicorn would wait for: idle connections, and answers that sleep."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(
            0
        )  # one turn, in which each request learns that nobody waits for its answer
        if tasks := list(self.server_state.tasks):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=1)
        await self.lifespan.shutdown()

    def _run_on(self, listener: socket.socket) -> None:
        with contextlib.suppress(
            SystemExit
        ):  # by which uvicorn reports a failed start-up
            self.run(sockets=[listener])

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            if (
                not self.should_exit
            ):  # uvicorn would log it as an app's error; at the end it is our own doing
                raise
