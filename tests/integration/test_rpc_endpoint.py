"""The local RPC endpoint answers as Supabase's gateway and PostgREST do."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import psycopg
import pytest
from starlette.applications import Starlette
from supabase import Client, create_client
from supabase.lib.client_options import SyncClientOptions

from smsretry.local.postgres import server as postgres
from smsretry.local.postgres.server import EmbeddedPostgres
from smsretry.local.postgrest.app import RpcFaults, api_key, rpc_app
from smsretry.local.postgrest.errors import status_for
from smsretry.local.process.http import LocalServer

SECRET = "a secret of the tests, more than 32 characters"
ANON = api_key("anon", jwt_secret=SECRET)
SERVICE = api_key("service_role", jwt_secret=SECRET)
USER = "0b0ab0de-7d5c-4a3c-9c3a-1f2f0c8e4a11"

_FUNCTIONS = """
create table public.notes (id int primary key, word text not null, at timestamptz not null default now());
alter table public.notes enable row level security;

create function public.add_up(a int, b int default 10) returns int language sql as 'select a + b';
create function public.add_up_text(a text) returns text language sql as 'select a || ''!''';
create function public.who() returns json language sql as $$
    select json_build_object('role', current_user, 'uid', auth.uid(), 'claimed', auth.role()) $$;
create function public.nothing() returns void language sql as 'select 1';
create function public.nil() returns text language sql as 'select null::text';
create function public.note(id int, word text) returns void
language sql as 'insert into public.notes values (id, word)';
create function public.note_stable(id int) returns void language plpgsql stable as $$
    begin perform public.note(id, 'x'); end $$;
create function public.notes_all() returns setof public.notes
language sql as 'select * from public.notes order by id';
create function public.one_note() returns public.notes language sql as 'select * from public.notes order by id limit 1';
create function public.numbers(n int) returns setof int language sql as 'select generate_series(1, n)';
create function public.pairs(n int) returns table (i int, at timestamptz, price numeric, tags text[], more jsonb)
language sql as $$
    select g, '2026-03-08T07:00:00.5Z'::timestamptz, 1.50, array['a', 'b'],
           '{"k": null}'::jsonb from generate_series(1, n) g $$;
create function public.shapes(u uuid, t timestamptz, j jsonb, l int[], s text, f bool) returns jsonb language sql as $$
    select jsonb_build_object('u', u, 't', t, 'j', j, 'l', l, 's', s, 'f', f) $$;
create function public.fail(state text, message text) returns void language plpgsql as $$
    begin raise exception using errcode = state, message = message, detail = 'the detail', hint = 'the hint'; end $$;
create function public.overloaded(a int) returns int language sql as 'select 1';
create function public.overloaded(a text) returns int language sql as 'select 2';
create function public.for_service() returns int language sql as 'select 1';
revoke all on function public.for_service() from public, anon, authenticated;
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A database as a new Supabase project has it, with the functions of these tests."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("rpc") / "postgres")
    roles = (Path(postgres.__file__).parent / "supabase_roles.sql").read_text()
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


@pytest.fixture
def supabase(server: LocalServer) -> Iterator[Client]:
    """The real client, unchanged."""
    with httpx.Client(timeout=10) as connections:
        yield create_client(server.url, SERVICE, SyncClientOptions(httpx_client=connections))


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


# Results


def test_a_scalar_is_answered_as_a_json_value(server: LocalServer) -> None:
    """Arguments are matched by name; one with a default may be left out."""
    response = call(server, "add_up", {"a": 1, "b": 2})
    assert (response.status_code, response.json()) == (200, 3)
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert call(server, "add_up", {"a": 1}).json() == 11


def test_a_null_scalar_is_answered_as_null(server: LocalServer) -> None:
    """Null is a value, not an empty answer."""
    assert call(server, "nil").json() is None


def test_a_void_function_is_answered_with_204_and_nothing(server: LocalServer) -> None:
    """No body, not even null."""
    response = call(server, "nothing")
    assert (response.status_code, response.content) == (204, b"")


