"""A project's keys, and its tokens, of both kinds, by the letter of Supabase's pages."""

import httpx
import jwt
import pytest

from smsretry.local.postgrest.keys import signing_key
from smsretry.local.stack import Stack
from tests.conftest import Business
from tests.integration.conftest import Command


@pytest.fixture(params=["secret", "service_role"])
def keys(request: pytest.FixtureRequest, stack: Stack) -> dict[str, str | None]:
    """Settings with a project's keys of one kind, and without those of the other."""
    both = dict.fromkeys(("SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_ANON_KEY"))
    if request.param == "secret":
        return both | {
            "SUPABASE_SECRET_KEY": stack.opaque_key("service_role"),
            "SUPABASE_PUBLISHABLE_KEY": stack.opaque_key("anon"),
        }
    return {
        "SUPABASE_SERVICE_ROLE_KEY": stack.key("service_role"),
        "SUPABASE_ANON_KEY": stack.key("anon"),
    }


def test_runner_doctor_and_reader_work_with_a_project_s_keys_of_either_kind(
    keys: dict[str, str | None], stack: Stack, command: Command, business: Business
) -> None:
    """The key itself says which kind it is, whatever the variable is called. Another project's is refused."""
    row = business.due_text()
    assert command("process", **keys).exit_code == 0
    assert business.row(row)["status"] == "completed"
    reader = {"SUPABASE_READER_KEY": stack.key("smsretry_reader")}
    assert command("explain", row, **keys, **reader).exit_code == 0
    doctor = command("doctor", **keys, **reader).stdout
    assert "ok   Supabase connection and key" in doctor
    assert "ok   reader's key" in doctor
    secret = next(value for value in keys.values() if value)
    assert (
        "is a key that can write"
        in (
            command(
                "doctor", **keys, SUPABASE_READER_KEY=stack.opaque_key("service_role")
            )
        ).stdout
    )
    wrong = {name: value and f"{value[:-4]}0000" for name, value in keys.items()}
    told = command("process", **wrong)
    assert (told.exit_code, secret in told.stderr) == (1, False)
    assert "must be a secret (or the service_role) key of this project" in told.stderr


def test_a_secret_key_is_no_token_unless_the_gateway_forgives_it(stack: Stack) -> None:
    """By the page, one in `Authorization` is refused; a live gateway was seen to take it beside the same `apikey`."""
    url = stack.environment()["SUPABASE_URL"] + "/rest/v1/rpc/sms_status"
    key, token = stack.opaque_key("service_role"), stack.key("service_role")

    def status(**headers: str) -> int:
        return httpx.post(url, json={}, headers=headers).status_code

    bearer = {"apikey": key, "Authorization": f"Bearer {key}"}
    assert status(apikey=key) == 200
    assert status(**bearer) == 401
    assert status(apikey=token, Authorization=f"Bearer {key}") == 401
    assert (
        status(apikey=stack.opaque_key("anon"), Authorization=f"Bearer {token}") == 200
    )
    assert status(apikey=stack.opaque_key("anon")) in (401, 403)
    stack.rpc_faults.takes_bearer_keys = True
    assert status(**bearer) == 200
    assert status(apikey=token, Authorization=f"Bearer {key}") == 401


def test_a_token_of_the_signing_key_outlives_the_legacy_secret(
    stack: Stack, command: Command, business: Business
) -> None:
    """Revoking the secret ends each token that it signed, and the older keys with them."""
    key = signing_key(stack.jwt_secret)
    token = jwt.encode(
        {"role": "smsretry_reader"},
        jwt.PyJWK(key),
        algorithm="ES256",
        headers={"kid": key["kid"]},
    )
    row = business.due_text()
    gateway = {"SUPABASE_PUBLISHABLE_KEY": stack.opaque_key("anon")}
    before = gateway | {"SUPABASE_READER_KEY": stack.key("smsretry_reader")}
    after = gateway | {"SUPABASE_READER_KEY": token}

    def exit_codes() -> list[int]:
        return [command("explain", row, **keys).exit_code for keys in (before, after)]

    assert exit_codes() == [0, 0]
    stack.rpc_faults.legacy_is_revoked = True
    assert exit_codes() == [1, 0]
    assert "signed with a key of this project that is not revoked" in (
        command("explain", row, **before).stderr
    )
    assert command("process").exit_code == 1
    assert (
        command(
            "process", SUPABASE_SECRET_KEY=stack.opaque_key("service_role")
        ).exit_code
        == 0
    )
