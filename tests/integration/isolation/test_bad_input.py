"""Bad input, wrong settings, a database that is not as it should be: what a person is told; nothing is lost."""

import re
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.errors import QueueMismatch, QueueRefused, QueueUnreachable
from smsretry.local.process.http import LocalServer, free_port
from smsretry.local.stack import Stack
from smsretry.settings import Settings
from tests.conftest import Business
from tests.support.builders import results_of, run_over
from tests.support.claims import claim_due


def changed(settings: Settings, **changes: str) -> Settings:
    """The stack's settings, one of them wrong."""
    fields = settings.model_dump()
    return Settings.model_validate({**fields, **changes})


@contextmanager
def answering(
    answer: Callable[[Request], Coroutine[None, None, Response]], settings: Settings
) -> Iterator[SupabaseQueue]:
    """The adapter, with a server at SUPABASE_URL that gives every request this answer."""
    with (
        LocalServer(Starlette(routes=[Route("/{path:path}", answer, methods=["POST"])])) as site,
        SupabaseQueue(changed(settings, supabase_url=site.url)) as queue,
    ):
        yield queue


@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_a_key_of_the_wrong_role(stack: Stack, settings: Settings, role: str) -> None:
    """The most common mistake of all: the anon key."""
    key = stack.key("anon") if role == "anon" else stack.key("authenticated", sub=str(UUID(int=1)))
    with (
        SupabaseQueue(changed(settings, supabase_service_role_key=key)) as queue,
        pytest.raises(QueueRefused) as raised,
    ):
        claim_due(queue, 1)
    status = 401 if role == "anon" else 403
    assert str(raised.value) == (
        f"Supabase refused the key (HTTP {status}: 42501). SUPABASE_SERVICE_ROLE_KEY must be the service_role (or "
        "secret) key of this project, not the anon key."
    )


def test_a_key_that_is_none(settings: Settings) -> None:
    """The key itself is not shown."""
    with (
        SupabaseQueue(changed(settings, supabase_service_role_key="hunter2")) as queue,
        pytest.raises(QueueRefused) as raised,
    ):
        claim_due(queue, 1)
    assert str(raised.value).startswith("Supabase refused the key (HTTP 401: Invalid API key")
    assert "hunter2" not in str(raised.value)


def test_supabase_is_not_there(settings: Settings) -> None:
    """Names the variable, and what happens next."""
    url = f"http://127.0.0.1:{free_port()}"
    with SupabaseQueue(changed(settings, supabase_url=url)) as queue, pytest.raises(QueueUnreachable) as raised:
        claim_due(queue, 1)
    assert str(raised.value) == (
        f"Supabase did not answer claim_sms_texts (ConnectError). Check SUPABASE_URL ({url}) and that the "
        "project is up. The next run tries again."
    )


@pytest.mark.parametrize("status", [200, 404, 502])
def test_supabase_answers_with_a_web_page(settings: Settings, status: int) -> None:
    """A page of 200 or 404 is the wrong address; one of 502 is a gateway whose project is away for a moment."""

    async def page(_request: Request) -> Response:
        return HTMLResponse("<html>Welcome</html>", status_code=status)

    with answering(page, settings) as queue, pytest.raises((QueueMismatch, QueueUnreachable)) as raised:
        claim_due(queue, 1)
    expected = {
        200: "claim_sms_texts answered with something that is not its JSON. Check that SUPABASE_URL (…) is the "
        "project's URL, not a web page's or the database's.",
        404: "There is no Supabase API at SUPABASE_URL (…): it answered 404 to claim_sms_texts.",
        502: "Supabase answers claim_sms_texts with HTTP 502: Welcome. The next run tries again.",
    }
    assert re.sub(r"http://127\.0\.0\.1:\d+", "…", str(raised.value)) == expected[status]


def test_the_database_was_never_migrated(settings: Settings) -> None:
    """PostgREST knows no such function."""

    async def unknown(_request: Request) -> Response:
        return JSONResponse({"code": "PGRST202", "message": "…", "details": None, "hint": None}, status_code=404)

    with answering(unknown, settings) as queue, pytest.raises(QueueMismatch) as raised:
        claim_due(queue, 1)
    assert str(raised.value) == (
        "The database has no function claim_sms_texts with these parameters: it is older or newer than this "
        "version, or somebody dropped it. Run `smsretry migrate` with this version (with --again if it says that there "
        "is nothing to do), or install the version it was migrated with."
    )


def test_the_database_is_of_another_version(settings: Settings) -> None:
    """Its rows lack what this one needs; the row is not quoted."""

    async def old(_request: Request) -> Response:
        row = {"id": str(UUID(int=1)), "status": "processing", "phone": "+12125550123"}
        for_all: dict[str, object] = {
            "environment": None,
            "stops": [],
            "stopped_states": [],
            "longest_body": 1600,
            "next_in": None,
        }
        return JSONResponse({"texts": [row], **for_all})

    with answering(old, settings) as queue, pytest.raises(QueueMismatch) as raised:
        claim_due(queue, 1)
    said = "claim_sms_texts answered with unusable columns: account_refusal_count, attempt_begun_at, "
    assert str(raised.value).startswith(said)
    assert str(raised.value).endswith("Run `smsretry migrate` with this version.")
    assert "555" not in str(raised.value)