def test_a_call_without_a_body_has_no_arguments(server: LocalServer) -> None:
    """An empty body stands for an empty object."""
    response = httpx.post(f"{server.url}/rest/v1/rpc/nothing", headers={"apikey": SERVICE})
    assert response.status_code == 204


def test_a_table_is_answered_as_an_array_in_postgresqls_own_json(server: LocalServer) -> None:
    """Timestamps, numbers, arrays and nested JSON look as row_to_json writes them."""
    response = call(server, "pairs", {"n": 1})
    row = {"i": 1, "at": "2026-03-08T07:00:00.5+00:00", "price": 1.50, "tags": ["a", "b"], "more": {"k": None}}
    assert response.json() == [row]
    assert '"price":1.50' in response.text
    assert response.headers["content-range"] == "0-0/*"


def test_no_rows_are_answered_as_an_empty_array(server: LocalServer) -> None:
    """An empty set is an array too."""
    response = call(server, "notes_all")
    assert (response.status_code, response.json(), response.headers["content-range"]) == (200, [], "*/*")


def test_a_composite_is_answered_as_an_object(server: LocalServer) -> None:
    """One row that is not a set has no array around it."""
    call(server, "note", {"id": 4, "word": "four"})
    assert call(server, "one_note").json()["word"] == "four"


def test_rows_beyond_the_limit_are_cut_off_without_a_word(server: LocalServer) -> None:
    """Supabase answers at most 1000 rows, with status 200."""
    response = call(server, "numbers", {"n": 1500})
    assert (response.status_code, response.json()) == (200, list(range(1, 1001)))
    assert len(call(server, "pairs", {"n": 1001}).json()) == 1000


def test_each_argument_arrives_in_its_declared_type(server: LocalServer) -> None:
    """Strings become uuids and timestamps, arrays become arrays, objects stay JSON, quotes are harmless."""
    arguments = {
        "u": USER, "t": "2026-03-08T02:00:00-05:00", "j": {"a": [1]}, "l": [1, 2],
        "s": "O'Hara \"x\"; -- %s {}", "f": True,
    }  # fmt: skip
    assert call(server, "shapes", arguments).json() == arguments | {"t": "2026-03-08T07:00:00+00:00"}


def test_a_null_argument_is_null_and_not_its_default(server: LocalServer) -> None:
    """A key that is there is an argument that is given."""
    assert call(server, "add_up", {"a": 1, "b": None}).json() is None


# Which function


def test_an_unknown_function_is_404_with_the_nearest_name_as_a_hint(server: LocalServer) -> None:
    """PGRST202, with PostgREST's words."""
    response = call(server, "add_upp", {"b": 2, "a": 1})
    assert response.status_code == 404
    assert response.json() == {
        "code": "PGRST202",
        "message": "Could not find the function public.add_upp(a, b) in the schema cache",
        "details": "Searched for the function public.add_upp with parameters a, b or with a single unnamed json/jsonb "
        "parameter, but no matches were found in the schema cache.",
        "hint": "Perhaps you meant to call the function public.add_up",
    }


def test_wrong_argument_names_are_404_with_the_right_ones_as_a_hint(server: LocalServer) -> None:
    """A missing or a surplus argument is another function."""
    response = call(server, "add_up", {"a": 1, "c": 2})
    hint = "Perhaps you meant to call the function public.add_up(a, b)"
    assert (response.status_code, response.json()["hint"]) == (404, hint)
    assert call(server, "add_up", {"b": 1}).json()["code"] == "PGRST202"
    assert "public.add_up without parameters" in call(server, "add_up").json()["message"]


def test_two_functions_that_fit_are_300(server: LocalServer) -> None:
    """PGRST203: PostgREST does not choose by type."""
    response = call(server, "overloaded", {"a": 1})
    assert (response.status_code, response.json()["code"]) == (300, "PGRST203")


