"""Which function a request means, and which requests are refused before any function is called."""

import httpx
import psycopg

from tests.conformance.conftest import Endpoint

_JSON = {"Content-Type": "application/json"}

# Which function


def test_an_unknown_function_is_404(postgrest: Endpoint) -> None:
    """PGRST202, with PostgREST's words. Its hint is the one thing that the stand-in leaves out.

    A missing or a surplus argument is another function. The words for "no arguments" are others.
    """
    response = postgrest.call("add_upp", {"b": 2, "a": 1})
    answer = response.json()
    del answer["hint"]
    assert response.status_code == 404
    assert answer == {
        "code": "PGRST202",
        "message": "Could not find the function public.add_upp(a, b) in the schema cache",
        "details": "Searched for the function public.add_upp with parameters a, b or with a single unnamed json/jsonb "
        "parameter, but no matches were found in the schema cache.",
    }
    for arguments in ({"a": 1, "c": 2}, {"b": 1}):
        response = postgrest.call("add_up", arguments)
        assert (response.status_code, response.json()["code"]) == (404, "PGRST202")
    message = postgrest.call("add_up").json()["message"]
    assert message == "Could not find the function public.add_up without parameters in the schema cache"


def test_two_functions_that_fit_are_300(postgrest: Endpoint) -> None:
    """PGRST203: PostgREST does not choose by type."""
    response = postgrest.call("overloaded", {"a": 1})
    assert (response.status_code, response.json()["code"]) == (300, "PGRST203")


def test_a_name_in_quotes_is_a_name_and_no_sql(postgrest: Endpoint) -> None:
    """Names from the request are identifiers whatever they hold."""
    assert postgrest.call('add_up"(1)--', {"a": 1}).status_code == 404
    assert postgrest.call("add_up", {'a" int); drop table public.notes; --': 1}).status_code == 404


def test_a_path_that_names_no_function_is_404(postgrest: Endpoint) -> None:
    """PGRST125, as when SUPABASE_URL has a path too many."""
    response = postgrest.call("nothing/more")
    assert (response.status_code, response.json()["code"]) == (404, "PGRST125")


def test_a_schema_that_is_not_exposed_is_406(postgrest: Endpoint) -> None:
    """PGRST106, and nothing is called."""
    response = postgrest.call("note", {"id": 1, "word": "one"}, headers={"Content-Profile": "auth"})
    assert (response.status_code, response.json()["code"]) == (406, "PGRST106")
    assert postgrest.notes() == []


# The body


def test_json_that_is_no_object_holds_no_arguments_and_what_is_no_json_is_400(postgrest: Endpoint) -> None:
    """So it calls a function without arguments, and fits no other. NaN and half a character are no JSON: PGRST102."""
    for body in ("", "{}", "[]", "1", '"a"', "null"):
        assert postgrest.call("nothing", content=body, headers=_JSON).status_code == 204
        refused = postgrest.call("add_up", content=body, headers=_JSON)
        assert (refused.status_code, refused.json()["code"]) == (404, "PGRST202")
    for body in ("{", "\xff", '{"a": NaN}', r'{"a": "\ud800"}'):
        response = postgrest.call("add_up", content=body.encode("latin-1"), headers=_JSON)
        assert (response.status_code, response.json()["code"]) == (400, "PGRST102")


def test_a_call_without_a_content_type_is_json(postgrest: Endpoint) -> None:
    """An empty body stands for an empty object."""
    headers = {"apikey": postgrest.service, "Authorization": f"Bearer {postgrest.service}"}
    response = httpx.post(f"{postgrest.url}/rpc/nothing", headers=headers, timeout=20)
    assert response.status_code == 204


# The rest of a request


def test_a_method_that_calls_no_function_is_405(postgrest: Endpoint) -> None:
    """PGRST101."""
    for method in ("PUT", "PATCH", "DELETE"):
        response = postgrest.call("nothing", method=method)
        assert (response.status_code, response.json()["code"]) == (405, "PGRST101")


def test_a_write_by_get_is_405_and_writes_nothing(postgrest: Endpoint) -> None:
    """GET calls in a read-only transaction, or not at all."""
    response = postgrest.call("note", method="GET", params={"id": "1", "word": "one"}, content="")
    assert response.status_code == 405
    assert postgrest.notes() == []


def test_a_function_that_only_reads_may_be_called_by_get_with_its_arguments_in_the_address(postgrest: Endpoint) -> None:
    """As an uptime monitor calls."""
    response = postgrest.call("in_words", method="GET", params={"n": "3"}, content="")
    assert (response.status_code, response.json()) == (200, "3 texts")
    assert postgrest.call("in_words", method="HEAD", params={"n": "3"}, content="").status_code == 200
    assert postgrest.call("in_words", method="GET", params={"m": "3"}, content="").status_code == 404


def test_head_counts_rows_for_which_a_stable_function_need_not_be_called(postgrest: Endpoint) -> None:
    """A volatile one is, so a check that must alarm for HEAD is volatile. By GET both are read-only."""
    for function, by_head in (("stable_trouble", 200), ("volatile_trouble", 503)):
        assert postgrest.call(function, method="GET", content="").status_code == 503
        assert postgrest.call(function, method="HEAD", content="").status_code == by_head


def test_head_does_not_ask_the_grant_of_what_it_does_not_call(postgrest: Endpoint) -> None:
    """So 200 for HEAD says nothing of a right."""
    with psycopg.connect(postgrest.database_url) as connection:
        connection.execute("revoke all on function stable_trouble() from public, anon")
    head = postgrest.call("stable_trouble", method="HEAD", key=postgrest.anon, content="")
    get = postgrest.call("stable_trouble", method="GET", key=postgrest.anon, content="")
    assert (head.status_code, get.status_code) == (200, 401)


def test_a_function_s_own_statement_timeout_holds_for_its_call(postgrest: Endpoint) -> None:
    """PostgREST sets it before the call, for a timeout that a function sets itself comes too late."""
    response = postgrest.call("slower_than_allowed")
    assert (response.status_code, response.json()["code"]) == (500, "57014")
