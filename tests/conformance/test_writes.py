"""What an application writes into tables with `.from()`: insert, update, upsert, delete, and what each answers."""

from typing import Any

import httpx
import psycopg

from tests.conformance.conftest import Endpoint

_ONE = "application/vnd.pgrst.object+json"
_ROWS = "return=representation"


def words(postgrest: Endpoint) -> dict[int, str]:
    """The letters that were committed."""
    with psycopg.connect(postgrest.database_url) as connection:
        return dict(connection.execute("select id, word from public.letters order by id").fetchall())


def test_an_insert_answers_nothing_unless_the_rows_are_asked_for(postgrest: Endpoint) -> None:
    """201 in any case."""
    minimal = postgrest.table("POST", "letters", {"id": 1, "word": "one"})
    assert (minimal.status_code, minimal.content, minimal.headers["content-range"]) == (201, b"", "*/*")
    full = postgrest.table("POST", "letters?select=id,word", [{"id": 2, "word": "two"}], prefer=_ROWS)
    assert (full.status_code, full.json()) == (201, [{"id": 2, "word": "two"}])
    counted = postgrest.table("POST", "letters", {"id": 3, "word": "three"}, prefer="count=exact")
    assert counted.headers["content-range"] == "*/1"
    assert words(postgrest) == {1: "one", 2: "two", 3: "three"}


def test_preferences_may_come_in_several_headers(postgrest: Endpoint) -> None:
    """Each counts."""
    headers = [("apikey", postgrest.service), ("Authorization", f"Bearer {postgrest.service}")]
    headers += [("Prefer", "count=exact"), ("Prefer", "return=representation")]
    answer = httpx.post(f"{postgrest.url}/letters", json={"id": 1, "word": "one"}, headers=headers, timeout=20)
    assert (answer.json()[0]["id"], answer.headers["content-range"]) == (1, "*/1")


def test_an_inserted_row_can_be_answered_as_an_object(postgrest: Endpoint) -> None:
    """`.insert().select().single()`; two rows are PGRST116, and nothing is written."""
    one = postgrest.table("POST", "letters?select=id", {"id": 1, "word": "one"}, prefer=_ROWS, accept=_ONE)
    assert (one.status_code, one.json()) == (201, {"id": 1})
    two = [{"id": 2, "word": "two"}, {"id": 3, "word": "three"}]
    refused = postgrest.table("POST", "letters", two, prefer=_ROWS, accept=_ONE)
    assert (refused.status_code, refused.json()["code"]) == (406, "PGRST116")
    assert words(postgrest) == {1: "one"}


def test_a_row_that_does_not_fit_is_refused_and_none_is_written(postgrest: Endpoint) -> None:
    """One request is one statement."""
    postgrest.table("POST", "letters", {"id": 1, "word": "one"})
    refusals: list[tuple[Any, int, str]] = [
        ({"id": 1, "word": "again"}, 409, "23505"), ({"id": 2}, 400, "23502"), ({"id": "x", "word": "x"}, 400, "22P02"),
        ({"id": 2, "wort": "x"}, 400, "PGRST204"), ([{"id": 2, "word": "x"}, {"id": 3}], 400, "PGRST102"),
        ([{"id": 2, "word": "x"}, {"id": 1, "word": "y"}], 409, "23505"), ({}, 400, "23502"),
    ]  # fmt: skip
    for rows, status, code in refusals:
        response = postgrest.table("POST", "letters", rows)
        assert (response.status_code, response.json()["code"]) == (status, code), rows
    assert words(postgrest) == {1: "one"}


def test_columns_say_which_keys_count(postgrest: Endpoint) -> None:
    """As the client's library sends them for several rows: a missing key is null, another one is ignored."""
    rows = [{"id": 1, "word": "one", "nix": 1}, {"id": 2, "word": "two", "read": True}]
    answer = postgrest.table("POST", 'letters?columns="id","word","read"&select=id,read', rows, prefer=_ROWS)
    assert answer.json() == [{"id": 1, "read": None}, {"id": 2, "read": True}]
    assert postgrest.table("POST", "letters", []).status_code == 201
    assert postgrest.table("POST", "letters?columns=nix", rows).json()["code"] == "PGRST204"


