"""What a request asks of a function, and the refusal of what this endpoint does not do.

Source: https://docs.postgrest.org/en/v13/references/api/functions.html
"""

import json
from typing import Any, Final, NoReturn

from starlette.requests import Request

from smsretry.local.postgrest.errors import refusal
from smsretry.local.postgrest.headers import READS, check_media_type, check_schema, not_here, preferences

_NO_ANSWER_CHANGES: Final = {"return", "handling", "resolution", "missing", "tx"}


def arguments_of(request: Request, raw: bytes) -> tuple[str, set[str]]:
    """The body, which the database reads itself, and the arguments' names in it.

    A JSON value that is no object names no argument. GET and HEAD have the arguments in the address instead.

    Raises:
        Refusal: the request is not one this endpoint answers, or its body is no JSON.
    """
    if request.method not in ("POST", *READS):
        raise refusal(405, "PGRST101", f"Cannot use the {request.method} method on RPC")
    asked = {name: value for name, value in request.query_params.items() if name != "apikey"}
    check_schema(request)
    check_media_type(request)
    for name, value in preferences(request).items():
        if name not in _NO_ANSWER_CHANGES and (name, value) != ("count", "none"):
            raise not_here(f"the preference {name} in the call of a function")
    if request.method in READS:
        return json.dumps(asked), set(asked)
    if asked:
        raise not_here("filters of what a function returns")
    arguments = json_of(raw or b"{}")
    return (raw.decode(), set(arguments)) if arguments and isinstance(arguments, dict) else ("{}", set())


def json_of(raw: bytes) -> Any:
    """The value of a body. Raises Refusal: it is no JSON."""
    try:
        value = json.loads(raw.decode(), parse_constant=_refuse_constant)
        json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate is no character
    except (ValueError, RecursionError) as error:
        raise refusal(400, "PGRST102", "Empty or invalid json") from error
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def invalid_path(_request: Request, _raised: Exception) -> Any:
    """The answer for a path that names no function and no table."""
    return refusal(404, "PGRST125", "Invalid path specified in request URL").response()
