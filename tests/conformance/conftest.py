"""The PostgREST under test: the embedded one, or the one that SMSRETRY_CONFORMANCE_URL names (see README.md)."""

import os
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import jwt
import psycopg
import pytest
from postgrest import SyncPostgrestClient

from smsretry.local.postgrest.app import rpc_app
from smsretry.local.postgrest.keys import Role, api_key
from smsretry.local.process.http import LocalServer
from smsretry.local.stack import Stack

USER = "0b0ab0de-7d5c-4a3c-9c3a-1f2f0c8e4a11"
_ENVIRONMENT = "SMSRETRY_CONFORMANCE_"
_EMBEDDED_SECRET = "a secret of the tests, more than 32 characters"
_TLS = (
    ssl.create_default_context()
)  # one for all: making it takes longer than a request
_RELOAD_SECONDS = 60.0
_FUNCTIONS = """
select oid::regprocedure::text from pg_catalog.pg_proc where pronamespace = 'public'::regnamespace
"""


@dataclass(frozen=True)
class Endpoint:
    """A PostgREST: `url` is where its `/rpc` is."""

    url: str
    database_url: str
    secret: str
    service: str
    anon: str

    def token(self, **claims: Any) -> str:
        """A token with these claims, signed as the endpoint expects it."""
        return jwt.encode(claims, self.secret, algorithm="HS256")

    @property
    def user(self) -> str:
        """The token of a signed-in user."""
        return self.token(role="authenticated", sub=USER)

    def call(
        self, function: str, arguments: Any = None, *, token: str | None = None, key: str | None = None,
        headers: dict[str, str] | None = None, **options: Any,
    ) -> httpx.Response:  # fmt: skip
        """One call over HTTP, with `arguments` as its JSON or `content` as its body."""
        if "content" not in options:
            options["json"] = {} if arguments is None else arguments
        headers = self._headers(key, token) | (headers or {})
        method = options.pop("method", "POST")
        return httpx.request(
            method,
            f"{self.url}/rpc/{function}",
            headers=headers,
            timeout=20,
            verify=_TLS,
            **options,
        )

    def refusal(
        self, function: str, arguments: Any = None, **options: Any
    ) -> tuple[int, str]:
        """The status and the code of an answer that is an error."""
        answer = self.call(function, arguments, **options)
        return answer.status_code, answer.json()["code"]

    def client(self) -> SyncPostgrestClient:
        """The library below supabase-py."""
        return SyncPostgrestClient(self.url, headers=self._headers(None, None))

    def _headers(self, key: str | None, token: str | None) -> dict[str, str]:
        key = key or self.service
        return {"apikey": key, "Authorization": f"Bearer {token or key}"}

    def notes(self) -> list[int]:
        """The ids of the notes that were committed."""
        with psycopg.connect(self.database_url) as connection:
            return [
                row[0]
                for row in connection.execute("select id from public.notes order by id")
            ]


@pytest.fixture(scope="session")
def prepared(request: pytest.FixtureRequest) -> Iterator[Endpoint]:
    """The endpoint, and the functions of these tests in its database."""
    if url := os.environ.get(f"{_ENVIRONMENT}URL"):
        with _functions(_elsewhere(url)) as endpoint:
            yield endpoint
    else:
        with (
            _embedded(request.getfixturevalue("running_stack")) as endpoint,
            _functions(endpoint),
        ):
            yield endpoint


@pytest.fixture
def postgrest(prepared: Endpoint) -> Endpoint:
    """The endpoint; each test begins without notes."""
    with psycopg.connect(prepared.database_url) as connection:
        connection.execute("truncate public.notes")
    return prepared


def _elsewhere(url: str) -> Endpoint:
    secret = os.environ[f"{_ENVIRONMENT}JWT_SECRET"]

    def key(role: Role, name: str) -> str:
        return os.environ.get(f"{_ENVIRONMENT}{name}") or api_key(
            role, jwt_secret=secret
        )

    return Endpoint(
        url=url.rstrip("/"),
        database_url=os.environ[f"{_ENVIRONMENT}DB_URL"],
        secret=secret,
        service=key("service_role", "SERVICE_KEY"),
        anon=key("anon", "ANON_KEY"),
    )


@contextmanager
def _embedded(stack: Stack) -> Iterator[Endpoint]:
    """Ours, on a database of its own; it logs in as PostgREST does, without a superuser's rights."""
    stack.postgres.create_database("conformance")
    database_url = stack.postgres.url("conformance")
    with psycopg.connect(database_url) as connection:
        connection.execute(
            files("smsretry.local.postgres").joinpath("supabase_roles.sql").read_bytes()
        )
    app = rpc_app(
        stack.postgres.url("conformance", user="authenticator"),
        jwt_secret=_EMBEDDED_SECRET,
    )
    with LocalServer(app) as server:
        yield Endpoint(
            url=f"{server.url}/rest/v1",
            database_url=database_url,
            secret=_EMBEDDED_SECRET,
            service=api_key("service_role", jwt_secret=_EMBEDDED_SECRET),
            anon=api_key("anon", jwt_secret=_EMBEDDED_SECRET),
        )


@contextmanager
def _functions(endpoint: Endpoint) -> Iterator[Endpoint]:
    """Make the functions, wait until the endpoint knows them, and drop them at the end."""
    script = Path(__file__).with_name("functions.sql").read_bytes()
    with psycopg.connect(endpoint.database_url, autocommit=True) as connection:
        before = set(connection.execute(_FUNCTIONS))
        connection.execute(script)
        created = set(connection.execute(_FUNCTIONS)) - before
        try:
            connection.execute("notify pgrst, 'reload schema'")
            deadline = time.monotonic() + _RELOAD_SECONDS
            while (answer := endpoint.call("nothing")).status_code != 204:
                assert time.monotonic() < deadline, answer.text
                time.sleep(0.05)
            yield endpoint
        finally:
            connection.execute(
                f"drop function {', '.join(name for (name,) in created)} cascade".encode()
            )
            connection.execute("drop table public.notes")