def test_a_name_in_quotes_is_a_name_and_no_sql(server: LocalServer) -> None:
    """Names from the request are identifiers whatever they hold."""
    assert call(server, 'add_up"(1)--', {"a": 1}).status_code == 404
    assert call(server, "add_up", {'a" int); drop table public.notes; --': 1}).status_code == 404


# Keys


def test_a_missing_key_is_refused_at_the_gateway(server: LocalServer) -> None:
    """Even where there is a bearer token."""
    response = httpx.post(f"{server.url}/rest/v1/rpc/nothing", headers={"Authorization": f"Bearer {SERVICE}"})
    assert (response.status_code, response.json()) == (
        401,
        {"message": "No API key found in request", "hint": "No `apikey` request header or url param was found."},
    )


@pytest.mark.parametrize(
    "key",
    [
        "not a token",
        api_key("service_role", jwt_secret="some other secret of at least 32 characters"),
        jwt.encode({"role": "postgres"}, SECRET, algorithm="HS256"),
        jwt.encode({"role": "service_role"}, "", algorithm="none"),
    ],
    ids=["garbage", "another secret", "another role", "unsigned"],
)
def test_a_key_of_another_make_is_refused_at_the_gateway(server: LocalServer, key: str) -> None:
    """Only the project's own keys pass."""
    response = call(server, "nothing", key=key)
    assert (response.status_code, response.json()) == (
        401,
        {"message": "Invalid API key", "hint": "Double check your Supabase `anon` or `service_role` API key."},
    )


def test_an_expired_token_is_refused_by_postgrest(server: LocalServer) -> None:
    """PGRST303, and the header says why."""
    expired = jwt.encode({"role": "authenticated", "exp": 1}, SECRET, algorithm="HS256")
    response = call(server, "nothing", key=ANON, headers={"Authorization": f"Bearer {expired}"})
    assert (response.status_code, response.json()["code"], response.json()["message"]) == (
        401,
        "PGRST303",
        "JWT expired",
    )
    assert "invalid_token" in response.headers["www-authenticate"]


def test_a_call_runs_in_the_tokens_role_with_its_claims(server: LocalServer) -> None:
    """The bearer token says who asks; the key only lets in."""
    token = api_key("authenticated", jwt_secret=SECRET, sub=USER)
    answer = call(server, "who", key=ANON, headers={"Authorization": f"Bearer {token}"}).json()
    assert answer == {"role": "authenticated", "uid": USER, "claimed": "authenticated"}
    assert call(server, "who").json() == {"role": "service_role", "uid": None, "claimed": "service_role"}
    assert call(server, "who", key=ANON).json()["role"] == "anon"


def test_a_function_one_may_not_call_is_401_for_anon_and_403_for_a_user(server: LocalServer) -> None:
    """42501, and service_role may."""
    refused = call(server, "for_service", key=ANON)
    assert (refused.status_code, refused.json()["code"]) == (401, "42501")
    assert call(server, "for_service", key=api_key("authenticated", jwt_secret=SECRET, sub=USER)).status_code == 403
    assert call(server, "for_service").json() == 1


def test_row_level_security_holds_for_a_user_and_not_for_service_role(
    server: LocalServer, database: EmbeddedPostgres
) -> None:
    """Supabase's defaults let anyone execute and select; a table's rows are kept by its policies."""
    call(server, "note", {"id": 1, "word": "one"})
    user = api_key("authenticated", jwt_secret=SECRET, sub=USER)
    assert call(server, "notes_all", key=user).json() == []
    assert len(call(server, "notes_all").json()) == 1
    assert call(server, "note", {"id": 2, "word": "two"}, key=user).status_code == 403
    assert notes(database) == [1]


# Errors


@pytest.mark.parametrize("body", ["", "[]", "1", '"a"', "{", "\xff"])
def test_a_body_that_is_no_json_object_is_400(server: LocalServer, body: str) -> None:
    """PGRST102; only the empty body stands for no arguments."""
    headers = {"apikey": SERVICE, "Content-Type": "application/json"}
    response = httpx.post(f"{server.url}/rest/v1/rpc/nothing", content=body.encode("latin-1"), headers=headers)
    assert (response.status_code, response.json()["code"]) == (400, "PGRST102") if body else (204, None)


