"""Everything that smsretry talks to, on this machine, with no account and no Docker.

PostgreSQL with our migrations, an endpoint that answers for functions as Supabase does, and a stand-in for Twilio. The
production adapters reach it through `environment()`, unchanged.
"""

import secrets
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal, Self

import psycopg
from psycopg.rows import dict_row
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from smsretry.adapters.migrations.migrate import migrate
from smsretry.local.postgres.server import EmbeddedPostgres
from smsretry.local.postgrest.app import rpc_app
from smsretry.local.postgrest.faults import RpcFaults
from smsretry.local.postgrest.keys import Role, api_key, opaque_key
from smsretry.local.process.http import LocalServer
from smsretry.local.process.interrupt import obey
from smsretry.local.twilio.standin import TwilioStandin
from smsretry.settings import Settings

SENDER: Final = "+15005550006"
"""The number the stand-in's account owns: Twilio's magic number that passes all validation."""
DATABASE: Final = "smsretry"


class Stack:
    """A running stack. A context manager: whatever was started is stopped, also when the start fails half way.

    Args:
        data_dir: where the database lives; what is there already is kept.
        before_migrations: called with the database's URL when its roles are there and its tables are not.
        write_sample: as of `migrate`.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        before_migrations: Callable[[str], None] = lambda _: None,
        write_sample: Callable[[psycopg.Connection[Any]], None] = lambda _: None,
    ) -> None:
        self._before_migrations = before_migrations
        self._write_sample = write_sample
        self.postgres = EmbeddedPostgres(data_dir / "postgres")
        self.jwt_secret = secrets.token_urlsafe(32)
        """Signs the keys and tokens, as a project's JWT secret does."""
        self._account_sid = "AC" + secrets.token_hex(16)
        self._auth_token = secrets.token_hex(16)
        self._shift = timedelta(0)
        self._clock: psycopg.Connection[dict[str, Any]] | None = None
        self._exit = ExitStack()
        self.twilio = TwilioStandin(
            account_sid=self._account_sid,
            auth_token=self._auth_token,
            senders={SENDER},
            clock=self.now,
        )

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            starting.callback(self.postgres.stop)
            self.postgres.start()
            starting.callback(self._let_clock_go)
            self.postgres.create_database(DATABASE)
            self._prepare()
            obey()
            rpc = rpc_app(
                self.postgres.url(DATABASE, user="authenticator"),
                jwt_secret=self.jwt_secret,
            )
            self.rpc_faults: RpcFaults = rpc.state.faults
            self._supabase = starting.enter_context(LocalServer(rpc))
            self._twilio = starting.enter_context(LocalServer(self.twilio.app))
            self._exit = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    @property
    def database_url(self) -> str:
        """The URL of the application's database, as its owner."""
        return self.postgres.url(DATABASE)

    def connect(self) -> psycopg.Connection[dict[str, Any]]:
        """A connection as the database's owner, in autocommit, with rows as dicts."""
        return psycopg.connect(self.database_url, autocommit=True, row_factory=dict_row)

    def key(
        self, role: Role | Literal["smsretry_reader"], *, sub: str | None = None
    ) -> str:
        """An API key for `anon`, `authenticated` or `service_role`, as Supabase issues them, or the reader's token."""
        return api_key(role, jwt_secret=self.jwt_secret, sub=sub)

    def opaque_key(self, role: Literal["anon", "service_role"]) -> str:
        """The publishable key, or the secret one, which says nothing of itself."""
        return opaque_key(role, jwt_secret=self.jwt_secret)

    def environment(self) -> dict[str, str]:
        """The settings that point smsretry at this stack."""
        return {
            "SUPABASE_URL": self._supabase.url,
            "SUPABASE_SERVICE_ROLE_KEY": self.key("service_role"),
            "TWILIO_ACCOUNT_SID": self._account_sid,
            "TWILIO_AUTH_TOKEN": self._auth_token,
            "TWILIO_FROM_NUMBER": SENDER,
            "TWILIO_BASE_URL": self._twilio.url,
        }

    def reading_environment(self) -> dict[str, str]:
        """The settings of somebody who only asks."""
        return {
            "SUPABASE_URL": self._supabase.url,
            "SUPABASE_ANON_KEY": self.key("anon"),
            "SUPABASE_READER_KEY": self.key("smsretry_reader"),
        }

    def settings(self, extra: Mapping[str, str] | None = None) -> Settings:
        """`environment()` and `more` as settings. What else this process's environment holds has no part in them."""
        values = {**self.environment(), **(extra or {})}
        # A setting that is named SMSRETRY_… has another name as a field.
        return _StackSettings.model_validate(
            {
                name if name.startswith("SMSRETRY_") else name.lower(): value
                for name, value in values.items()
            }
        )

    def now(self) -> datetime:
        """The stack's time, which the database and the stand-in share."""
        return datetime.now(UTC) + self._shift

    @property
    def ahead(self) -> timedelta:
        """How far that is ahead of this machine's clock."""
        return self._shift

    def set_clock(self, to: datetime) -> None:
        """Set the stack's time; it runs on from there. Raises TypeError if the moment has no time zone."""
        self.move_clock(to - self.now())

    def move_clock(self, by: timedelta) -> None:
        """Move the stack's time."""
        self._shift += by
        try:
            self._tell_clock()
        except psycopg.OperationalError:  # the server has been restarted since
            self._let_clock_go()
            self._tell_clock()

    def start_over(self, at: datetime) -> None:
        """A Twilio and an endpoint as new, at this time. The database is left as it is."""
        self.twilio.start_over()
        self.rpc_faults.clear()
        self.set_clock(at)

    def is_empty(self) -> bool:
        """Whether no text was ever queued."""
        with self.connect() as connection:
            return (
                connection.execute("select 1 from sms_retry_queue limit 1").fetchone()
                is None
            )

    def _tell_clock(self) -> None:
        """Over a connection that is kept: to make one takes ten times as long, and tests set the clock often."""
        self._clock = self._clock or self.connect()
        self._clock.execute("update smsretry_local.clock set shift = %s", [self._shift])

    def _let_clock_go(self) -> None:
        if self._clock:
            self._clock.close()
            self._clock = None

    def _prepare(self) -> None:
        with self.connect() as connection:
            connection.execute(_sql("supabase_roles.sql"))
            self.postgres.allow_login("authenticator")
            self._before_migrations(self.database_url)
            migrate(self.database_url, write_sample=self._write_sample)
            connection.execute(_sql("movable_clock.sql"))
            row = connection.execute(
                "select shift from smsretry_local.clock"
            ).fetchone()
            self._shift = row["shift"] if row else timedelta(0)


class _StackSettings(Settings):
    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic calls it so
        init_settings: PydanticBaseSettingsSource,
        *_: Any,
        **__: Any,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def _sql(name: str) -> bytes:
    return files("smsretry.local.postgres").joinpath(name).read_bytes()
