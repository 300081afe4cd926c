"""Who is asking: the API key tells Supabase's gateway, then the bearer token tells PostgREST.

The gateway only knows keys and does not look at a key's expiry; PostgREST reads the role and the claims from the
bearer token, or from the key where there is no such header.
Sources: https://supabase.com/docs/guides/api/api-keys; https://docs.postgrest.org/en/v13/references/auth.html
"""

from collections.abc import Mapping
from typing import Any, Final, Literal, get_args

import jwt
from starlette.requests import Request

from smsretry.local.postgrest.errors import Refusal, refusal

Role = Literal["anon", "authenticated", "service_role"]
_ROLES: Final = get_args(Role)
_LEEWAY_SECONDS: Final = 30  # PostgREST's, for clocks that differ
_NO_KEY: Final = {
    "message": "No API key found in request",
    "hint": "No `apikey` request header or url param was found.",
}
_WRONG_KEY: Final = {
    "message": "Invalid API key",
    "hint": "Double check your Supabase `anon` or `service_role` API key.",
}


def api_key(
    role: Role | Literal["smsretry_reader"], *, jwt_secret: str, sub: str | None = None
) -> str:
    """A key for this role, without expiry; with `sub` the token of that user. The secret: 32 characters or more."""
    claims = {"iss": "supabase", "role": role} | ({} if sub is None else {"sub": sub})
    return jwt.encode(claims, jwt_secret, algorithm="HS256")


def claims_of(request: Request, *, jwt_secret: str) -> Mapping[str, Any]:
    """The claims of a request, `role` always among them. The database knows which roles there are. Raises Refusal."""
    key = _let_in(request, jwt_secret)
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    claims = _verified(
        token.strip() if scheme.lower() == "bearer" and token.strip() else key,
        jwt_secret,
    )
    return {**claims, "role": claims.get("role", "anon")}


def _let_in(request: Request, jwt_secret: str) -> str:
    """The key that the gateway lets in. Raises Refusal."""
    key = request.headers.get("apikey") or request.query_params.get("apikey")
    if not key:
        raise Refusal(401, _NO_KEY)
    try:
        # A key is compared as a whole at the gateway, so only its signature counts here.
        at_gateway = jwt.decode(
            key,
            jwt_secret,
            algorithms=["HS256"],
            options={"verify_exp": False, "verify_aud": False},
        )
    except jwt.InvalidTokenError as error:
        raise Refusal(401, _WRONG_KEY) from error
    if at_gateway.get("role") not in _ROLES:
        raise Refusal(401, _WRONG_KEY)
    return key


def no_role(message: str) -> Refusal:
    """The refusal of a token whose role the database does not have, in its words."""
    return _bad_token("22023", message)


def _verified(token: str, jwt_secret: str) -> dict[str, Any]:
    try:
        return jwt.decode(
            token,
            jwt_secret,
            algorithms=["HS256"],
            options={"verify_aud": False},
            leeway=_LEEWAY_SECONDS,
        )
    except jwt.ExpiredSignatureError as error:
        raise _bad_token("PGRST303", "JWT expired") from error
    except jwt.ImmatureSignatureError as error:
        raise _bad_token("PGRST303", "JWT not yet valid") from error
    except jwt.InvalidTokenError as error:
        raise _bad_token("PGRST301", "No suitable key or wrong key type") from error


def _bad_token(code: str, message: str) -> Refusal:
    header = f'Bearer error="invalid_token", error_description="{message}"'
    return refusal(
        401,
        code,
        message,
        headers={"WWW-Authenticate": header} if code.startswith("PGRST") else None,
    )
