"""What an error of the database becomes: a status, and PostgreSQL's four fields."""

import pytest
from postgrest import SyncPostgrestClient
from postgrest.exceptions import APIError

from tests.conformance.conftest import Endpoint


def test_an_error_of_the_function_has_postgresqls_four_fields(postgrest: Endpoint) -> None:
    """Code, details, hint and message."""
    response = postgrest.call("fail", {"state": "P0001", "message": "no"})
    assert response.status_code == 400
    assert response.json() == {"code": "P0001", "details": "the detail", "hint": "the hint", "message": "no"}


def test_the_header_names_the_code_too(postgrest: Endpoint) -> None:
    """Proxy-Status tells PostgREST's answer from a proxy's."""
    response = postgrest.call("fail", {"state": "P0001", "message": "no"})
    assert response.headers["proxy-status"] == "PostgREST; error=P0001"


def test_a_function_chooses_its_status_with_pt(postgrest: Endpoint) -> None:
    """`raise sqlstate 'PT402'` is HTTP 402."""
    assert postgrest.call("fail", {"state": "PT402", "message": "pay"}).status_code == 402


@pytest.mark.parametrize(
    ("sqlstate", "status"),
    [
        ("08006", 503), ("09000", 500), ("0L000", 403), ("0P000", 403), ("21000", 500), ("22P02", 400), ("23502", 400),
        ("23503", 409), ("23505", 409), ("23514", 400), ("25006", 405), ("25P02", 500), ("28000", 403), ("42501", 403),
        ("42601", 400), ("42883", 404), ("42P01", 404), ("53300", 503), ("53400", 500), ("54001", 500), ("55P03", 500),
        ("57014", 500), ("P0001", 400), ("P0002", 500), ("PT429", 429), ("XX000", 500),
    ],
)  # fmt: skip
def test_the_http_status_follows_postgrests_table(postgrest: Endpoint, sqlstate: str, status: int) -> None:
    """https://docs.postgrest.org/en/v13/references/errors.html

    Not among them: 40001 and 40P01, which PostgREST repeats by itself without end, and 57P01, which it takes for the
    end of its connection.
    """
    response = postgrest.call("fail", {"state": sqlstate, "message": "no"})
    assert (response.status_code, response.json()["code"]) == (status, sqlstate)


def test_a_duplicate_is_409_and_nothing_is_written(postgrest: Endpoint) -> None:
    """A failed call is rolled back."""
    assert postgrest.call("note", {"id": 1, "word": "one"}).status_code == 204
    response = postgrest.call("note", {"id": 1, "word": "again"})
    assert (response.status_code, response.json()["code"]) == (409, "23505")
    assert postgrest.notes() == [1]


def test_a_value_of_the_wrong_type_is_400(postgrest: Endpoint) -> None:
    """PostgreSQL itself refuses it."""
    response = postgrest.call("add_up", {"a": "x"})
    assert (response.status_code, response.json()["code"]) == (400, "22P02")


def test_a_stable_function_may_not_write(postgrest: Endpoint) -> None:
    """PostgREST calls it in a read-only transaction."""
    response = postgrest.call("note_stable", {"id": 1})
    assert (response.status_code, response.json()["code"]) == (405, "25006")


def test_the_clients_library_raises_the_errors_code(postgrest: Endpoint) -> None:
    """Its APIError, which is supabase-py's too, holds the four fields."""
    headers = {"apikey": postgrest.service, "Authorization": f"Bearer {postgrest.service}"}
    with SyncPostgrestClient(postgrest.url, headers=headers) as client, pytest.raises(APIError) as caught:
        client.rpc("fail", {"state": "23514", "message": "check"}).execute()
    assert (caught.value.code, caught.value.message, caught.value.hint) == ("23514", "check", "the hint")
