"""`smsretry up` as a person starts it in a terminal, and other commands beside it."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from smsretry.local.demo.run import ROOT
from smsretry.local.process.http import free_port
from tests.support.processes import Descendants

_COMMAND = [sys.executable, "-m", "smsretry"]


@dataclass(frozen=True)
class Up:
    """A running `smsretry up`."""

    pid: int
    port: int
    data: Path
    started: Descendants
    log: Path

    @property
    def url(self) -> str:
        """Of Prefect's UI."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def settings(self) -> dict[str, str]:
        """What it wrote for other terminals."""
        return dict(re.findall(r"export (\w+)='?([^'\n]*)", (self.data / "env").read_text()))

    def beside(self, *arguments: str, **changes: str) -> "subprocess.CompletedProcess[str]":
        """Another command, to its end."""
        return subprocess.run(
            [*_COMMAND, *arguments],
            capture_output=True,
            text=True,
            timeout=180,
            env={**self.started.environment, **changes},
            cwd=ROOT,
            check=False,
        )

    def connect(self) -> psycopg.Connection[dict[str, Any]]:
        """A connection to its database, in autocommit, with rows as dicts."""
        return psycopg.connect(self.settings["DATABASE_URL"], autocommit=True, row_factory=dict_row)

    def count(self, query: str) -> int:
        """One number from its database."""
        with self.connect() as connection:
            row = connection.execute(query.encode()).fetchone()
        return int(next(iter(row.values()))) if row else 0


@contextmanager
def running_up(directory: Path, *options: str, **changes: str) -> Iterator[Up]:
    """Start it on a free port, wait until it is ready, and interrupt it afterwards.

    Args:
        directory: for its data, its log and what it would leave in the temporary directory.
        options: of the command.
        changes: to its environment.
    """
    started, port = Descendants(directory / "tmp"), free_port()
    up = Up(0, port, directory / "data", started, directory / "log")
    with up.log.open("wb") as output:
        process = subprocess.Popen(
            [*_COMMAND, "up", "--data-dir", str(up.data), "--port", str(port), *options],
            stdout=output,
            stderr=output,
            env={**started.environment, **changes},
            start_new_session=True,
            # Whoever runs it in the background has SIGINT ignored, and so would this process.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    try:
        deadline = time.monotonic() + 180
        while "Ctrl-C stops everything" not in up.log.read_text():
            assert process.poll() is None, up.log.read_text()
            assert time.monotonic() < deadline, up.log.read_text()
            time.sleep(0.1)
        yield Up(process.pid, port, up.data, started, up.log)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(120)
    assert process.returncode == 130
