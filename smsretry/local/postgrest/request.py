"""What a request asks of a function, and the refusal of what this endpoint does not do.

PostgREST does more: filters, other media types, preferences. A request for any of that is refused, and never answered
as if it had not asked.
Sources: https://docs.postgrest.org/en/v13/references/api/functions.html, .../preferences.html,
.../media_type_handlers.html, .../schemas.html
"""

import json
from typing import Any, Final, NoReturn

from starlette.requests import Request

from smsretry.local.postgrest.errors import Refusal, refusal

SCHEMA: Final = "public"
_READS: Final = ("GET", "HEAD")
_ANSWERED: Final = {"application/json", "application/*", "*/*"}
_OF_POSTGREST: Final = ("text/csv", "application/vnd.pgrst", "application/geo+json", "application/openapi+json")
_HARMLESS: Final = {"return", "handling", "resolution", "missing", "tx"}  # they change no answer of a function
_NOT_HERE: Final = {"count", "timezone", "max-affected"}


def arguments_of(request: Request, raw: bytes) -> tuple[str, set[str]]:
    """The body, which the database reads itself, and the arguments' names in it.

    A JSON value that is no object names no argument. GET and HEAD have the arguments in the address instead.

    Raises:
        Refusal: the request is not one this endpoint answers, or its body is no JSON.
    """
    if request.method not in ("POST", *_READS):
        raise refusal(405, "PGRST101", f"Cannot use the {request.method} method on RPC")
    asked = {name: value for name, value in request.query_params.items() if name != "apikey"}
    _check_schema(request.headers.get("accept-profile" if request.method in _READS else "content-profile", SCHEMA))
    _check_media_types(request.headers.get("accept", "*/*"))
    _check_preferences(request.headers.get("prefer", ""))
    if request.method in _READS:
        return json.dumps(asked), set(asked)
    if asked:
        raise _not_here("it neither filters nor reshapes what a function returns")
    try:
        body = raw.decode() or "{}"
        arguments = json.loads(body, parse_constant=_refuse_constant)
        json.dumps(arguments, ensure_ascii=False).encode()  # a lone surrogate is no character
    except ValueError as error:
        raise refusal(400, "PGRST102", "Empty or invalid json") from error
    return (body, set(arguments)) if isinstance(arguments, dict) else ("{}", set())


def _check_schema(schema: str) -> None:
    if schema != SCHEMA:
        hint = f"Only the following schemas are exposed: {SCHEMA}"
        raise refusal(406, "PGRST106", f"Invalid schema: {schema}", hint=hint)


def _check_media_types(accept: str) -> None:
    wanted = [entry.partition(";")[0].strip() for entry in accept.split(",")]
    if any(entry in _ANSWERED for entry in wanted):
        return
    if any(entry.startswith(_OF_POSTGREST) for entry in wanted):
        raise _not_here("it answers in plain JSON")
    raise refusal(406, "PGRST107", f"None of these media types are available: {', '.join(wanted)}")


def _check_preferences(header: str) -> None:
    wanted = [entry.strip() for entry in header.split(",") if entry.strip()]
    names = {entry: entry.partition("=")[0] for entry in wanted}
    unknown = [entry for entry, name in names.items() if name not in _HARMLESS | _NOT_HERE]
    if "handling=strict" in wanted and unknown:
        details = f"Invalid preferences: {', '.join(unknown)}"
        raise refusal(400, "PGRST122", "Invalid preferences given with handling=strict", details=details)
    for entry, name in names.items():
        if name in _NOT_HERE and entry != "count=none":
            raise _not_here(f"it does not know the preference {name}")


def _not_here(why: str) -> Refusal:
    return refusal(400, "PGRST127", "Feature not implemented", details=f"This local endpoint calls functions: {why}")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def invalid_path(_request: Request, _raised: Exception) -> Any:
    """The answer for a path that names no function."""
    return refusal(404, "PGRST125", "Invalid path specified in request URL").response()
