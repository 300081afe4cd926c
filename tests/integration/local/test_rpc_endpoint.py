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
from smsretry.local.postgrest.faults import RpcFaults
from smsretry.local.postgrest.keys import api_key
from smsretry.local.process.http import LocalServer
from tests.support.waiting import until

SECRET = "a secret of the tests, more than 32 characters"
SERVICE = api_key("service_role", jwt_secret=SECRET)

_FUNCTIONS = """
create table public.notes (id int primary key, word text not null);
create function public.note(id int, word text) returns void
language sql as 'insert into public.notes values (id, word)';
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


@pytest.fixture(scope="module")
def server(app: Starlette) -> Iterator[LocalServer]:
    """The endpoint on a port of its own."""
    with LocalServer(app) as server:
        yield server


@pytest.fixture
def faults(app: Starlette) -> Iterator[RpcFaults]:
    """What may go wrong on purpose; nothing is left over for the next test."""
    faults: RpcFaults = app.state.faults
    yield faults
    faults.clear()


@pytest.fixture(autouse=True)
def no_notes(database: EmbeddedPostgres) -> None:
    """Each test begins without notes."""
    with psycopg.connect(database.url()) as connection:
        connection.execute("truncate public.notes")


def call(
    server: LocalServer, function: str, arguments: Any = None, *, key: str = SERVICE, **options: Any
) -> httpx.Response:
    """One call over HTTP."""
    headers = {"apikey": key, "Authorization": f"Bearer {key}"} | options.pop("headers", {})
    url = f"{server.url}/rest/v1/rpc/{function}"
    return httpx.post(url, json={} if arguments is None else arguments, headers=headers, timeout=10, **options)


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
        response = call(server, "nothing", key=key)
        assert (response.status_code, response.json()["message"]) == (401, "Invalid API key")


NOT_HERE: Final[list[dict[str, Any]]] = [
    {"params": {"limit": 1}},
    {"headers": {"Accept": "text/csv"}},
    {"headers": {"Accept": "application/vnd.pgrst.object+json"}},
    {"headers": {"Prefer": "count=exact"}},
    {"headers": {"Prefer": "timezone=America/New_York"}},
    {"headers": {"Prefer": "handling=strict, max-affected=1"}},
]
"""Requests that PostgREST would answer."""


def test_what_is_not_supported_says_so_and_calls_nothing(server: LocalServer, database: EmbeddedPostgres) -> None:
    """Never quietly ignored: PGRST127. So are tables, by their name."""
    answers = [call(server, "note", {"id": 1, "word": "one"}, **asked) for asked in NOT_HERE]
    with httpx.Client(base_url=f"{server.url}/rest/v1/", headers={"apikey": SERVICE}, timeout=10) as client:
        for method, address in (("GET", "notes?select=*"), ("POST", "notes"), ("PATCH", "notes?id=eq.1")):
            answers.append(client.request(method, address, json={"id": 1, "word": "one"}))
    assert [(one.status_code, one.json()["code"]) for one in answers] == [(400, "PGRST127")] * len(answers)
    assert "does not know tables" in answers[-1].json()["details"]
    assert notes(database) == []


def test_an_answer_can_be_lost_break_off_or_be_a_gateways(
    server: LocalServer, faults: RpcFaults, database: EmbeddedPostgres
) -> None:
    """As often as planned, for that function alone: after the commit, in the middle of it, before the database."""
    faults.drop_after_commit("note")
    with pytest.raises(httpx.TransportError):
        call(server, "note", {"id": 1, "word": "one"})
    assert notes(database) == [1]
    faults.drop_after_commit("numbers", head=b"[1,")
    with pytest.raises(httpx.RemoteProtocolError):
        call(server, "numbers", {"n": 2})
    faults.bad_gateway("note", times=2)
    for _ in range(2):
        response = call(server, "note", {"id": 2, "word": "two"})
        assert (response.status_code, response.headers["content-type"]) == (502, "text/html; charset=utf-8")
        assert call(server, "nothing").status_code == 204
    assert notes(database) == [1]
    assert call(server, "note", {"id": 2, "word": "two"}).status_code == 204


def test_a_database_that_is_down_is_503_and_is_found_again_at_once(
    server: LocalServer, database: EmbeddedPostgres
) -> None:
    """PGRST000 while it is away; connections from before its crash, or its restart, trouble nobody."""
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


def test_an_endpoint_that_was_stopped_can_be_started_again(database: EmbeddedPostgres) -> None:
    """And no connection is left open."""
    mine = "select count(*) from pg_stat_activity where application_name = 'smsretry rpc'"
    app = rpc_app(database.url(user="authenticator"), jwt_secret=SECRET)
    with psycopg.connect(database.url(), autocommit=True) as connection:
        before = connection.execute(mine).fetchone()
        for _ in range(2):
            with LocalServer(app) as server:
                assert call(server, "nothing").status_code == 204
        until(lambda: connection.execute(mine).fetchone() == before)
