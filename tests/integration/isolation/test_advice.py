"""What the adapter says when the database or a setting is not as it should be: what mends it, and nothing else."""

from collections.abc import Iterator

import pytest
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.errors import QueueMismatch, QueueRefused
from smsretry.local.stack import Stack
from smsretry.settings import Settings
from tests.integration.isolation.test_bad_input import answering, changed


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
            "A column that claim_due_sms_retries needs is gone from the database (42703). `smsretry doctor` ",
        ),
        (401, "42501", "service_role lacks a grant. Run `smsretry migrate --again`."),
    ],
)
def test_each_refusal_says_what_mends_it(settings: Settings, status: int, code: str, advice: str) -> None:
    """A setting is not a migration, and a grant is not a key."""

    async def refusal(_request: Request) -> Response:
        return JSONResponse({"code": code, "message": "…", "details": None, "hint": None}, status_code=status)

    with answering(refusal, settings) as queue, pytest.raises(QueueMismatch) as raised:
        queue.claim_due(1)
    assert advice in str(raised.value)
    assert ("smsretry migrate" in str(raised.value)) is (code in ("PGRST202", "PGRST203", "42501", "42P01"))


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_still_a_refused_key(settings: Settings, status: int) -> None:
    """A JWT's error, or a gateway's answer without any code."""

    async def refusal(_request: Request) -> Response:
        return JSONResponse({"message": "Invalid API key"}, status_code=status)

    with answering(refusal, settings) as queue, pytest.raises(QueueRefused):
        queue.claim_due(1)


@pytest.fixture
def revoked(stack: Stack) -> Iterator[None]:
    """Service_role may not claim, for a while."""
    with stack.connect() as connection:
        connection.execute("revoke execute on function claim_due_sms_retries from service_role")
        try:
            yield
        finally:
            connection.execute("grant execute on function claim_due_sms_retries to service_role")


@pytest.mark.usefixtures("revoked")
def test_a_revoked_grant_is_no_wrong_key(queue: SupabaseQueue, operators: SupabaseOperators) -> None:
    """The doctor says the same of it."""
    with pytest.raises(QueueMismatch, match=r"service_role lacks a grant\. Run `smsretry migrate --again`"):
        queue.claim_due(1)
    found = {finding.subject: finding.advice for finding in operators.check() if not finding.ok}
    assert found == {"function claim_due_sms_retries": "service_role may not call it: run `smsretry migrate --again`"}


@pytest.mark.parametrize("path", ["/rest/v1", "/rest/v1/"])
def test_a_url_of_the_api_is_refused_by_the_settings(settings: Settings, path: str) -> None:
    """The client adds that part itself."""
    with pytest.raises(ValidationError, match="without /rest/v1"):
        changed(settings, supabase_url=f"https://project.supabase.co{path}")
