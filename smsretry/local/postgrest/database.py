"""The database behind the endpoint, and how PostgREST begins a transaction in it.

Source: https://docs.postgrest.org/en/v13/references/transactions.html
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import Connection

from smsretry.local.postgrest.errors import unreachable
from smsretry.local.postgrest.keys import no_role

# PostgREST begins each transaction as read committed and read write, or read only, whatever its role's defaults are.
_BEGINS: Final = "-c default_transaction_isolation=read\\ committed -c default_transaction_read_only=off"

# The order is PostgREST's; the settings end with the transaction.
_PREPARE: Final = """
select set_config('search_path', '"public", "extensions"', true), set_config('role', %(role)s, true),
       set_config('request.jwt.claims', %(claims)s, true), set_config('request.method', %(method)s, true),
       set_config('request.path', %(path)s, true), set_config('transaction_read_only', %(read_only)s, true),
       set_config('statement_timeout', coalesce(%(timeout)s, current_setting('statement_timeout')), true)
"""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who asks, and for what: what a transaction may know of the request."""

    claims: Mapping[str, Any]
    """The token's; `role` is always among them."""
    method: str
    path: str

    @property
    def anonymous(self) -> bool:
        """Whether the role is anon, whose missing grants are 401."""
        return bool(self.claims["role"] == "anon")

    def enter(
        self, connection: Connection[Any], *, read_only: bool, timeout: str | None
    ) -> None:
        """Take the role and the claims on for the rest of the transaction. Raises Refusal: there is no such role."""
        settings = {
            "role": self.claims["role"],
            "claims": json.dumps(self.claims),
            "method": self.method,
            "path": self.path,
            "read_only": "on" if read_only else "off",
            "timeout": timeout,
        }
        try:
            connection.execute(_PREPARE, settings, prepare=True)
        except psycopg.errors.InvalidParameterValue as error:
            raise no_role(error.diag.message_primary or "") from error


class Database:
    """Connections, checked before use: a call that comes after a restart of the database does not notice it."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._idle: list[Connection[Any]] = []

    @contextmanager
    def transaction(self) -> Iterator[Connection[Any]]:
        """A connection; commits at the end. Raises Refusal (503, PGRST000) if none can be had."""
        connection = self._connection()
        try:
            yield connection
            connection.commit()
        finally:
            with suppress(psycopg.OperationalError):
                connection.rollback()
            self._idle.append(connection)

    def close(self) -> None:
        """Close every connection that is not in use."""
        while self._idle:
            self._idle.pop().close()

    def _connection(self) -> Connection[Any]:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                break
            with suppress(psycopg.OperationalError):
                connection.execute("")  # begins the transaction
                return connection
        try:
            return psycopg.connect(
                self._dsn,
                connect_timeout=2,
                application_name="smsretry rpc",
                options=_BEGINS,
            )
        except psycopg.OperationalError as error:
            raise unreachable(error) from error
