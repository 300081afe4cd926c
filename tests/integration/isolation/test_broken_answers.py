"""Answers of the database's API that no client can read: trouble of the moment or of the address, never of a row."""

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.errors import QueueMismatch, QueueUnreachable
from smsretry.local.process.http import LocalServer
from smsretry.settings import Settings


def _claim_from(answer: Response, settings: Settings) -> None:
    async def answering(_request: Request) -> Response:
        return answer

    app = Starlette(routes=[Route("/{path:path}", answering, methods=["POST"])])
    with LocalServer(app) as server:
        elsewhere = Settings.model_validate(settings.model_dump() | {"supabase_url": server.url})
        with SupabaseQueue(elsewhere) as queue:
            queue.claim_due(1)


def test_an_answer_whose_compression_is_broken_is_trouble_that_passes(settings: Settings) -> None:
    """It was cut or garbled on its way; what the call did is unknown."""
    with pytest.raises(QueueUnreachable, match="DecodingError"):
        _claim_from(Response(b"no gzip", headers={"content-encoding": "gzip"}), settings)


def test_an_answer_nested_too_deeply_to_be_read_is_not_the_functions(settings: Settings) -> None:
    """No row has depth; something else answers at this address."""
    with pytest.raises(QueueMismatch, match="not its JSON"):
        _claim_from(Response(b"[" * 100_000, media_type="application/json"), settings)
