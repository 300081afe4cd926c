"""What an application does to tables with `.from()`: reading, filters, counting, and who may."""

from typing import Any

import pytest
from postgrest import SyncPostgrestClient
from postgrest.exceptions import APIError

from tests.conformance.conftest import USER, Endpoint

_ONE = "application/vnd.pgrst.object+json"
_LETTERS = [
    {"id": 1, "word": "Anna, 50%", "at": "2026-03-08T07:00:00+00:00", "read": True, "tags": ["a", "b"]},
    {"id": 2, "word": 'b"ee\\', "at": None, "read": None, "tags": None},
    {"id": 3, "word": "anna", "at": "2026-03-09T07:00:00+00:00", "read": False, "tags": []},
]


@pytest.fixture
def letters(postgrest: Endpoint) -> Endpoint:
    """The endpoint, with three letters."""
    assert postgrest.table("POST", "letters", _LETTERS).status_code == 201
    return postgrest


def ids(postgrest: Endpoint, asked: str) -> list[int]:
    """The letters that are found."""
    return [row["id"] for row in postgrest.table("GET", f"letters?select=id&{asked}").json()]


def test_a_table_is_read_as_json(letters: Endpoint) -> None:
    """All columns, or those that are named, in PostgreSQL's own JSON."""
    whole = letters.table("GET", "letters?order=id")
    assert whole.json() == [{"owner": None, **letter} for letter in _LETTERS]
    assert whole.headers["content-range"] == "0-2/*"
    named = letters.table("GET", "letters?select=word,id&id=eq.3")
    assert named.json() == [{"word": "anna", "id": 3}]


def test_filters_choose_rows(letters: Endpoint) -> None:
    """Several are joined by "and"; a value is only ever a value."""
    found = {
        "id=eq.2": [2], "id=neq.2": [1, 3], "id=gt.2": [3], "id=gte.2": [2, 3], "id=lt.2": [1], "id=lte.2": [1, 2],
        "id=in.(1,3)": [1, 3], "id=in.()": [], "id=not.in.(1,3)": [2], 'word=in.("Anna, 50%25",anna)': [1, 3],
        r'word=in.("b\"ee\\")': [2], "word=eq.Anna, 50%25": [1], "word=like.*nna*": [1, 3], "word=like.A%25": [1],
        "word=ilike.ANNA": [3], "word=not.like.*nna*": [2], "at=is.null": [2], "at=not.is.null": [1, 3],
        "read=is.true": [1], "read=is.unknown": [2], "read=eq.false": [3], "at=gt.2026-03-08T12:00:00Z": [3],
        "tags=eq.{a,b}": [1], "id=gt.1&id=lt.3": [2], "word=eq.' or true--": [],
    }  # fmt: skip
    assert {asked: ids(letters, f"order=id&{asked}") for asked in found} == found


def test_rows_are_ordered_and_cut(letters: Endpoint) -> None:
    """As PostgreSQL orders: nulls last, and first in descending order, unless it is told."""
    found = {
        "order=id.desc": [3, 2, 1], "order=at": [1, 3, 2], "order=at.desc": [2, 3, 1],
        "order=at.nullsfirst,id": [2, 1, 3], "order=at.desc.nullslast": [3, 1, 2], "order=id&limit=1": [1],
        "order=id&limit=1&offset=1": [2], "order=id&offset=9": [], "limit=0": [],
    }  # fmt: skip
    assert {asked: ids(letters, asked) for asked in found} == found


def test_an_exact_count_is_in_the_content_range(letters: Endpoint) -> None:
    """206 where there are more rows than are answered; PGRST103 past them."""
    expected = {
        ("GET", "order=id"): (200, "0-2/3"), ("GET", "limit=2"): (206, "0-1/3"),
        ("GET", "offset=1&limit=1"): (206, "1-1/3"), ("HEAD", "id=gt.1"): (200, "0-1/2"),
        ("GET", "id=gt.9"): (200, "*/0"),
    }  # fmt: skip
    for (method, asked), answer in expected.items():
        response = letters.table(method, f"letters?{asked}", prefer="count=exact")
        assert (response.status_code, response.headers["content-range"]) == answer
    beyond = letters.table("GET", "letters?offset=4", prefer="count=exact")
    assert (beyond.status_code, beyond.json()["code"]) == (416, "PGRST103")


