"""What a function returns, and how PostgREST puts it into JSON."""

from tests.conformance.conftest import USER, Endpoint


def test_each_kind_of_result_is_its_json(postgrest: Endpoint) -> None:
    """Arguments are matched by name, and one with a default may be left out; null is a value. A composite is an object,
    a set an array, also an empty one. A void function has no body, not even null.
    """
    postgrest.call("note", {"id": 4, "word": "four"})
    for function, arguments, answer in (
        ("add_up", {"a": 1, "b": 2}, 3),
        ("add_up", {"a": 1}, 11),
        ("add_up", {"a": 1, "b": None}, None),
        ("nil", None, None),
        ("numbers", {"n": 0}, []),
    ):
        response = postgrest.call(function, arguments)
        assert (response.status_code, response.json()) == (200, answer)
        assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert postgrest.call("one_note").json()["word"] == "four"
    void = postgrest.call("nothing")
    assert (void.status_code, void.content, "content-type" in void.headers) == (
        204,
        b"",
        False,
    )
    assert "content-range" in void.headers


def test_a_table_is_answered_as_an_array_in_postgresqls_own_json(
    postgrest: Endpoint,
) -> None:
    """Timestamps, numbers, arrays and nested JSON look as row_to_json writes them."""
    response = postgrest.call("pairs", {"n": 1})
    row = {
        "i": 1,
        "at": "2026-03-08T07:00:00.5+00:00",
        "price": 1.50,
        "tags": ["a", "b"],
        "more": {"k": None},
    }
    assert response.json() == [row]
    assert '"price":1.50' in response.text
    assert response.headers["content-range"] == "0-0/*"
    assert postgrest.call("notes_all").headers["content-range"] == "*/*"


def test_rows_beyond_the_limit_are_cut_off_without_a_word(postgrest: Endpoint) -> None:
    """Supabase answers at most 1000 rows, with status 200."""
    response = postgrest.call("numbers", {"n": 1500})
    assert (response.status_code, response.json()) == (200, list(range(1, 1001)))
    assert len(postgrest.call("pairs", {"n": 1001}).json()) == 1000


def test_each_argument_arrives_in_its_declared_type(postgrest: Endpoint) -> None:
    """Strings become uuids and timestamps, arrays become arrays, objects stay JSON, quotes are harmless."""
    arguments = {
        "u": USER, "t": "2026-03-08T02:00:00-05:00", "j": {"a": [1]}, "l": [1, 2],
        "s": "O'Hara \"x\"; -- %s {}", "f": True,
    }  # fmt: skip
    assert postgrest.call("shapes", arguments).json() == arguments | {
        "t": "2026-03-08T07:00:00+00:00"
    }
