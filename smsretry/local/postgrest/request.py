"""What a request asks of a function, and the refusal of what this endpoint does not do.

PostgREST knows more: other media types, preferences, filters, ranges. A request for any of that is refused, and never
answered as if it had not asked.
Sources: https://docs.postgrest.org/en/v13/references/api/functions.html, .../preferences.html, .../schemas.html
"""

import json
from typing import Final, NoReturn

from starlette.requests import Request
from starlette.responses import Response

from smsretry.local.postgrest.errors import Refusal, refusal

_SCHEMA: Final = "public"
_READS: Final = ("GET", "HEAD")
_MEDIA_TYPES: Final = ("application/json", "application/*", "*/*")
_PREFERENCES: Final = ("count", "timezone", "max-affected")
"""Preferences that would change an answer."""


def arguments_of(request: Request, raw: bytes) -> tuple[str, frozenset[str]]:
    """The body, which the database reads itself, and the arguments' names in it.

    A JSON value that is no object names no argument. GET and HEAD have the arguments in the address instead.

    Raises:
        Refusal: the request is not one this endpoint answers, or its body is no JSON.
    """
    reads = request.method in _READS
    if not reads and request.method != "POST":
        raise refusal(405, "PGRST101", f"Cannot use the {request.method} method on RPC")
    schema = request.headers.get(
        "accept-profile" if reads else "content-profile", _SCHEMA
    )
    if schema != _SCHEMA:
        hint = f"Only the following schemas are exposed: {_SCHEMA}"
        raise refusal(406, "PGRST106", f"Invalid schema: {schema}", hint=hint)
    _refuse_wishes(request)
    in_query = {
        name: value for name, value in request.query_params.items() if name != "apikey"
    }
    if reads:
        return json.dumps(in_query), frozenset(in_query)
    if in_query:
        raise not_here("filters of what a function returns")
    arguments = _checked(raw or b"{}")
    return (
        (raw.decode(), frozenset(arguments))
        if arguments and isinstance(arguments, dict)
        else ("{}", frozenset())
    )


def _refuse_wishes(request: Request) -> None:
    accepted = _listed(request, "accept") or ["*/*"]
    if not any(
        media_type.partition(";")[0].strip() in _MEDIA_TYPES for media_type in accepted
    ):
        raise not_here(f"the media type {', '.join(accepted)}")
    for wish in _listed(request, "prefer"):
        if wish == "handling=strict" or (
            wish.partition("=")[0] in _PREFERENCES and wish != "count=none"
        ):
            raise not_here(f"the preference {wish} in the call of a function")


def _listed(request: Request, header: str) -> list[str]:
    line = ",".join(request.headers.getlist(header))
    return [item.strip() for item in line.split(",") if item.strip()]


def _checked(raw: bytes) -> object:
    """The value of a body. Raises Refusal: it is no JSON."""
    try:
        value: object = json.loads(raw.decode(), parse_constant=_refuse_constant)
        json.dumps(
            value, ensure_ascii=False
        ).encode()  # a lone surrogate is no character
    except (ValueError, RecursionError) as error:
        raise refusal(400, "PGRST102", "Empty or invalid json") from error
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def not_here(feature: str) -> Refusal:
    """The refusal of something that PostgREST does and this endpoint does not."""
    details = f"The stand-in for PostgREST does not know {feature}"
    hint = "smsretry/local/README.md lists what it knows. Supabase itself may well answer this request."
    return refusal(
        400, "PGRST127", "Feature not implemented", details=details, hint=hint
    )


def invalid_path(_request: Request, _raised: Exception) -> Response:
    """The answer for a path that names no function and no table."""
    return refusal(404, "PGRST125", "Invalid path specified in request URL").response()
