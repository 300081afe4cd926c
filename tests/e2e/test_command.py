"""`smsretry demo` and `smsretry up` as a newcomer runs them, down to the last process."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest

from tests.e2e.documents import FRONT_PAGE, demo_rows

COMMAND = [sys.executable, "-m", "smsretry.cli"]


class Descendants:
    """The processes a command starts, known by a variable in their environment, wherever they went."""

    def __init__(self) -> None:
        self._mark = uuid4().hex
        self.environment = {**os.environ, "SMSRETRY_TEST_MARK": self._mark, "COLUMNS": "200"}

    def running(self) -> list[str]:
        """Names of those that run."""
        return [process.name() for process in psutil.process_iter() if self._is_ours(process)]

    def all_end(self, seconds: float = 15) -> bool:
        """Whether they end by themselves."""
        deadline = time.monotonic() + seconds
        while self.running():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return bool(process.environ().get("SMSRETRY_TEST_MARK") == self._mark)
        except psutil.Error:
            return False


def test_the_demo_shows_every_outcome_and_leaves_nothing_running(tmp_path: Path) -> None:
    """From nothing to the table, on real parts. The README shows a part of that table."""
    started = Descendants()
    done = subprocess.run(
        [*COMMAND, "demo", "--data-dir", str(tmp_path / "data")],
        capture_output=True,
        text=True,
        timeout=180,
        env=started.environment,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for words in (
        "Accepted by Twilio",
        "Quiet hours: ",
        "Customer opted out",
        "Customer opted out (consent is unknown)",
        "Customer has no phone number",
        "Phone number is not E.164",
        "Twilio 21211: Invalid 'To' Phone Number",
        "Twilio 21610: Attempt to send to unsubscribed recipient",
        "Gave up after 3 attempts; the last: Twilio 21702",
        "Twilio answered with an error of its own (HTTP 500)",
        "Was in doubt; found in Twilio's list",
        "The worker died after the send began",
        "Expired before it could be sent",
        "Send log not found",
        "Run 1: recovered 2, claimed 50: sent ",
        "Run 2: recovered 0, claimed ",
    ):
        assert words in done.stdout
    shown, printed = demo_rows(FRONT_PAGE.text), demo_rows(done.stdout)
    assert set(shown) <= set(printed)
    assert f"It queues {len(printed)} texts" in FRONT_PAGE.text.replace("\n", " ")
    assert f"({len(printed) - len(shown)} rows are left out" in FRONT_PAGE.text
    ledger = re.search(r"Twilio's own ledger: (\d+) texts to (\d+) numbers", done.stdout)
    assert ledger is not None
    assert ledger[1] == ledger[2], "nobody was texted twice"
    assert started.all_end()


def test_the_demo_does_not_delete_what_is_not_its_own(tmp_path: Path) -> None:
    """A mistyped --data-dir costs nobody a folder."""
    (tmp_path / "thesis.txt").write_text("all of it")
    done = subprocess.run(
        [*COMMAND, "demo", "--data-dir", str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "holds other things than a stack's data: give another --data-dir." in done.stderr
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_up_serves_the_deployment_and_takes_everything_with_it(tmp_path: Path, end: signal.Signals) -> None:
    """By Ctrl-C, by a supervisor's SIGTERM, and even by kill -9."""
    started, log = Descendants(), tmp_path / "up.log"
    with log.open("wb") as output:
        up = subprocess.Popen(
            [*COMMAND, "up", "--empty", "--data-dir", str(tmp_path / "data")],
            stdout=output,
            stderr=output,
            env=started.environment,
            start_new_session=True,
            # Whoever runs the tests in the background has SIGINT ignored, and so would this process.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    try:
        deadline = time.monotonic() + 90
        while not (address := re.search(r"Prefect UI\s+(http\S+)", log.read_text())) or not is_served(address[1]):
            assert up.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.3)
        assert {"postgres", "python"} <= {re.sub(r"[\d.]+", "", name) for name in started.running()}
    finally:
        up.send_signal(end)
        try:
            up.wait(120)  # each part has its grace, on a busy machine all of it
        finally:
            up.kill()
    assert started.all_end(), started.running()
    assert up.returncode == (-signal.SIGKILL if end == signal.SIGKILL else 0)


def is_served(url: str) -> bool:
    """Whether the deployment is there and its schedule is on."""
    answer = httpx.get(f"{url}/api/deployments/name/process-sms-retries/process-sms-retries", timeout=10)
    return answer.is_success and not answer.json()["paused"]
