"""Wrong settings, a database that is not as it should be: what a person is told. Nothing is lost."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from smsretry.adapters.migrations.checksums import findings
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.errors import QueueMismatch, QueueRefused, QueueUnreachable, SmsRetryError
from smsretry.local.process.http import LocalServer, free_port
from smsretry.settings import Settings
from tests.support.builders import results_of, run_over
from tests.support.claims import claim_due
from tests.support.shop import Shop


def changed(settings: Settings, **changes: str) -> Settings:
    """The stack's settings, one of them wrong."""
    return Settings.model_validate({**settings.model_dump(), **changes})


@contextmanager
def answering(answer: Response, settings: Settings) -> Iterator[SupabaseQueue]:
    """The adapter, with a server at SUPABASE_URL that gives every request this answer."""

    async def give(_request: Request) -> Response:
        return answer

    with (
        LocalServer(Starlette(routes=[Route("/{path:path}", give, methods=["POST"])])) as site,
        SupabaseQueue(changed(settings, supabase_url=site.url)) as queue,
    ):
        yield queue


def error(code: str | None, status: int) -> Response:
    """PostgREST's, or a gateway's that has no code."""
    return JSONResponse({"code": code, "message": "Invalid API key", "details": None, "hint": None}, status)


def told(queue: SupabaseQueue, kind: type[SmsRetryError]) -> str:
    """What is said of a claim that cannot be made."""
    with pytest.raises(kind) as raised:
        claim_due(queue, 1)
    return str(raised.value)


def test_a_wrong_key_is_named(shop: Shop, settings: Settings) -> None:
    """Most often it is the anon key. The key itself is not shown."""
    keys = [shop.stack.key("anon"), shop.stack.key("authenticated", sub=str(UUID(int=1))), "hunter2"]
    for key in keys:
        with SupabaseQueue(changed(settings, supabase_service_role_key=key)) as queue:
            said = told(queue, QueueRefused)
        assert "SUPABASE_SERVICE_ROLE_KEY must be the service_role" in said
        assert key not in said


def test_a_wrong_address_is_named(settings: Settings) -> None:
    """Nobody is there; a web page answers; or it is the API's own URL, whose last part the client adds itself."""
    url = f"http://127.0.0.1:{free_port()}"
    with SupabaseQueue(changed(settings, supabase_url=url)) as queue:
        said = told(queue, QueueUnreachable)
    assert f"Check SUPABASE_URL ({url})" in said
    pages: list[tuple[int, type[SmsRetryError], str]] = [
        (200, QueueMismatch, "Check that SUPABASE_URL ("),
        (404, QueueMismatch, "There is no Supabase API at SUPABASE_URL ("),
        (502, QueueUnreachable, "The next run tries again."),
    ]
    for status, kind, part in pages:
        with answering(HTMLResponse("<html>Welcome</html>", status), settings) as queue:
            assert part in told(queue, kind)
    for path in ("/rest/v1", "/rest/v1/"):
        with pytest.raises(ValidationError, match="without /rest/v1"):
            changed(settings, supabase_url=f"https://project.supabase.co{path}")


def test_each_refusal_says_what_mends_it(settings: Settings) -> None:
    """A setting is not a migration, and a grant is not a key."""
    refusals = [
        (404, "PGRST125", "it must be the project's URL alone"),
        (406, "PGRST106", "add it to the exposed schemas"),
        (404, "PGRST202", "Run `smsretry migrate` with this version"),
        (300, "PGRST203", "then run `smsretry migrate --again`."),
        (403, "42501", "service_role lacks a grant. Run `smsretry migrate --again`."),
        (401, "42501", "service_role lacks a grant. Run `smsretry migrate --again`."),
        (400, "P0001", "a trigger or a constraint forbids it."),
        (409, "23514", "a trigger or a constraint forbids it."),
        (404, "42P01", "`smsretry doctor` names it."),
        (400, "42703", "`smsretry doctor` names it."),
    ]
    for status, code, advice in refusals:
        with answering(error(code, status), settings) as queue:
            said = told(queue, QueueMismatch)
        assert advice in said, code
        assert ("smsretry migrate" in said) is (code in ("PGRST202", "PGRST203", "42501", "42P01", "42703")), code
    for status in (401, 403):
        with answering(error(None, status), settings) as queue:
            told(queue, QueueRefused)


def test_a_database_of_another_version_is_told_and_no_row_is_quoted(settings: Settings) -> None:
    """Its rows lack what this one needs."""
    row = {"id": str(UUID(int=1)), "status": "processing", "phone": "+12125550123"}
    for_all: dict[str, object] = {
        "environment": None,
        "stops": [],
        "stopped_states": [],
        "longest_body": 1600,
        "next_in": None,
    }
    with answering(JSONResponse({"texts": [row], **for_all}), settings) as queue:
        said = told(queue, QueueMismatch)
    assert "unusable columns: " in said
    assert said.endswith("Run `smsretry migrate` with this version.")
    assert "555" not in said


def test_an_answer_that_cannot_be_read_is_told_for_what_it_is(settings: Settings) -> None:
    """It was garbled on its way, so what the call did is unknown; or something else answers at this address."""
    answers: list[tuple[Response, type[SmsRetryError], str]] = [
        (Response(b"no gzip", headers={"content-encoding": "gzip"}), QueueUnreachable, "DecodingError"),
        (Response(b"[" * 100_000, media_type="application/json"), QueueMismatch, "not its JSON"),
    ]
    for answer, kind, said in answers:
        with answering(answer, settings) as queue:
            assert said in told(queue, kind)


def test_a_twilio_that_is_not_there_or_refuses_the_credentials_costs_no_attempt(shop: Shop, settings: Settings) -> None:
    """Nothing left, so nothing is in doubt: the text goes out a minute later, or once somebody mended them."""
    row = shop.due_text()
    nowhere = changed(settings, twilio_base_url=f"http://127.0.0.1:{free_port()}")
    with TwilioSender(nowhere) as unreachable:
        [result] = results_of(run_over(shop.queue, unreachable))
    assert (result.fate, result.why_code) == ("RetryScheduled", "unreachable")
    assert [attempt["outcome"] for attempt in shop.attempts_of(row)] == ["not_sent"]
    shop.at(shop.row(row)["scheduled_for"])
    with TwilioSender(changed(settings, twilio_auth_token="wrong")) as locked_out:
        [result] = results_of(run_over(shop.queue, locked_out))
    assert (result.fate, result.code) == ("Held", 20003)
    assert "Check this account's credentials" in result.detail
    assert shop.row(row)["attempt_count"] == 0


def test_a_revoked_grant_is_no_wrong_key(shop: Shop, operators: SupabaseOperators) -> None:
    """The doctor says the same of it."""
    grant = "execute on function claim_sms_texts"
    with shop.changed(f"revoke {grant} from service_role", f"grant {grant} to service_role"):
        assert "service_role lacks a grant. Run `smsretry migrate --again`" in told(shop.queue, QueueMismatch)
        objects, rehearsed = next(findings(operators.checksums())), operators.rehearse("all")[0]
    assert (objects.ok, objects.subject.partition("(")[0]) == (False, "function public.claim_sms_texts")
    assert not rehearsed.ok
    assert "A grant is missing: run `smsretry migrate --again`" in str(rehearsed.advice)
