"""A Prefect server of its own: own home, data in the embedded PostgreSQL, nothing sent anywhere."""

import errno
import socket
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

import httpx

from smsretry.adapters.certificates import trusted
from smsretry.errors import LocalStackError
from smsretry.local.postgres.server import EmbeddedPostgres
from smsretry.local.process.child_process import ChildProcess, inherited
from smsretry.local.process.http import free_port
from smsretry.local.process.interrupt import pause

DATABASE: Final = "prefect"

SERVER_SETTINGS: Final = {
    # States of finished tasks show in the UI within a second or two, not a minute.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    # 1,440 runs a day: keep two weeks of runs and three days of events.
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": "1209600",
    "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": "P3D",
    # A run that is under way when the server restarts keeps its place.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
}
"""What flows/README.md recommends for production, too."""


class PortTaken(LocalStackError):
    """Nobody can listen on the port. The message says how to choose another."""


class PrefectServer:
    """`prefect server start`, stopped with the block that started it.

    Args:
        home: PREFECT_HOME, its own.
        port: the UI's and API's port; None takes a free one.
    """

    def __init__(
        self, home: Path, postgres: EmbeddedPostgres, *, port: int | None = None
    ) -> None:
        self._home = home.absolute()
        self._postgres = postgres
        self.port = port or free_port()
        self.log = self._home / "server.log"
        self._process: ChildProcess | None = None

    @property
    def url(self) -> str:
        """The UI."""
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        """What a flow run, a runner or a worker needs to report here. No profile of the user's is read."""
        return {
            "PREFECT_API_URL": f"{self.url}/api",
            "PREFECT_HOME": str(self._home),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "TMPDIR": str(
                self._home / "tmp"
            ),  # Prefect's runner makes a directory there and leaves it
        }

    def __enter__(self) -> Self:
        (self._home / "tmp").mkdir(parents=True, exist_ok=True)
        self._postgres.create_database(DATABASE)
        try:
            self.start()
        except (
            BaseException
        ):  # Ctrl-C above all: no `__exit__` follows an `__enter__` that failed
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.stop()

    def start(self) -> None:
        """Start, and wait until it answers. An answer of another server on that port is not taken for its own.

        Raises:
            PortTaken: by another program.
            LocalStackError: the server ended, or did not answer within 90 seconds; names its log.
        """
        refuse_taken(self.port)
        command = [
            sys.executable,
            "-m",
            "prefect",
            "server",
            "start",
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
        ]
        database = self._postgres.url(DATABASE).replace(
            "postgresql://", "postgresql+asyncpg://"
        )
        self._process = ChildProcess(
            command,
            log=self.log,
            env={
                **inherited(),
                **self.environment(),
                **SERVER_SETTINGS,
                "PREFECT_SERVER_DATABASE_CONNECTION_URL": database,
                "PREFECT_UI_URL": self.url,
            },
        )
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and self._process.poll() is None:
            if self.answers():
                return
            pause(0.2)
        self._process.stop()
        raise LocalStackError(
            f"The Prefect server did not start on port {self.port}. Its log ends:\n{self._process.log_tail()}"
        )

    def answers(self) -> bool:
        """Whether what answers is this server: it is the only one that has our home directory."""
        try:
            answer = self._ask("GET", "admin/settings", timeout=2)
            return answer.is_success and answer.json().get("home") == str(self._home)
        except (
            httpx.HTTPError,
            ValueError,
            AttributeError,
        ):  # nothing, or something that is no Prefect server
            return False

    def serves(self, deployments: set[str], *, since: datetime) -> bool:
        """Whether somebody has asked for runs of each of these deployments after that moment."""
        try:
            answer = self._ask("POST", "deployments/filter", json={}, timeout=5)
            rows = answer.raise_for_status().json()
        except (httpx.HTTPError, ValueError):  # it is busy: next time
            return False
        polled = {row["name"]: row["last_polled"] for row in rows}
        return all(
            (at := polled.get(name)) and datetime.fromisoformat(at) > since
            for name in deployments
        )

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        return httpx.request(
            method, f"{self.url}/api/{path}", verify=trusted(), **options
        )

    def ended(self) -> bool:
        """Whether it is no longer running."""
        return self._process is None or self._process.poll() is not None

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process:
            self._process.kill()


def refuse_taken(port: int) -> None:
    """Raise PortTaken if nobody could listen on that port now."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        is_taken = error.errno == errno.EADDRINUSE
        state = (
            "is taken by another program"
            if is_taken
            else f"cannot be opened ({error.strerror})"
        )
        advice = "choose another with --port, or leave --port out for a free one."
        raise PortTaken(f"Port {port} {state}: {advice}") from error