def test_one_row_can_be_asked_for_as_an_object(letters: Endpoint) -> None:
    """PGRST116 if there is none, or several."""
    one = letters.table("GET", "letters?select=id&id=eq.1", accept=_ONE)
    assert (one.json(), one.headers["content-type"]) == ({"id": 1}, f"{_ONE}; charset=utf-8")
    for asked, rows in (("id=eq.9", 0), ("id=gt.1", 2)):
        refused = letters.table("GET", f"letters?{asked}", accept=_ONE)
        assert (refused.status_code, refused.json()["code"]) == (406, "PGRST116")
        assert refused.json()["details"] == f"The result contains {rows} rows"


def test_what_is_not_there_is_said(postgrest: Endpoint) -> None:
    """A table by PostgREST, a column by PostgreSQL."""
    expected = {
        "letterz": (404, "PGRST205"), 'letters"': (404, "PGRST205"), "letters?select=nix": (400, "42703"),
        "letters?nix=eq.1": (400, "42703"), "letters?order=nix": (400, "42703"), "letters?id=eq.x": (400, "22P02"),
        "letters?read=is.maybe": (400, "PGRST100"), "letters?id=5": (400, "PGRST100"),
    }  # fmt: skip
    for address, answer in expected.items():
        response = postgrest.table("GET", address)
        assert (response.status_code, response.json()["code"]) == answer, address


def test_a_user_sees_and_writes_what_the_policies_allow(letters: Endpoint) -> None:
    """A missing grant and a policy's refusal are 403 with 42501; rows of others are as if they were not there."""
    anon, user = letters.anon, letters.user
    mine = {"id": 4, "owner": USER, "word": "mine"}
    assert letters.table("POST", "letters", mine, key=anon, token=user).status_code == 201
    assert [row["id"] for row in letters.table("GET", "letters", key=anon, token=user).json()] == [4]
    for method, address, rows in (
        ("POST", "letters", mine | {"id": 5, "owner": None, "word": "not mine"}),
        ("POST", "letters", mine | {"id": 6, "word": "read", "read": True}),
        ("PATCH", "letters?id=eq.4", {"read": True}),
        ("DELETE", "letters?id=eq.4", None),
    ):
        refused = letters.table(method, address, rows, key=anon, token=user)
        assert (refused.status_code, refused.json()["code"]) == (403, "42501"), (method, rows)
    others = letters.table(
        "PATCH", "letters?id=eq.1", {"word": "x"}, key=anon, token=user, prefer="return=representation"
    )
    assert (others.status_code, others.json()) == (200, [])
    stranger = letters.table("GET", "letters", key=anon)
    assert (stranger.status_code, stranger.json()["code"]) == (401, "42501")


def test_the_clients_library_works_on_tables(postgrest: Endpoint) -> None:
    """supabase-py's own: insert, select, update, upsert, count, single and delete."""
    headers = {"apikey": postgrest.service, "Authorization": f"Bearer {postgrest.service}"}
    with SyncPostgrestClient(postgrest.url, headers=headers) as client:
        letters: Any = client.from_("letters")  # its types say of a row only that it is JSON
        made = letters.insert([{"id": 1, "word": "one"}, {"id": 2, "word": "two"}]).execute()
        assert [row["word"] for row in made.data] == ["one", "two"]
        assert letters.update({"word": "uno"}).eq("id", 1).execute().data[0]["word"] == "uno"
        letters.upsert([{"id": 2, "word": "due"}, {"id": 3, "word": "tre"}], on_conflict="id").execute()
        counted = letters.select("id", count="exact").in_("word", ["due", "tre"]).order("id").limit(1).execute()
        assert (counted.data, counted.count) == ([{"id": 2}], 2)
        assert letters.select("word").eq("id", 3).single().execute().data == {"word": "tre"}
        assert letters.select("word").eq("id", 9).maybe_single().execute() is None
        with pytest.raises(APIError) as caught:
            letters.insert({"id": 1, "word": "again"}).execute()
        assert caught.value.code == "23505"
        assert {row["id"] for row in letters.delete().gt("id", 1).execute().data} == {2, 3}
