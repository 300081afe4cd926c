"""Wrong settings, a database that is not as it should be: what a person is told. Nothing is lost."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount
from starlette.types import ASGIApp

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.errors import QueueError, QueueUnreachable, SmsRetryError
from smsretry.local.process.http import LocalServer, free_port
from smsretry.settings import Settings
from tests.support.claims import claim_due
from tests.support.shop import Shop


def changed(settings: Settings, **changes: str) -> Settings:
    """The stack's settings, one of them wrong."""
    return Settings.model_validate({**settings.model_dump(), **changes})


@contextmanager
def answering(answer: ASGIApp, settings: Settings) -> Iterator[SupabaseQueue]:
    """The adapter, with a server at SUPABASE_URL that gives every request this answer."""

    with (
        LocalServer(Starlette(routes=[Mount("/", answer)])) as site,
        SupabaseQueue(changed(settings, supabase_url=site.url)) as queue,
    ):
        yield queue


def error(code: str | None, status: int, message: str = "Invalid API key") -> Response:
    """PostgREST's, or a gateway's that has no code."""
    return JSONResponse(
        {"code": code, "message": message, "details": None, "hint": None}, status
    )


def error_message(queue: SupabaseQueue, kind: type[SmsRetryError]) -> str:
    """What is said of a claim that cannot be made."""
    with pytest.raises(kind) as raised:
        claim_due(queue, 1)
    assert raised.type is kind
    return str(raised.value)


def test_a_wrong_key_is_named(shop: Shop, settings: Settings) -> None:
    """Most often it is the anon key. The key itself is not shown."""
    keys = [
        shop.stack.key("anon"),
        shop.stack.key("authenticated", sub=str(UUID(int=1))),
        "hunter2",
    ]
    for key in keys:
        with SupabaseQueue(changed(settings, supabase_service_role_key=key)) as queue:
            said = error_message(queue, QueueError)
        assert "SUPABASE_SERVICE_ROLE_KEY) must be a secret" in said
        assert key not in said


def test_a_wrong_address_is_named(settings: Settings) -> None:
    """Nobody is there; or a web page answers."""
    url = f"http://127.0.0.1:{free_port()}"
    with SupabaseQueue(changed(settings, supabase_url=url)) as queue:
        said = error_message(queue, QueueUnreachable)
    assert f"Check SUPABASE_URL ({url})" in said
    pages: list[tuple[int, type[SmsRetryError], str]] = [
        (200, QueueError, "Check that SUPABASE_URL ("),
        (404, QueueError, "There is no Supabase API at SUPABASE_URL ("),
        (502, QueueUnreachable, "The next run tries again."),
        (
            403,
            QueueUnreachable,
            "with HTTP 403: Welcome.",
        ),  # a firewall's, and no word about the key
        (401, QueueUnreachable, "with HTTP 401: Welcome."),
    ]
    for status, kind, part in pages:
        with answering(HTMLResponse("<html>Welcome</html>", status), settings) as queue:
            assert part in error_message(queue, kind)


def test_each_refusal_says_what_mends_it(settings: Settings) -> None:
    """A setting is not a migration. A grant that is missing and a wrong key look the same to the database."""
    refusals = [
        (404, "PGRST125", "it must be the project's URL alone"),
        (406, "PGRST106", "add it to the exposed schemas"),
        (
            404,
            "PGRST202",
            ") is another project's. `smsretry doctor` names it. Run `smsretry migrate`",
        ),
        (300, "PGRST203", "then run `smsretry migrate --again`."),
        (400, "P0001", "a trigger or a constraint forbids it."),
        (409, "23514", "a trigger or a constraint forbids it."),
        (404, "42P01", "`smsretry doctor` names it."),
        (400, "42703", "`smsretry doctor` names it."),
    ]
    for status, code, advice in refusals:
        with answering(error(code, status), settings) as queue:
            said = error_message(queue, QueueError)
        assert advice in said, code
        assert ("smsretry migrate" in said) is (
            code in ("PGRST202", "PGRST203", "42P01")
        ), code
    passing = [
        (
            error(None, 429, "API rate limit exceeded"),
            "with HTTP 429: API rate limit exceeded.",
        ),
        (error("PGRST003", 504), "are there connections left?"),
        (
            error("25P04", 500),
            "or a statement_timeout or transaction_timeout is short.",
        ),
    ]
    for answer, advice in passing:
        with (
            answering(answer, settings) as queue,
            pytest.raises(QueueUnreachable, match=re.escape(advice)),
        ):
            claim_due(queue, 1)
    with answering(
        error("0A000", 400, "cannot set transaction read-write mode during recovery"),
        settings,
    ) as queue:
        assert "or it is a replica." in error_message(queue, QueueError)
    for status in (401, 403):
        with answering(error("42501", status), settings) as queue:
            assert (
                "no publishable (or anon) key. If it is, run `smsretry migrate --again`."
                in error_message(queue, QueueError)
            )
        with answering(error(None, status), settings) as queue:
            error_message(queue, QueueError)


def test_an_answer_that_cannot_be_read_is_reported_as_what_it_is(
    settings: Settings,
) -> None:
    """It was garbled on its way, so what the call did is unknown; or something else answers at this address."""
    answers: list[tuple[Response, type[SmsRetryError], str]] = [
        (
            Response(b"no gzip", headers={"content-encoding": "gzip"}),
            QueueUnreachable,
            "DecodingError",
        ),
        (
            Response(b"[" * 100_000, media_type="application/json"),
            QueueError,
            "not its JSON",
        ),
        (JSONResponse(None), QueueError, "and that the API's Max rows is not 0."),
    ]
    for answer, kind, said in answers:
        with answering(answer, settings) as queue:
            assert said in error_message(queue, kind)