def test_an_update_changes_the_rows_that_fit(postgrest: Endpoint) -> None:
    """204, or 200 with the rows; none is no error."""
    postgrest.table("POST", "letters", [{"id": 1, "word": "one"}, {"id": 2, "word": "two"}])
    assert postgrest.table("PATCH", "letters?id=eq.1", {"word": "uno"}).status_code == 204
    full = postgrest.table("PATCH", "letters?id=eq.2&select=word", {"word": "due"}, prefer=f"{_ROWS},count=exact")
    assert (full.status_code, full.json(), full.headers["content-range"]) == (200, [{"word": "due"}], "0-0/1")
    assert postgrest.table("PATCH", "letters?id=eq.9", {"word": "x"}).status_code == 204
    assert postgrest.table("PATCH", "letters?id=eq.1", {}, prefer=_ROWS).json() == []
    none = postgrest.table("PATCH", "letters?id=eq.9", {"word": "x"}, prefer=_ROWS, accept=_ONE)
    assert (none.status_code, none.json()["code"]) == (406, "PGRST116")
    assert words(postgrest) == {1: "uno", 2: "due"}


def test_a_delete_takes_the_rows_that_fit(postgrest: Endpoint) -> None:
    """204, or 200 with the rows."""
    postgrest.table("POST", "letters", [{"id": n, "word": str(n)} for n in range(4)])
    assert postgrest.table("DELETE", "letters?id=eq.0").status_code == 204
    full = postgrest.table("DELETE", "letters?id=gt.1&select=id", prefer=f"{_ROWS},count=exact")
    assert (full.status_code, full.headers["content-range"]) == (200, "*/2")
    assert {row["id"] for row in full.json()} == {2, 3}
    assert words(postgrest) == {1: "1"}


def test_an_upsert_merges_by_the_key_or_by_the_columns_it_names(postgrest: Endpoint) -> None:
    """201 if a row was inserted, 200 if all were there."""
    postgrest.table("POST", "letters", {"id": 1, "word": "one"})
    merge = f"resolution=merge-duplicates,{_ROWS}"
    rows = [{"id": 1, "word": "uno"}, {"id": 2, "word": "due"}]
    answer = postgrest.table("POST", "letters?select=id,word", rows, prefer=merge)
    assert (answer.status_code, answer.json()) == (201, rows)
    assert postgrest.table("POST", "letters", rows, prefer=merge).status_code == 200
    by_word = postgrest.table("POST", "letters?on_conflict=word", {"id": 7, "word": "due"}, prefer=merge)
    assert by_word.status_code == 200
    assert words(postgrest) == {1: "uno", 7: "due"}


def test_an_upsert_may_ignore_what_is_there(postgrest: Endpoint) -> None:
    """Only what was inserted is answered; another key's conflict is still one."""
    postgrest.table("POST", "letters", {"id": 1, "word": "one"})
    ignore = f"resolution=ignore-duplicates,{_ROWS}"
    rows = [{"id": 1, "word": "uno"}, {"id": 2, "word": "due"}]
    answer = postgrest.table("POST", "letters?select=id", rows, prefer=ignore)
    assert (answer.status_code, answer.json()) == (201, [{"id": 2}])
    refused = postgrest.table("POST", "letters", {"id": 3, "word": "one"}, prefer=ignore)
    assert (refused.status_code, refused.json()["code"]) == (409, "23505")
    assert words(postgrest) == {1: "one", 2: "due"}


def test_an_upsert_needs_a_unique_key(postgrest: Endpoint) -> None:
    """42P10, in PostgreSQL's words."""
    row = {"id": 1, "word": "one", "read": True}
    refused = postgrest.table("POST", "letters?on_conflict=read", row, prefer="resolution=merge-duplicates")
    assert (refused.status_code, refused.json()["code"]) == (400, "42P10")