def test_an_error_of_the_function_has_postgresqls_four_fields(server: LocalServer) -> None:
    """Code, details, hint and message."""
    response = call(server, "fail", {"state": "P0001", "message": "no"})
    assert response.status_code == 400
    assert response.json() == {"code": "P0001", "details": "the detail", "hint": "the hint", "message": "no"}


def test_a_function_chooses_its_status_with_pt(server: LocalServer) -> None:
    """`raise sqlstate 'PT402'` is HTTP 402."""
    assert call(server, "fail", {"state": "PT402", "message": "pay"}).status_code == 402


@pytest.mark.parametrize(
    ("sqlstate", "status"),
    [
        ("08006", 503), ("09000", 500), ("0L000", 403), ("0P000", 403), ("21000", 500), ("22P02", 400), ("23502", 400),
        ("23503", 409), ("23505", 409), ("23514", 400), ("25006", 405), ("25P02", 500), ("28000", 403), ("40001", 500),
        ("42501", 403), ("42601", 400), ("42883", 404), ("42P01", 404), ("53300", 503), ("53400", 500), ("54001", 500),
        ("55P03", 500), ("57014", 500), ("57P01", 503), ("P0001", 400), ("P0002", 500), ("PT429", 429), ("PTxyz", 500),
        ("XX000", 500),
    ],
)  # fmt: skip
def test_the_http_status_follows_postgrests_table(sqlstate: str, status: int) -> None:
    """https://docs.postgrest.org/en/v13/references/errors.html"""
    assert status_for(sqlstate, anonymous=False) == status


def test_a_duplicate_is_409_and_nothing_is_written(server: LocalServer, database: EmbeddedPostgres) -> None:
    """A failed call is rolled back."""
    assert call(server, "note", {"id": 1, "word": "one"}).status_code == 204
    response = call(server, "note", {"id": 1, "word": "again"})
    assert (response.status_code, response.json()["code"]) == (409, "23505")
    assert notes(database) == [1]


def test_a_value_of_the_wrong_type_is_400(server: LocalServer) -> None:
    """PostgreSQL itself refuses it."""
    response = call(server, "add_up", {"a": "x"})
    assert (response.status_code, response.json()["code"]) == (400, "22P02")


def test_a_stable_function_may_not_write(server: LocalServer) -> None:
    """PostgREST calls it in a read-only transaction."""
    response = call(server, "note_stable", {"id": 1})
    assert (response.status_code, response.json()["code"]) == (405, "25006")


def test_what_is_not_supported_says_so(server: LocalServer) -> None:
    """A filter or another method is never quietly ignored."""
    assert call(server, "numbers", {"n": 3}, params={"limit": 1}).json()["code"] == "PGRST127"
    response = httpx.get(f"{server.url}/rest/v1/rpc/nothing", headers={"apikey": SERVICE})
    assert (response.status_code, response.json()["code"]) == (405, "PGRST101")


# The real client


def test_the_supabase_client_gets_values_rows_and_nothing(supabase: Client) -> None:
    """`.rpc().execute()` works unchanged for every kind of result."""
    assert supabase.rpc("add_up", {"a": 1}).execute().data == 11
    assert supabase.rpc("numbers", {"n": 2}).execute().data == [1, 2]
    assert supabase.rpc("notes_all", {}).execute().data == []
    assert supabase.rpc("who", {}).execute().data == {"role": "service_role", "uid": None, "claimed": "service_role"}
    assert supabase.rpc("note", {"id": 1, "word": "one"}).execute().data in (None, "", [])


def test_the_supabase_client_raises_the_errors_code(supabase: Client) -> None:
    """Its APIError holds the four fields."""
    from postgrest.exceptions import APIError

    with pytest.raises(APIError) as caught:
        supabase.rpc("fail", {"state": "23514", "message": "check"}).execute()
    assert (caught.value.code, caught.value.message, caught.value.hint) == ("23514", "check", "the hint")


