"""What is done to a table, from the request to the answer.

Sources: https://docs.postgrest.org/en/v13/references/api/tables_views.html, .../pagination_count.html,
.../resource_representation.html, and for the statuses PostgREST's src/PostgREST/Response.hs
"""

from dataclasses import dataclass
from typing import Any, Self

from psycopg import Connection
from starlette.requests import Request
from starlette.responses import Response

from smsretry.local.postgrest.asked import Asked
from smsretry.local.postgrest.database import Caller
from smsretry.local.postgrest.errors import refusal
from smsretry.local.postgrest.headers import JSON, ONE_OBJECT, READS
from smsretry.local.postgrest.tables import find_table


@dataclass(frozen=True)
class TableCall:
    """One request for one table."""

    table: str
    asked: Asked

    @classmethod
    def of(cls, request: Request, sent: bytes) -> Self:
        """What the request asks for. Raises Refusal."""
        return cls(request.path_params["name"], Asked.of(request, sent))

    def answer(self, connection: Connection[Any], caller: Caller, max_rows: int) -> Response:
        """Do it in the caller's role. Raises Refusal, and the database's errors."""
        reads = self.asked.method in READS
        table = find_table(connection, self.table)
        statement = table.statement(self.asked, max_rows=max_rows)
        caller.enter(connection, read_only=reads)
        # Without parameters, so that a percent sign in a name or a value is one.
        content, rows, total = connection.execute(statement, prepare=False).fetchone() or ("", 0, None)
        if self.asked.one and rows != 1:  # and what was written is undone
            raise refusal(
                406, "PGRST116", "Cannot coerce the result to a single JSON object",
                details=f"The result contains {rows} rows",
            )  # fmt: skip
        return self._read(content, rows, total) if reads else self._written(content, rows, total)

    def _read(self, content: str, rows: int, total: int | None) -> Response:
        first = self.asked.offset
        if total is not None and first > total:
            details = f"An offset of {first} was requested, but there are only {total} rows."
            raise refusal(416, "PGRST103", "Requested range not satisfiable", details=details)
        status = 206 if total is not None and rows < total else 200
        return self._response(content, status, _range(first, rows, total))

    def _written(self, content: str, rows: int, inserted: int | None) -> Response:
        asked = self.asked
        status = 201 if asked.method == "POST" else 200 if asked.returns_rows else 204
        if asked.resolution == "merge-duplicates" and inserted == 0:
            status = 200
        content_range = _range(0, rows if asked.method == "PATCH" else 0, rows if asked.counts else None)
        if asked.returns_rows:
            return self._response(content, status, content_range)
        return Response(status_code=status, headers={"Content-Range": content_range})

    def _response(self, content: str, status: int, content_range: str) -> Response:
        kind = JSON
        if self.asked.one:
            kind = f"{ONE_OBJECT}; charset=utf-8"
            content = content[1:-1] if content else content
        return Response(content, status, media_type=kind, headers={"Content-Range": content_range})


def _range(first: int, rows: int, total: int | None) -> str:
    """The header Content-Range."""
    return f"{f'{first}-{first + rows - 1}' if rows else '*'}/{'*' if total is None else total}"
