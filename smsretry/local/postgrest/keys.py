"""Who is asking: the API key tells Supabase's gateway, then the bearer token tells PostgREST.

A project has keys of two kinds. The older ones are tokens, signed with its JWT secret. A publishable or secret key is
none: the gateway takes it in `apikey` alone, and tells PostgREST its role. The gateway does not look at a key's expiry;
PostgREST reads the role and the claims from the bearer token, or from the key where there is no such header. Tokens may
be signed with the JWT secret, until it is revoked, or with the project's signing key.
Sources: https://supabase.com/docs/guides/api/api-keys ("Known limitations");
https://supabase.com/docs/guides/auth/signing-keys; https://docs.postgrest.org/en/v13/references/auth.html
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final, Literal, get_args

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from starlette.requests import Request

from smsretry.local.postgrest.errors import Refusal, refusal
from smsretry.local.postgrest.faults import RpcFaults

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


def opaque_key(role: Literal["anon", "service_role"], *, jwt_secret: str) -> str:
    """The publishable or the secret key of the project with this JWT secret."""
    kind = "publishable" if role == "anon" else "secret"
    return f"sb_{kind}_{hashlib.sha256(f'{role} {jwt_secret}'.encode()).hexdigest()}"


def signing_key(jwt_secret: str) -> dict[str, Any]:
    """The private signing key of the project with this JWT secret, as `supabase gen signing-key` prints one (ES256)."""
    number = int.from_bytes(hashlib.sha256(jwt_secret.encode()).digest())
    key = ec.derive_private_key(number, ec.SECP256R1())
    return {**ECAlgorithm.to_jwk(key, as_dict=True), "kid": "1", "alg": "ES256"}


def claims_of(
    request: Request, *, jwt_secret: str, faults: RpcFaults
) -> Mapping[str, Any]:
    """The claims of a request, `role` always among them. The database knows which roles there are. Raises Refusal."""
    key = request.headers.get("apikey") or request.query_params.get("apikey")
    if not key:
        raise Refusal(401, _NO_KEY)
    role = _role_at_gateway(key, jwt_secret, faults)
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    token = token.strip() if scheme.lower() == "bearer" else ""
    if token == key and faults.takes_bearer_keys:
        token = ""
    if key.startswith("sb_") and not token:
        return {"role": role}
    claims = _verified(token or key, jwt_secret, faults)
    return {**claims, "role": claims.get("role", "anon")}


def _role_at_gateway(key: str, jwt_secret: str, faults: RpcFaults) -> str:
    """The role of a key that the gateway lets in. Raises Refusal."""
    for role in ("anon", "service_role"):
        if key == opaque_key(role, jwt_secret=jwt_secret):
            return role
    try:
        # A key is compared as a whole at the gateway, so only its signature counts here.
        at_gateway = _decode(key, jwt_secret, faults, verify_exp=False)
    except jwt.InvalidTokenError as error:
        raise Refusal(401, _WRONG_KEY) from error
    if at_gateway.get("role") not in _ROLES:
        raise Refusal(401, _WRONG_KEY)
    return str(at_gateway["role"])


def _decode(
    token: str, jwt_secret: str, faults: RpcFaults, *, verify_exp: bool = True
) -> dict[str, Any]:
    """The claims of a token that this project signed. Raises jwt.InvalidTokenError."""
    algorithm: str = jwt.get_unverified_header(token).get("alg", "")
    if algorithm != "ES256" and faults.legacy_is_revoked:
        raise jwt.InvalidSignatureError
    return jwt.decode(
        token,
        jwt.PyJWK(signing_key(jwt_secret)) if algorithm == "ES256" else jwt_secret,
        algorithms=["ES256" if algorithm == "ES256" else "HS256"],
        options={"verify_aud": False, "verify_exp": verify_exp},
        leeway=_LEEWAY_SECONDS,
    )


def no_role(message: str) -> Refusal:
    """The refusal of a token whose role the database does not have, in its words."""
    return _bad_token("22023", message)


def _verified(token: str, jwt_secret: str, faults: RpcFaults) -> dict[str, Any]:
    try:
        return _decode(token, jwt_secret, faults)
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