# Faults and crashes


def test_a_dropped_answer_comes_after_the_commit(
    server: LocalServer, faults: RpcFaults, database: EmbeddedPostgres
) -> None:
    """The caller learns nothing, and yet the row is there."""
    faults.drop_after_commit("note")
    with pytest.raises(httpx.TransportError):
        call(server, "note", {"id": 1, "word": "one"})
    assert notes(database) == [1]
    assert call(server, "note", {"id": 2, "word": "two"}).status_code == 204


def test_an_answer_can_break_off(server: LocalServer, faults: RpcFaults) -> None:
    """Part of the body arrives, and the connection ends."""
    faults.drop_after_commit("numbers", head=b"[1,")
    with pytest.raises(httpx.RemoteProtocolError):
        call(server, "numbers", {"n": 2})


def test_a_bad_gateway_is_html_and_reaches_no_database(
    server: LocalServer, faults: RpcFaults, database: EmbeddedPostgres
) -> None:
    """As often as planned, for that function alone."""
    faults.bad_gateway("note", times=2)
    for _ in range(2):
        response = call(server, "note", {"id": 1, "word": "one"})
        assert (response.status_code, response.headers["content-type"]) == (502, "text/html; charset=utf-8")
        assert call(server, "nothing").status_code == 204
    assert notes(database) == []
    assert call(server, "note", {"id": 1, "word": "one"}).status_code == 204


def test_a_delayed_answer_comes_late_and_the_call_took_effect(
    server: LocalServer, faults: RpcFaults, database: EmbeddedPostgres
) -> None:
    """A caller who does not wait so long is in doubt."""
    faults.delay("note", seconds=0.3)
    began = time.monotonic()
    assert call(server, "note", {"id": 1, "word": "one"}).status_code == 204
    assert time.monotonic() - began >= 0.3
    assert notes(database) == [1]


def test_a_database_that_is_down_is_503_and_is_found_again_at_once(
    server: LocalServer, database: EmbeddedPostgres
) -> None:
    """PGRST000 while it is away; connections from before its crash trouble nobody."""
    assert call(server, "nothing").status_code == 204
    database.kill()
    try:
        for _ in range(2):
            response = call(server, "nothing")
            assert (response.status_code, response.json()["code"]) == (503, "PGRST000")
    finally:
        database.start()
    assert [call(server, "nothing").status_code for _ in range(5)] == [204] * 5


def test_a_restart_between_two_calls_goes_unnoticed(server: LocalServer, database: EmbeddedPostgres) -> None:
    """Connections are checked before they are used."""
    assert call(server, "nothing").status_code == 204
    database.restart()
    assert call(server, "nothing").status_code == 204


def test_an_endpoint_that_was_stopped_can_be_started_again(database: EmbeddedPostgres) -> None:
    """A new pool each time, and none is left open."""
    with psycopg.connect(database.url()) as connection:
        before = [row[0] for row in connection.execute("select pid from pg_stat_activity")]
    app = rpc_app(database.url(user="authenticator"), jwt_secret=SECRET)
    for _ in range(2):
        with LocalServer(app) as server:
            assert call(server, "nothing").status_code == 204
    count = "select count(*) from pg_stat_activity where application_name = 'smsretry rpc' and pid <> all (%s)"
    with psycopg.connect(database.url()) as connection:
        row = connection.execute(count, (before,)).fetchone()
    assert row == (0,)


def test_new_functions_are_open_to_everyone_by_supabases_defaults(database: EmbeddedPostgres) -> None:
    """What our migrations must therefore revoke."""
    privileges = """
        select has_function_privilege('anon', 'public.nothing()', 'execute'),
               has_table_privilege('authenticated', 'public.notes', 'delete')
    """
    with psycopg.connect(database.url()) as connection:
        assert connection.execute(privileges).fetchone() == (True, True)
