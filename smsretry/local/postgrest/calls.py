"""The call of a function, from the request to the answer."""

from dataclasses import dataclass
from typing import Any, Self

from psycopg import Connection
from starlette.requests import Request
from starlette.responses import Response

from smsretry.local.postgrest.database import Caller
from smsretry.local.postgrest.functions import find_function
from smsretry.local.postgrest.headers import JSON
from smsretry.local.postgrest.request import arguments_of


@dataclass(frozen=True)
class FunctionCall:
    """One call of one function."""

    name: str
    body: str
    given: set[str]
    """The arguments that it names."""

    @classmethod
    def of(cls, request: Request, sent: bytes) -> Self:
        """What the request asks for. Raises Refusal."""
        return cls(request.path_params["name"], *arguments_of(request, sent))

    def answer(self, connection: Connection[Any], caller: Caller, max_rows: int) -> Response:
        """Call it in the caller's role. Raises Refusal, and the database's errors."""
        function = find_function(connection, self.name, self.given)
        caller.enter(connection, read_only=caller.method != "POST" or function.read_only)
        for name, value in function.settings.items():
            connection.execute("select set_config(%s, %s, true)", (name, value), prepare=True)
        statement = function.statement(self.given, max_rows=max_rows, counts=caller.method == "HEAD")
        result = connection.execute(statement, (self.body,) if self.given else (), prepare=False)
        if function.returns == "nothing":
            return Response(status_code=204, headers={"Content-Range": "0-0/*"})
        content, rows = result.fetchone() or ("null", 0)
        content_range = f"0-{rows - 1}/*" if rows else "*/*"
        return Response(content, media_type=JSON, headers={"Content-Range": content_range})
