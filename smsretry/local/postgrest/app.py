"""`/rest/v1/rpc/{function}` the way Supabase's gateway and PostgREST answer it, over a database of one's own.

Each call is one transaction in the role that the key or token names. `request` says which calls are answered,
`functions` which function is meant and how it is called, `errors` what an error looks like.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any, Final

import psycopg
from psycopg import Connection
from psycopg_pool import ConnectionPool, PoolTimeout
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from smsretry.local.postgrest.errors import Refusal, from_database, unreachable
from smsretry.local.postgrest.faults import RpcFaults, instead_of_answer
from smsretry.local.postgrest.functions import find_function
from smsretry.local.postgrest.keys import claims_of, no_role
from smsretry.local.postgrest.request import arguments_of, invalid_path
from smsretry.local.process.http import DropConnection

_POOL_WAIT_SECONDS: Final = 1.0
# PostgREST begins each transaction as read committed and read write, or read only, whatever its role's defaults are.
_BEGINS: Final = "-c default_transaction_isolation=read\\ committed -c default_transaction_read_only=off"
_METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
_JSON: Final = "application/json; charset=utf-8"

# The order is PostgREST's; the settings end with the transaction.
_PREPARE: Final = """
select set_config('search_path', '"public", "extensions"', true), set_config('role', %(role)s, true),
       set_config('request.jwt.claims', %(claims)s, true), set_config('request.method', %(method)s, true),
       set_config('request.path', %(path)s, true), set_config('transaction_read_only', %(read_only)s, true)
"""


def rpc_app(dsn: str, *, jwt_secret: str, max_rows: int = 1000, gateway: bool = True) -> Starlette:
    """The endpoint over the database at `dsn`, whose user may become anon, authenticated and service_role.

    `jwt_secret` signs the keys (`keys.api_key`). A result is cut off after `max_rows` rows, by default as on Supabase.
    `gateway`: whether Supabase's stands in front, which asks for a key of the project's.
    Faults for tests: `app.state.faults`, an RpcFaults.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # Made here, because a closed pool cannot be opened again and a server may be started again.
        app.state.database = _Database(dsn)
        yield
        await run_in_threadpool(app.state.database.close)

    async def rpc(request: Request) -> Response:
        function = request.path_params["function"]
        sent = await request.body()
        fault = faults.take(function, sent)
        if faults.seconds_each:
            await asyncio.sleep(faults.seconds_each)
        if instead := instead_of_answer(fault):
            return instead
        try:
            claims = claims_of(request, jwt_secret=jwt_secret, gateway=gateway)
            body, given = arguments_of(request, sent)
            call = _Call(function, request.method, request.url.path, claims, body, given, faults.max_rows or max_rows)
            response = await run_in_threadpool(call.answer, request.app.state.database)
        except Refusal as refused:
            response = refused.response()
        if fault is not None and fault.kind == "drop":
            return DropConnection(fault.head)
        if fault is not None:
            await asyncio.sleep(fault.seconds)
        return response

    faults = RpcFaults()
    app = Starlette(
        routes=[Route("/rest/v1/rpc/{function}", rpc, methods=_METHODS)],
        exception_handlers={404: invalid_path},
        lifespan=lifespan,
    )
    app.state.faults = faults
    return app


class _Call:
    """One call of one function."""

    def __init__(
        self,
        function: str,
        method: str,
        path: str,
        claims: Mapping[str, Any],
        body: str,
        given: set[str],
        max_rows: int,
    ) -> None:
        self._function = function
        self._method = method
        self._path = path
        self._claims = claims
        self._body = body
        self._given = given
        self._max_rows = max_rows

    def answer(self, database: "_Database") -> Response:
        """Run it, commit, and only then answer. Raises Refusal."""
        try:
            with database.transaction() as connection:
                return self._run(connection)
        except psycopg.Error as error:
            raise from_database(error, anonymous=self._claims["role"] == "anon") from error

    def _run(self, connection: Connection[Any]) -> Response:
        function = find_function(connection, self._function, self._given)
        settings = {
            "role": self._claims["role"],
            "claims": json.dumps(self._claims),
            "method": self._method,
            "path": self._path,
            "read_only": "off" if self._method == "POST" and not function.read_only else "on",
        }
        try:
            connection.execute(_PREPARE, settings, prepare=True)
        except psycopg.errors.InvalidParameterValue as error:
            raise no_role(error.diag.message_primary or "") from error
        for name, value in function.settings.items():
            connection.execute("select set_config(%s, %s, true)", (name, value), prepare=True)
        statement = function.statement(self._given, max_rows=self._max_rows, counts=self._method == "HEAD")
        result = connection.execute(statement, (self._body,) if self._given else (), prepare=False)
        if function.returns == "nothing":
            return Response(status_code=204, headers={"Content-Range": "0-0/*"})
        content, rows = result.fetchone() or ("null", 0)
        content_range = f"0-{rows - 1}/*" if rows else "*/*"
        return Response(content, media_type=_JSON, headers={"Content-Range": content_range})


class _Database:
    """Connections, checked before use: a call that comes after a restart of the database does not notice it."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._pool = ConnectionPool(
            dsn,
            min_size=0,
            max_size=20,
            # Give up soon after a failure: then the next call tries anew and need not wait for a growing pause.
            reconnect_timeout=_POOL_WAIT_SECONDS,
            check=ConnectionPool.check_connection,
            kwargs={"connect_timeout": 2, "application_name": "smsretry rpc", "options": _BEGINS},
            name="smsretry-rpc",
            open=True,
        )

    @contextmanager
    def transaction(self) -> Iterator[Connection[Any]]:
        """A connection; commits at the end. Raises Refusal (503, PGRST000) if none can be had."""
        with ExitStack() as stack:
            try:
                connection = stack.enter_context(self._pool.connection(timeout=_POOL_WAIT_SECONDS))
            except PoolTimeout:
                # It is down, or busy, or back and the pool has not noticed. Asking it directly tells which.
                try:
                    connection = stack.enter_context(psycopg.connect(self._dsn, connect_timeout=2))
                except psycopg.OperationalError as error:
                    raise unreachable(error) from error
            yield connection

    def close(self) -> None:
        """Close every connection that is not in use."""
        self._pool.close(timeout=1.0)
