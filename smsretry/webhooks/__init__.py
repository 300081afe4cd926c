"""The webhook for Twilio's reports and for incoming texts: `uvicorn smsretry.webhooks:app`. README.md has others.

It answers each POST, whatever its path, because a proxy may change the path that was signed. Twilio wants TwiML for an
incoming text, and anything of 2xx for a report: https://www.twilio.com/docs/messaging/guides/webhook-request
Twilio's debugger shows the words of an answer; they are the owner's, and quote nothing that was posted.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.errors import InputError, SettingsError, SmsRetryError
from smsretry.privacy import describe_unforeseen
from smsretry.sending.webhook_events import IncomingText, RejectedPost
from smsretry.settings import load
from smsretry.webhooks.settings import WebhookSettings
from smsretry.wiring import post_reader

_LOG: Final = logging.getLogger("smsretry.webhooks")
_FORM: Final = "application/x-www-form-urlencoded"
_LONGEST: Final = 100_000
"""Bytes of a form. The longest text, 1,600 characters, takes less than 20,000."""
_LONGEST_CALL: Final = 10.0
"""Seconds for a call to the database. Twilio waits 15 in all.
https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides"""
_SEE_LOG: Final = "the webhook's log says why."


class _Services:
    """The check of signatures, and the queue that records events. Raises SettingsError."""

    def __init__(self) -> None:
        settings = load(WebhookSettings)
        self.read_post: Final = post_reader(
            settings, settings.addresses, settings.tokens
        )
        self.queue: Final = SupabaseQueue(settings.with_timeouts_up_to(_LONGEST_CALL))


def webhook() -> Starlette:
    """The application, for any server, or mounted in another one.

    It connects when a server starts it, and fails there if a setting is wrong; mounted, at its first request.
    """
    connect = cache(_Services)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        with connect().queue:
            yield

    async def receive(request: Request) -> Response:
        try:
            services = connect()
        except SettingsError as error:
            _LOG.error("%s", error)
            return _answer(503, f"The webhook's settings are not complete: {_SEE_LOG}")
        content_type = request.headers.get("content-type", "").partition(";")[0]
        if content_type.strip().lower() != _FORM:
            return _answer(415, "This webhook takes forms, as Twilio posts them.")
        form = await _form(request)
        if form is None:
            return _answer(
                413, "This is longer than anything that Twilio posts of a text."
            )
        return await run_in_threadpool(_record_event, services, request, form)

    async def report_health(_: Request) -> Response:
        return _answer(200, "ok")

    routes = [
        Route("/{path:path}health", report_health),
        Route("/{path:path}", receive, methods=["POST"]),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


app: Final = webhook()


async def _form(request: Request) -> bytes | None:
    """The body. None: it is too long."""
    length = request.headers.get("content-length", "0")
    # Nine digits are too many already, and Python reads no number of thousands.
    if not length.isdecimal() or int(length[:9]) > _LONGEST:
        return None
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _LONGEST:
            return None
    return bytes(body)


def _record_event(services: _Services, request: Request, form: bytes) -> Response:
    """Record what a request says. It waits for the database, so a thread of its own calls it."""
    event = services.read_post(
        query=request.scope["query_string"].decode("latin-1"),
        form=form,
        signature=request.headers.get("x-twilio-signature", ""),
        signature_settings=request.headers.get(
            "x-twilio-webhooks-signature-settings", ""
        ),
    )
    if isinstance(event, RejectedPost):
        _LOG.warning("HTTP %d: %s", event.http_status, event.why)
        return _answer(event.http_status, event.why)
    try:
        services.queue.record(event)
    except InputError as error:
        _LOG.error("%s", error)
        return _answer(422, f"The database does not take this: {_SEE_LOG}")
    except SmsRetryError as error:
        # It passes, or somebody can mend a setting: Twilio may call again.
        _LOG.error("%s", error)
        return _answer(503, f"This could not be recorded now: {_SEE_LOG}")
    except Exception as error:  # noqa: BLE001 - a server would log it with whatever it quotes
        private = (event.phone, event.body) if isinstance(event, IncomingText) else ()
        _LOG.error("%s", describe_unforeseen(error, private=private))
        return _answer(500, f"This could not be recorded: {_SEE_LOG}")
    if isinstance(event, IncomingText):
        return Response(
            '<?xml version="1.0" encoding="UTF-8"?><Response/>', media_type="text/xml"
        )
    return Response(status_code=204)


def _answer(http_status: int, words: str) -> Response:
    return PlainTextResponse(f"{words}\n", http_status)