def test_twilio_is_not_there(
    stack: Stack, settings: Settings, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Nothing left, so nothing is in doubt and no attempt is used: the text goes out a minute later."""
    row = business.due_text()
    with TwilioSender(changed(settings, twilio_base_url=f"http://127.0.0.1:{free_port()}")) as nowhere:
        (result,) = results_of(run_over(queue, nowhere), limit=1)
    assert (result.fate, result.detail) == (
        "RetryScheduled",
        "Twilio could not be reached: the connection failed before the request left",
    )
    assert business.row(row)["attempt_count"] == 0
    assert [attempt["outcome"] for attempt in business.attempts_of(row)] == ["not_sent"]


def test_twilio_refuses_the_credentials(
    stack: Stack, settings: Settings, business: Business, queue: SupabaseQueue
) -> None:
    """The text waits, unharmed, for somebody to mend them."""
    row = business.due_text()
    with TwilioSender(changed(settings, twilio_auth_token="wrong")) as locked_out:
        (result,) = results_of(run_over(queue, locked_out), limit=1)
    assert (result.fate, result.code) == ("Held", 20003)
    assert result.detail.startswith("Twilio 20003: Permission Denied. Check this account's credentials")
    assert business.row(row)["attempt_count"] == 0


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (404, "PGRST125", "it must be the project's URL alone, https://<project>.supabase.co, without /rest/v1."),
        (
            406,
            "PGRST106",
            "add it to the exposed schemas (Supabase: Project Settings, Data API; PostgREST: db-schemas).",
        ),
        (404, "PGRST202", "Run `smsretry migrate` with this version (with --again if it says that there is nothing"),
        (300, "PGRST203", "drop those that are not smsretry's, then run `smsretry migrate --again`."),
        (403, "42501", "service_role lacks a grant. Run `smsretry migrate --again`."),
        (400, "P0001", "a trigger or a constraint forbids it. The database's log names it."),
        (409, "23514", "a trigger or a constraint forbids it. The database's log names it."),
        (404, "42P01", "is gone from the database (42P01). Run `smsretry migrate --again`."),
        (
            400,
            "42703",
            "A column that claim_sms_texts needs is gone from the database (42703). `smsretry doctor` ",
        ),
        (401, "42501", "service_role lacks a grant. Run `smsretry migrate --again`."),
    ],
)
def test_each_refusal_says_what_mends_it(settings: Settings, status: int, code: str, advice: str) -> None:
    """A setting is not a migration, and a grant is not a key."""

    async def refusal(_request: Request) -> Response:
        return JSONResponse({"code": code, "message": "…", "details": None, "hint": None}, status_code=status)

    with answering(refusal, settings) as queue, pytest.raises(QueueMismatch) as raised:
        claim_due(queue, 1)
    assert advice in str(raised.value)
    assert ("smsretry migrate" in str(raised.value)) is (code in ("PGRST202", "PGRST203", "42501", "42P01"))


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_still_a_refused_key(settings: Settings, status: int) -> None:
    """A JWT's error, or a gateway's answer without any code."""

    async def refusal(_request: Request) -> Response:
        return JSONResponse({"message": "Invalid API key"}, status_code=status)

    with answering(refusal, settings) as queue, pytest.raises(QueueRefused):
        claim_due(queue, 1)


@pytest.fixture
def revoked(stack: Stack) -> Iterator[None]:
    """Service_role may not claim, for a while."""
    with stack.connect() as connection:
        connection.execute("revoke execute on function claim_sms_texts from service_role")
        try:
            yield
        finally:
            connection.execute("grant execute on function claim_sms_texts to service_role")


@pytest.mark.usefixtures("revoked")
def test_a_revoked_grant_is_no_wrong_key(queue: SupabaseQueue, operators: SupabaseOperators) -> None:
    """The doctor says the same of it."""
    with pytest.raises(QueueMismatch, match=r"service_role lacks a grant\. Run `smsretry migrate --again`"):
        claim_due(queue, 1)
    objects, rehearsed = operators.check_objects()[0], operators.rehearse("all")[0]
    assert (objects.ok, objects.subject.partition("(")[0]) == (False, "function public.claim_sms_texts")
    assert (rehearsed.ok, "A grant is missing: run `smsretry migrate --again`" in str(rehearsed.advice)) == (
        False,
        True,
    )


@pytest.mark.parametrize("path", ["/rest/v1", "/rest/v1/"])
def test_a_url_of_the_api_is_refused_by_the_settings(settings: Settings, path: str) -> None:
    """The client adds that part itself."""
    with pytest.raises(ValidationError, match="without /rest/v1"):
        changed(settings, supabase_url=f"https://project.supabase.co{path}")
