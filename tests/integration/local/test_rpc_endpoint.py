"""What the embedded endpoint has beside PostgREST's answers: the gateway's keys, refusals, and a database that is away.

That it answers as PostgREST does is tested in tests/conformance. Its faults are tried by whoever must bear them.
"""

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import httpx
import jwt
import psycopg
import pytest

from smsretry.local.postgres.server import EmbeddedPostgres
from smsretry.local.postgrest.app import rpc_app
from smsretry.local.postgrest.keys import api_key
from smsretry.local.process.http import LocalServer
from smsretry.local.stack import Stack
from tests.support.waiting import until

SECRET = "a secret of the tests, more than 32 characters"
NOT_HERE = [
    ("POST", "rpc/check_sms_retries?limit=1", {}), ("POST", "rpc/check_sms_retries", {"Accept": "text/csv"}),
    ("POST", "rpc/check_sms_retries", {"Accept": "application/vnd.pgrst.object+json"}),
    *(("POST", "rpc/check_sms_retries", {"Prefer": it}) for it in ("count=exact", "timezone=UTC", "handling=strict")),
    ("GET", "customers?select=*", {}), ("POST", "customers", {}), ("PATCH", "customers?id=eq.1", {}),
]  # fmt: skip
"""Requests that PostgREST would answer."""


def request(
    url: str, address: str, key: str, *, method: str = "POST", **headers: Any
) -> httpx.Response:
    """One request with a key, and a token if it has none of its own."""
    given = {"apikey": key, "Authorization": f"Bearer {key}", **headers}
    return httpx.request(
        method, f"{url}/rest/v1/{address}", json={}, headers=given, timeout=10
    )


def test_only_a_key_of_the_project_passes_and_what_is_not_supported_says_so(
    stack: Stack,
) -> None:
    """A key of another secret, of another role, or unsigned does not. No request is quietly ignored: PGRST127."""
    url, service = stack.environment()["SUPABASE_URL"], stack.key("service_role")
    response = httpx.post(
        f"{url}/rest/v1/rpc/sms_status", headers={"Authorization": f"Bearer {service}"}
    )
    assert (response.status_code, response.json()["message"]) == (
        401,
        "No API key found in request",
    )
    for key in (
        api_key("service_role", jwt_secret=SECRET),
        jwt.encode({"role": "postgres"}, stack.jwt_secret, algorithm="HS256"),
        jwt.encode({"role": "service_role"}, "", algorithm="none"),
    ):
        answer = request(url, "rpc/sms_status", key)
        assert (answer.status_code, answer.json()["message"]) == (
            401,
            "Invalid API key",
        )
    for method, address, headers in NOT_HERE:
        answer = request(url, address, service, method=method, **headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "PGRST127"), (
            address,
            headers,
        )
    assert "does not know tables" in answer.json()["details"]


@pytest.fixture
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A database that may be killed, with a Supabase project's roles and a function."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("rpc") / "postgres")
    try:
        server.start()
        with psycopg.connect(server.url()) as connection:
            connection.execute(
                files("smsretry.local.postgres")
                .joinpath("supabase_roles.sql")
                .read_bytes()
            )
            connection.execute(
                "create function public.nothing() returns void language sql as 'select 1'"
            )
        server.allow_login("authenticator")
        yield server
    finally:
        server.remove()


def test_a_database_that_is_down_is_503_and_is_found_again_at_once(
    database: EmbeddedPostgres,
) -> None:
    """PGRST000 while it is away; connections from before trouble nobody, and none is left open at the end."""
    key = api_key("service_role", jwt_secret=SECRET)
    with LocalServer(
        rpc_app(database.url(user="authenticator"), jwt_secret=SECRET)
    ) as server:
        assert request(server.url, "rpc/nothing", key).status_code == 204
        database.kill()
        away = [request(server.url, "rpc/nothing", key) for _ in range(2)]
        assert [(answer.status_code, answer.json()["code"]) for answer in away] == [
            (503, "PGRST000")
        ] * 2
        database.start()
        assert [
            request(server.url, "rpc/nothing", key).status_code for _ in range(5)
        ] == [204] * 5
    mine = "select from pg_stat_activity where application_name = 'smsretry rpc'"
    with psycopg.connect(database.url(), autocommit=True) as connection:
        until(lambda: connection.execute(mine).fetchone() is None)
