"""What an error of the database becomes: a status, and PostgreSQL's four fields."""

import pytest
from postgrest.exceptions import APIError

from tests.conformance.conftest import Endpoint

STATUSES = {
    400: ("22P02", "23502", "23514", "42601", "P0001"),
    403: ("0L000", "0P000", "28000", "42501"),
    404: ("42883", "42P01"),
    405: ("25006",),
    409: ("23503", "23505"),
    429: ("PT429",),  # a function may choose its status itself
    500: (
        "09000",
        "21000",
        "25P02",
        "53400",
        "54001",
        "55P03",
        "57014",
        "P0002",
        "XX000",
    ),
    503: ("08006", "53300"),
}
"""https://docs.postgrest.org/en/v13/references/errors.html

Not among them: 40001 and 40P01, which PostgREST repeats by itself without end, and 57P01, which it takes for the end of
its connection.
"""


def test_an_error_of_the_function_has_postgresqls_four_fields_and_the_status_of_postgrests_table(
    postgrest: Endpoint,
) -> None:
    """Proxy-Status names the code too: it tells PostgREST's answer from a proxy's."""
    for status, states in STATUSES.items():
        for state in states:
            response = postgrest.call("fail", {"state": state, "message": "no"})
            assert response.status_code == status, state
            expected = {
                "code": state,
                "details": "the detail",
                "hint": "the hint",
                "message": "no",
            }
            assert state == "PT429" or response.json() == expected
            assert response.headers["proxy-status"] == f"PostgREST; error={state}"


def test_a_failed_call_is_rolled_back_and_a_stable_function_may_not_write(
    postgrest: Endpoint,
) -> None:
    """PostgREST calls it in a read-only transaction. A value of the wrong type PostgreSQL itself refuses."""
    assert postgrest.call("note", {"id": 1, "word": "one"}).status_code == 204
    assert postgrest.refusal("note", {"id": 1, "word": "again"}) == (409, "23505")
    assert postgrest.refusal("add_up", {"a": "x"}) == (400, "22P02")
    assert postgrest.refusal("note_stable", {"id": 1}) == (405, "25006")
    assert postgrest.notes() == [1]


def test_the_clients_library_raises_the_errors_code(postgrest: Endpoint) -> None:
    """Its APIError, which is supabase-py's too, holds the four fields."""
    with postgrest.client() as client, pytest.raises(APIError) as caught:
        client.rpc("fail", {"state": "23514", "message": "check"}).execute()
    assert (caught.value.code, caught.value.message, caught.value.hint) == (
        "23514",
        "check",
        "the hint",
    )
