"""`/rest/v1/rpc/{function}` the way Supabase's gateway and PostgREST answer it.

Each call is one transaction in the role that the key or token names. `request` says what may be asked for, `functions`
how a function is called, and `errors` what an error looks like. Tables are refused: what an application does to them is
tested with Supabase's own stack, or as SQL.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import Connection
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from smsretry.local.postgrest.database import Caller, Database
from smsretry.local.postgrest.errors import Refusal, from_database
from smsretry.local.postgrest.faults import RpcFaults
from smsretry.local.postgrest.functions import find_function
from smsretry.local.postgrest.keys import claims_of
from smsretry.local.postgrest.request import arguments_of, invalid_path, not_here
from smsretry.local.process.http import DropConnection

_JSON: Final = "application/json; charset=utf-8"
_METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


def rpc_app(dsn: str, *, jwt_secret: str) -> Starlette:
    """The endpoint over the database at `dsn`, whose user may become anon, authenticated and service_role.

    Keys and tokens are made from `jwt_secret` (`keys`). A result is cut off after 1,000 rows, as on Supabase.
    Faults for tests: `app.state.faults`, an RpcFaults.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # Made here, because a closed pool cannot be opened again and a server may be started again.
        app.state.database = Database(dsn)
        yield
        await run_in_threadpool(app.state.database.close)

    async def function(request: Request) -> Response:
        sent = await request.body()
        fault = faults.take(request.path_params["name"], sent)
        if fault and fault.instead:
            return fault.instead
        try:
            claims = claims_of(request, jwt_secret=jwt_secret, faults=faults)
            caller = Caller(claims=claims, method=request.method, path=request.url.path)
            call = _Call(
                request.path_params["name"],
                *arguments_of(request, sent),
                faults.max_rows,
            )
            response = await run_in_threadpool(_run, app.state.database, call, caller)
        except Refusal as refused:
            response = refused.response()
        return response if fault is None else DropConnection()

    async def table(_request: Request) -> Response:
        return not_here("tables").response()

    faults = RpcFaults()
    app = Starlette(
        routes=[
            Route("/rest/v1/rpc/{name}", function, methods=_METHODS),
            Route("/rest/v1/{name}", table, methods=_METHODS),
        ],
        exception_handlers={404: invalid_path},
        lifespan=lifespan,
    )
    app.state.faults = faults
    return app


@dataclass(frozen=True)
class _Call:
    name: str
    body: str
    arguments: frozenset[str]
    """The arguments that the body names."""
    max_rows: int

    def answer(self, connection: Connection[Any], caller: Caller) -> Response:
        """Call it in the caller's role. Raises Refusal, and the database's errors."""
        function = find_function(connection, self.name, self.arguments)
        caller.enter(
            connection,
            read_only=caller.method != "POST" or function.read_only,
            timeout=function.statement_timeout,
        )
        statement = function.statement(
            self.arguments, max_rows=self.max_rows, counts=caller.method == "HEAD"
        )
        result = connection.execute(
            statement, (self.body,) if self.arguments else (), prepare=False
        )
        if function.returns == "nothing":
            return Response(status_code=204, headers={"Content-Range": "0-0/*"})
        content, rows = result.fetchone() or ("null", 0)
        content_range = f"0-{rows - 1}/*" if rows else "*/*"
        return Response(
            content, media_type=_JSON, headers={"Content-Range": content_range}
        )


def _run(database: Database, call: _Call, caller: Caller) -> Response:
    """Do it, commit, and only then answer. Raises Refusal."""
    try:
        with database.transaction() as connection:
            return call.answer(connection, caller)
    except psycopg.Error as error:
        raise from_database(error, anonymous=caller.anonymous) from error
