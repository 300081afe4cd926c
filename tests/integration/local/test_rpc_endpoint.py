"""What the local RPC endpoint has beside PostgREST's answers: the gateway's keys, refusals, and faults on demand.

That it answers as PostgREST does is tested in tests/conformance.
"""

from collections.abc import Iterator
from importlib.resources import files
from typing import Any, Final

import httpx
import jwt
import psycopg
import pytest
from starlette.applications import Starlette

from smsretry.local.postgres.server import EmbeddedPostgres
from smsretry.local.postgrest.app import rpc_app
from smsretry.local.postgrest.keys import api_key
from smsretry.local.process.http import LocalServer
from tests.support.waiting import until

SECRET = "a secret of the tests, more than 32 characters"
SERVICE = api_key("service_role", jwt_secret=SECRET)
_FUNCTIONS = """
create table public.notes (id int primary key);
create function public.note(id int) returns void language sql as 'insert into public.notes values (id)';
create function public.nothing() returns void language sql as 'select 1';
create function public.numbers(n int) returns setof int language sql as 'select generate_series(1, n)';
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A database as a new Supabase project has it, with the functions of these tests."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("rpc") / "postgres")
    roles = files("smsretry.local.postgres").joinpath("supabase_roles.sql").read_text()
    try:
        server.start()
        with psycopg.connect(server.url()) as connection:
            for script in (roles, roles, _FUNCTIONS):  # twice: the roles' script is idempotent
                connection.execute(script)
        server.allow_login("authenticator")
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="module")
def app(database: EmbeddedPostgres) -> Starlette:
    """The endpoint; it logs in as PostgREST does, without a superuser's rights."""
    return rpc_app(database.url(user="authenticator"), jwt_secret=SECRET)


@pytest.fixture
def server(app: Starlette, database: EmbeddedPostgres) -> Iterator[LocalServer]:
    """It, without notes. It is started for each test, so that nothing may be left of the one before."""
    with psycopg.connect(database.url()) as connection:
        connection.execute("truncate public.notes")
    with LocalServer(app) as server:
        yield server


def call(server: LocalServer, function: str, key: str = SERVICE, **arguments: Any) -> httpx.Response:
    """One call over HTTP."""
    headers = {"apikey": key, "Authorization": f"Bearer {key}"}
    return httpx.post(f"{server.url}/rest/v1/rpc/{function}", json=arguments, headers=headers, timeout=10)


def notes(database: EmbeddedPostgres) -> list[int]:
    """The ids of the notes that were committed."""
    with psycopg.connect(database.url()) as connection:
        return [row[0] for row in connection.execute("select id from public.notes order by id")]


def test_only_a_key_of_the_project_passes_the_gateway(server: LocalServer) -> None:
    """None, even where there is a bearer token; garbage, another secret's, another role's, an unsigned one."""
    response = httpx.post(f"{server.url}/rest/v1/rpc/nothing", headers={"Authorization": f"Bearer {SERVICE}"})
    assert (response.status_code, response.json()["message"]) == (401, "No API key found in request")
    for key in (
        "not a token",
        api_key("service_role", jwt_secret="some other secret of at least 32 characters"),
        jwt.encode({"role": "postgres"}, SECRET, algorithm="HS256"),
        jwt.encode({"role": "service_role"}, "", algorithm="none"),
    ):
        response = call(server, "nothing", key)
        assert (response.status_code, response.json()["message"]) == (401, "Invalid API key")


NOT_HERE: Final = [
    ("POST", "rpc/note?limit=1", {}), ("POST", "rpc/note", {"Accept": "text/csv"}),
    ("POST", "rpc/note", {"Accept": "application/vnd.pgrst.object+json"}),
    *(("POST", "rpc/note", {"Prefer": what}) for what in ("count=exact", "timezone=UTC", "handling=strict")),
    ("GET", "notes?select=*", {}), ("POST", "notes", {}), ("PATCH", "notes?id=eq.1", {}),
]  # fmt: skip
"""Requests that PostgREST would answer."""


def test_what_is_not_supported_says_so_and_calls_nothing(server: LocalServer, database: EmbeddedPostgres) -> None:
    """Never quietly ignored: PGRST127. So are tables, by their name."""
    for method, address, headers in NOT_HERE:
        given = {"apikey": SERVICE, "Authorization": f"Bearer {SERVICE}", **headers}
        answer = httpx.request(method, f"{server.url}/rest/v1/{address}", json={"id": 1}, headers=given, timeout=10)
        assert (answer.status_code, answer.json()["code"]) == (400, "PGRST127"), (address, headers)
    assert "does not know tables" in answer.json()["details"]
    assert notes(database) == []


def test_an_answer_can_be_lost_break_off_or_be_a_gateways(
    server: LocalServer, app: Starlette, database: EmbeddedPostgres
) -> None:
    """As often as planned, for that function alone: after the commit, in the middle of it, before the database."""
    app.state.faults.drop_after_commit("note")
    with pytest.raises(httpx.TransportError):
        call(server, "note", id=1)
    assert notes(database) == [1]
    app.state.faults.drop_after_commit("numbers", head=b"[1,")
    with pytest.raises(httpx.RemoteProtocolError):
        call(server, "numbers", n=2)
    app.state.faults.bad_gateway("note", times=2)
    for _ in range(2):
        response = call(server, "note", id=2)
        assert (response.status_code, response.headers["content-type"]) == (502, "text/html; charset=utf-8")
        assert call(server, "nothing").status_code == 204
    assert notes(database) == [1]
    assert call(server, "note", id=2).status_code == 204


def test_a_database_that_is_down_is_503_and_is_found_again_at_once(
    server: LocalServer, database: EmbeddedPostgres
) -> None:
    """PGRST000 while it is away; connections from before its crash, or its restart, trouble nobody. When the endpoint
    is stopped no connection is left open.
    """
    assert call(server, "nothing").status_code == 204
    database.kill()
    try:
        for _ in range(2):
            response = call(server, "nothing")
            assert (response.status_code, response.json()["code"]) == (503, "PGRST000")
    finally:
        database.start()
    assert [call(server, "nothing").status_code for _ in range(5)] == [204] * 5
    database.restart()
    assert call(server, "nothing").status_code == 204
    server.stop()
    mine = "select from pg_stat_activity where application_name = 'smsretry rpc'"
    with psycopg.connect(database.url(), autocommit=True) as connection:
        until(lambda: connection.execute(mine).fetchone() is None)
