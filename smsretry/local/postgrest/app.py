"""`/rest/v1/rpc/{function}` the way Supabase's gateway and PostgREST answer it.

Each call is one transaction in the role that the key or token names. `headers` says what a request may ask for at all,
`calls`, `request` and `functions` how a function is called, and `errors` what an error looks like. Tables are refused:
what an application does to them is tested with Supabase's own stack, or as SQL.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import psycopg
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from smsretry.local.postgrest.calls import FunctionCall
from smsretry.local.postgrest.database import Caller, Database
from smsretry.local.postgrest.errors import Refusal, from_database
from smsretry.local.postgrest.faults import RpcFaults, instead_of_answer
from smsretry.local.postgrest.headers import not_here
from smsretry.local.postgrest.keys import claims_of
from smsretry.local.postgrest.request import invalid_path
from smsretry.local.process.http import DropConnection

_METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


def rpc_app(dsn: str, *, jwt_secret: str, max_rows: int = 1000, gateway: bool = True) -> Starlette:
    """The endpoint over the database at `dsn`, whose user may become anon, authenticated and service_role.

    `jwt_secret` signs the keys (`keys.api_key`). A result is cut off after `max_rows` rows, by default as on Supabase.
    `gateway`: whether Supabase's stands in front, which asks for a key of the project's.
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
        if instead := instead_of_answer(fault):
            return instead
        try:
            claims = claims_of(request, jwt_secret=jwt_secret, gateway=gateway)
            caller = Caller(claims=claims, method=request.method, path=request.url.path)
            rows = faults.max_rows or max_rows
            call = FunctionCall.of(request, sent)
            response = await run_in_threadpool(_run, app.state.database, call, caller, rows)
        except Refusal as refused:
            response = refused.response()
        if fault is not None and fault.kind == "drop":
            return DropConnection(fault.head)
        if fault is not None:
            await asyncio.sleep(fault.seconds)
        return response

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


def _run(database: Database, call: FunctionCall, caller: Caller, max_rows: int) -> Response:
    """Do it, commit, and only then answer. `max_rows`: after how many a result is cut off. Raises Refusal."""
    try:
        with database.transaction() as connection:
            return call.answer(connection, caller, max_rows)
    except psycopg.Error as error:
        raise from_database(error, anonymous=caller.anonymous) from error
