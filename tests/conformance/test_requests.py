"""Which function a request means, and which requests are refused before any function is called."""

import httpx

from tests.conformance.conftest import Endpoint

_JSON = {"Content-Type": "application/json"}


def test_an_unknown_function_is_refused_in_postgrests_words(
    postgrest: Endpoint,
) -> None:
    """PGRST202. Its hint is the one thing that the stand-in leaves out. The words for "no arguments" are others."""
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
    message = postgrest.call("add_up").json()["message"]
    assert (
        message
        == "Could not find the function public.add_up without parameters in the schema cache"
    )


def test_what_means_no_function_calls_none(postgrest: Endpoint) -> None:
    """Names from the request are identifiers whatever they hold. Between two that fit PostgREST does not choose."""
    for function, arguments, refusal in (
        ("add_up", {"a": 1, "c": 2}, (404, "PGRST202")),
        ("add_up", {"b": 1}, (404, "PGRST202")),
        ('add_up"(1)--', {"a": 1}, (404, "PGRST202")),
        ("add_up", {'a" int); drop table public.notes; --': 1}, (404, "PGRST202")),
        ("overloaded", {"a": 1}, (300, "PGRST203")),
        (
            "nothing/more",
            None,
            (404, "PGRST125"),
        ),  # as when SUPABASE_URL has a path too many
    ):
        assert postgrest.refusal(function, arguments) == refusal, function
    other_schema = {"Content-Profile": "auth"}
    assert postgrest.refusal(
        "note", {"id": 1, "word": "one"}, headers=other_schema
    ) == (406, "PGRST106")
    assert postgrest.notes() == []


def test_json_that_is_no_object_holds_no_arguments_and_what_is_no_json_is_400(
    postgrest: Endpoint,
) -> None:
    """So it calls a function without arguments, and fits no other. NaN and half a character are no JSON: PGRST102."""
    for body in ("", "{}", "[]", "1", '"a"', "null"):
        assert postgrest.call("nothing", content=body, headers=_JSON).status_code == 204
        assert postgrest.refusal("add_up", content=body, headers=_JSON) == (
            404,
            "PGRST202",
        )
    for body in ("{", "\xff", '{"a": NaN}', r'{"a": "\ud800"}'):
        assert postgrest.refusal(
            "add_up", content=body.encode("latin-1"), headers=_JSON
        ) == (400, "PGRST102")
    headers = {
        "apikey": postgrest.service,
        "Authorization": f"Bearer {postgrest.service}",
    }
    assert (
        httpx.post(
            f"{postgrest.url}/rpc/nothing", headers=headers, timeout=20
        ).status_code
        == 204
    )  # of no type


def test_only_post_and_get_call_a_function_and_get_writes_nothing(
    postgrest: Endpoint,
) -> None:
    """GET calls in a read-only transaction, or not at all; its arguments stand in the address. HEAD counts rows, and
    calls no stable function: a check that must alarm for HEAD is volatile.
    """
    for method in ("PUT", "PATCH", "DELETE"):
        assert postgrest.refusal("nothing", method=method) == (405, "PGRST101")
    for function, method, params, status in (
        ("note", "GET", {"id": "1", "word": "one"}, 405), ("in_words", "GET", {"m": "3"}, 404),
        ("in_words", "HEAD", {"n": "3"}, 200), ("stable_trouble", "GET", {}, 503), ("stable_trouble", "HEAD", {}, 200),
        ("volatile_trouble", "GET", {}, 503), ("volatile_trouble", "HEAD", {}, 503),
    ):  # fmt: skip
        answer = postgrest.call(function, method=method, params=params, content="")
        assert answer.status_code == status, (function, method)
    assert postgrest.notes() == []
    response = postgrest.call("in_words", method="GET", params={"n": "3"}, content="")
    assert (response.status_code, response.json()) == (200, "3 texts")


def test_a_function_s_own_statement_timeout_holds_for_its_call(
    postgrest: Endpoint,
) -> None:
    """PostgREST sets it before the call, for a timeout that a function sets itself comes too late."""
    assert postgrest.refusal("slower_than_allowed") == (500, "57014")
