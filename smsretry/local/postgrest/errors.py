"""Errors the way PostgREST answers them: an HTTP status and a body of code, details, hint and message.

Source: https://docs.postgrest.org/en/v13/references/errors.html, and for what the page leaves open PostgREST's
src/PostgREST/Error.hs (mapSQLtoHTTP: P0001 is 400 but P0002 to P0004 are 500; 57P01 is 503 but the rest of 57 is 500;
21000 is 500). https://supabase.com/docs/guides/api/rest/postgrest-error-codes repeats the page.
Left out: `raise sqlstate 'PGRST'`, by which a function writes a whole response.
"""

from collections.abc import Mapping
from typing import Any, Final

import psycopg
from starlette.responses import JSONResponse

_STATUS_BY_SQLSTATE: Final = {
    "21000": 500,  # cardinality violation: the function's own fault
    "23503": 409,
    "23505": 409,
    "25006": 405,  # a write in a function declared stable or immutable
    "42883": 404,
    "42P01": 404,
    "42P17": 500,
    "53400": 500,
    "57P01": 503,
    "P0001": 400,  # `raise exception` without an errcode
}
_STATUS_BY_CLASS: Final = {
    "08": 503, "53": 503,
    "0L": 403, "0P": 403, "28": 403,
    "09": 500, "25": 500, "2D": 500, "38": 500, "39": 500, "3B": 500, "40": 500, "54": 500, "55": 500, "57": 500,
    "58": 500, "F0": 500, "HV": 500, "P0": 500, "XX": 500,
}  # fmt: skip


class Refusal(Exception):
    """A request that ends with this answer in place of a result."""

    def __init__(
        self,
        status: int,
        body: Mapping[str, Any],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(body.get("message"))
        self.status = status
        self.body = body
        self.headers = headers

    def response(self) -> JSONResponse:
        """The HTTP response."""
        headers = dict(self.headers or {})
        if code := self.body.get("code"):
            headers["Proxy-Status"] = f"PostgREST; error={code}"
        return JSONResponse(
            dict(self.body),
            self.status,
            headers=headers,
            media_type="application/json; charset=utf-8",
        )


def refusal(
    status: int, code: str | None, message: str | None, *, details: str | None = None, hint: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Refusal:  # fmt: skip
    """A refusal with PostgREST's body."""
    return Refusal(
        status,
        {"code": code, "details": details, "hint": hint, "message": message},
        headers,
    )


def unreachable(error: psycopg.Error) -> Refusal:
    """PGRST000: no connection to the database could be made."""
    return refusal(
        503,
        "PGRST000",
        "Database connection error. Retrying the connection.",
        details=str(error),
    )


def from_database(error: psycopg.Error, *, anonymous: bool) -> Refusal:
    """What became of a statement. Without an SQLSTATE the connection broke: PGRST001."""
    if error.sqlstate is None:
        return refusal(
            503,
            "PGRST001",
            "Database client error. Retrying the connection.",
            details=str(error),
        )
    status = status_for(error.sqlstate, anonymous=anonymous)
    diagnostics = error.diag
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    message, details, hint = (
        diagnostics.message_primary,
        diagnostics.message_detail,
        diagnostics.message_hint,
    )
    return refusal(
        status, error.sqlstate, message, details=details, hint=hint, headers=headers
    )


def status_for(sqlstate: str, *, anonymous: bool) -> int:
    """The HTTP status for an SQLSTATE; PTnnn chooses its own. `anonymous`: the role was anon."""
    if sqlstate == "42501":
        return 401 if anonymous else 403
    if sqlstate.startswith("PT"):
        chosen = sqlstate.removeprefix("PT")
        return int(chosen) if chosen.isdigit() else 500
    return _STATUS_BY_SQLSTATE.get(sqlstate) or _STATUS_BY_CLASS.get(sqlstate[:2], 400)
