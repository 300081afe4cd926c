"""Who calls: the token's role, its claims, and what that role may do."""

import time

import jwt
import psycopg

from smsretry.local.postgrest.keys import api_key
from tests.conformance.conftest import USER, Endpoint


def test_a_call_runs_in_the_tokens_role_with_its_claims(postgrest: Endpoint) -> None:
    """The bearer token says who asks; the key only lets in."""
    answer = postgrest.call("who", key=postgrest.anon, token=postgrest.user).json()
    assert answer == {"role": "authenticated", "uid": USER, "claimed": "authenticated"}
    assert postgrest.call("who").json() == {"role": "service_role", "uid": None, "claimed": "service_role"}
    assert postgrest.call("who", key=postgrest.anon).json()["role"] == "anon"


def test_an_expired_token_is_refused(postgrest: Endpoint) -> None:
    """PGRST303, and the header says why."""
    response = postgrest.call("nothing", key=postgrest.anon, token=postgrest.token(role="authenticated", exp=1))
    answer = response.json()
    assert (response.status_code, answer["code"], answer["message"]) == (401, "PGRST303", "JWT expired")
    assert "invalid_token" in response.headers["www-authenticate"]


def test_clocks_may_differ_by_thirty_seconds(postgrest: Endpoint) -> None:
    """A token that expired ten seconds ago, or begins in ten, is good."""
    now = int(time.time())
    for claims in ({"exp": now - 10}, {"nbf": now + 10}, {"iat": now + 10}):
        token = postgrest.token(role="service_role", **claims)
        assert postgrest.call("nothing", token=token).status_code == 204
    for claims in ({"exp": now - 90}, {"nbf": now + 90}, {"iat": now + 90}):
        token = postgrest.token(role="service_role", **claims)
        assert postgrest.call("nothing", token=token).status_code == 401


def test_a_token_that_nobody_here_signed_is_401(postgrest: Endpoint) -> None:
    """PGRST301 or PGRST300-something; the words differ by version."""
    for token in (
        "not a token",
        api_key("service_role", jwt_secret="some other secret of at least 32 characters"),
        jwt.encode({"role": "service_role"}, "", algorithm="none"),
    ):
        response = postgrest.call("nothing", key=postgrest.anon, token=token)
        assert response.status_code == 401
        assert response.json()["code"].startswith("PGRST30")


def test_a_role_that_does_not_exist_is_401(postgrest: Endpoint) -> None:
    """22023, in PostgreSQL's own words."""
    response = postgrest.call("nothing", token=postgrest.token(role="nobody at all"))
    assert (response.status_code, response.json()["code"]) == (401, "22023")
    assert response.json()["message"] == 'role "nobody at all" does not exist'


def test_a_role_of_one_s_own_does_what_it_is_granted_and_nothing_else(postgrest: Endpoint) -> None:
    """Once the login may become it; 403 before, and for what it may not."""
    token = postgrest.token(role="conformance_monitor")
    with psycopg.connect(postgrest.database_url, autocommit=True) as connection:
        connection.execute("create role conformance_monitor nologin")
        try:
            assert postgrest.call("for_service", token=token).status_code == 403
            connection.execute(
                """grant conformance_monitor to authenticator; grant usage on schema public to conformance_monitor;
                   grant execute on function public.for_service() to conformance_monitor"""
            )
            assert postgrest.call("for_service", token=token).json() == 1
            assert postgrest.call("notes_all", token=token).status_code == 403
        finally:
            connection.execute("drop owned by conformance_monitor; drop role conformance_monitor")


def test_a_function_one_may_not_call_is_401_for_anon_and_403_for_a_user(postgrest: Endpoint) -> None:
    """42501: a missing grant, not a wrong key; and service_role may."""
    refused = postgrest.call("for_service", key=postgrest.anon)
    assert (refused.status_code, refused.json()["code"]) == (401, "42501")
    assert postgrest.call("for_service", key=postgrest.anon, token=postgrest.user).status_code == 403
    assert postgrest.call("for_service").json() == 1


def test_row_level_security_holds_for_a_user_and_not_for_service_role(postgrest: Endpoint) -> None:
    """Supabase's defaults let anyone execute and select; a table's rows are kept by its policies."""
    postgrest.call("note", {"id": 1, "word": "one"})
    assert postgrest.call("notes_all", key=postgrest.anon, token=postgrest.user).json() == []
    assert len(postgrest.call("notes_all").json()) == 1
    refused = postgrest.call("note", {"id": 2, "word": "two"}, key=postgrest.anon, token=postgrest.user)
    assert refused.status_code == 403
    assert postgrest.notes() == [1]


def test_new_functions_are_open_to_everyone_by_supabases_defaults(postgrest: Endpoint) -> None:
    """What our migrations must therefore revoke."""
    privileges = """
        select has_function_privilege('anon', 'public.nothing()', 'execute'),
               has_table_privilege('authenticated', 'public.notes', 'delete')
    """
    with psycopg.connect(postgrest.database_url) as connection:
        assert connection.execute(privileges).fetchone() == (True, True)
