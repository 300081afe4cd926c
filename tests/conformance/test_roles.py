"""Who calls: the token's role, its claims, and what that role may do."""

import time

import jwt
import psycopg

from smsretry.local.postgrest.keys import api_key
from tests.conformance.conftest import USER, Endpoint
from tests.support.records import Record


def test_a_call_runs_in_the_tokens_role_with_its_claims(postgrest: Endpoint) -> None:
    """The bearer token says who asks; the key only lets in."""
    answer = postgrest.call("who", key=postgrest.anon, token=postgrest.user).json()
    assert answer == {"role": "authenticated", "uid": USER, "claimed": "authenticated"}
    assert postgrest.call("who").json() == {
        "role": "service_role",
        "uid": None,
        "claimed": "service_role",
    }
    assert postgrest.call("who", key=postgrest.anon).json()["role"] == "anon"


def test_an_expired_token_is_refused_and_clocks_may_differ_by_thirty_seconds(
    postgrest: Endpoint,
) -> None:
    """PGRST303, and the header says why. A token that expired ten seconds ago, or begins in ten, is good."""
    now = int(time.time())
    for status, seconds in ((204, 10), (401, 90)):
        for claims in (
            {"exp": now - seconds},
            {"nbf": now + seconds},
            {"iat": now + seconds},
        ):
            token = postgrest.token(role="service_role", **claims)
            assert postgrest.call("nothing", token=token).status_code == status
    response = postgrest.call(
        "nothing",
        key=postgrest.anon,
        token=postgrest.token(role="authenticated", exp=1),
    )
    answer = response.json()
    assert (response.status_code, answer["code"], answer["message"]) == (
        401,
        "PGRST303",
        "JWT expired",
    )
    assert "invalid_token" in response.headers["www-authenticate"]


def test_a_token_that_nobody_here_signed_is_401(postgrest: Endpoint) -> None:
    """PGRST301 or PGRST300-something; the words differ by version. For an unknown role they are PostgreSQL's own."""
    for token in (
        "not a token",
        api_key(
            "service_role", jwt_secret="some other secret of at least 32 characters"
        ),
        jwt.encode({"role": "service_role"}, "", algorithm="none"),
    ):
        status, code = postgrest.refusal("nothing", key=postgrest.anon, token=token)
        assert (status, code[:7]) == (401, "PGRST30")
    nobody = postgrest.call("nothing", token=postgrest.token(role="nobody at all"))
    assert (nobody.status_code, nobody.json()["code"]) == (401, "22023")
    assert nobody.json()["message"] == 'role "nobody at all" does not exist'


def test_grants_and_row_level_security_hold_for_a_user_and_not_for_service_role(
    postgrest: Endpoint,
) -> None:
    """42501: a missing grant, not a wrong key. Anyone may execute and select, and a table's rows are kept."""
    user: Record = {"key": postgrest.anon, "token": postgrest.user}
    postgrest.call("note", {"id": 1, "word": "one"})
    assert postgrest.refusal("for_service", key=postgrest.anon) == (401, "42501")
    assert postgrest.refusal("for_service", **user) == (403, "42501")
    for method, status in (("GET", 403), ("HEAD", 200)):  # which does not call it
        answer = postgrest.call("read_for_service", method=method, content="", **user)
        assert answer.status_code == status
    assert postgrest.refusal("note", {"id": 2, "word": "two"}, **user) == (403, "42501")
    assert postgrest.call("notes_all", **user).json() == []
    assert (
        postgrest.call("for_service").json(),
        len(postgrest.call("notes_all").json()),
    ) == (1, 1)
    assert postgrest.notes() == [1]


def test_new_functions_are_open_to_everyone_by_postgresqls_defaults(
    postgrest: Endpoint,
) -> None:
    """What our migrations must therefore revoke."""
    privilege = "select has_function_privilege('anon', 'public.nothing()', 'execute')"
    with psycopg.connect(postgrest.database_url) as connection:
        assert connection.execute(privilege).fetchone() == (True,)
