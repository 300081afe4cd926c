"""The webhook as an ASGI application, for any server and any framework that can mount one.

https://asgi.readthedocs.io/en/stable/specs/www.html and specs/lifespan.html
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from smsretry.errors import SettingsError
from smsretry.webhooks.answers import BAD_SETTINGS, HEALTHY, NO_FORM, POST_ALONE, TOO_LONG, TOO_SLOW, Answer
from smsretry.webhooks.listening import Listening

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_LOG: Final = logging.getLogger("smsretry.webhooks")
_FORM: Final = "application/x-www-form-urlencoded"
_LONGEST: Final = 100_000
"""Bytes of a form. The longest text, 1,600 characters, takes less than 20,000."""
_MOST_SECONDS: Final = 10
"""How long a form may take to come. Twilio's are there at once; whoever drips one keeps a connection from Twilio."""


class Webhook:
    """The application. It answers each POST, whatever its path, because a proxy may change the path that was signed."""

    def __init__(self) -> None:
        self._listening: Listening | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or the server's start and end."""
        if scope["type"] == "http":
            if answer := await self._answer(scope, receive):
                await _send(answer, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await send({"type": "websocket.close"})

    async def _live(self, receive: Receive, send: Send) -> None:
        """Start, or say why not; then wait for the end."""
        await receive()
        try:
            self._listen()
        except SettingsError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.to_thread(self.close)
        await send({"type": "lifespan.shutdown.complete"})

    def close(self) -> None:
        """Finish what is under way, and disconnect. Whoever mounts the application calls it at the end."""
        listening, self._listening = self._listening, None
        if listening:
            listening.close()

    def _listen(self) -> Listening:
        """Connect, once. A framework that mounts the application tells it of no start. Raises SettingsError."""
        self._listening = self._listening or Listening()
        return self._listening

    async def _answer(self, scope: Scope, receive: Receive) -> Answer | None:
        """None: the caller has hung up."""
        try:
            listening = self._listen()
        except SettingsError as error:
            _LOG.error("%s", error)
            return BAD_SETTINGS
        if scope["method"] in ("GET", "HEAD") and scope["path"].rstrip("/").endswith("/health"):
            return HEALTHY
        if scope["method"] != "POST":
            return POST_ALONE
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
            return NO_FORM
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length[:9]) > _LONGEST:
            return TOO_LONG
        try:
            async with asyncio.timeout(_MOST_SECONDS):
                form = await _body(receive)
        except TimeoutError:
            return TOO_SLOW
        if isinstance(form, bytes):
            query = scope["query_string"].decode("latin-1")
            return await listening.hear(query, form, headers.get("x-twilio-signature", ""))
        return form


async def _body(receive: Receive) -> bytes | Answer | None:
    """The whole body; or an answer, if it is too long; or nothing, if the caller has hung up."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > _LONGEST:
            return TOO_LONG
        if not message.get("more_body", False):
            return bytes(body)


async def _send(answer: Answer, send: Send) -> None:
    await send({"type": "http.response.start", "status": answer.http_status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body})
