"""`smsretry demo` and `smsretry up` as a newcomer runs them, down to the last process."""

import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from tests.support.processes import Descendants

COMMAND = [sys.executable, "-m", "smsretry"]


@pytest.fixture
def started(tmp_path: Path) -> Descendants:
    """What this test starts."""
    return Descendants(tmp_path / "temporary")


def test_the_demo_does_not_delete_what_is_not_its_own(tmp_path: Path) -> None:
    """A mistyped --data-dir costs nobody a folder."""
    (tmp_path / "thesis.txt").write_text("all of it")
    done = subprocess.run(
        [*COMMAND, "demo", "--data-dir", str(tmp_path)],
        env={**os.environ, "COLUMNS": "400"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "holds other things than a stack's data: give another --data-dir." in done.stderr
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.long
def test_up_serves_the_deployment_and_takes_everything_with_it(tmp_path: Path, started: Descendants) -> None:
    """Even by kill -9. By Ctrl-C ends the one in test_beside_up.py."""
    log, began = tmp_path / "up.log", datetime.now(UTC)
    with log.open("wb") as output:
        up = subprocess.Popen(
            [*COMMAND, "up", "--empty", "--data-dir", str(tmp_path / "data")],
            stdout=output,
            stderr=output,
            env=started.environment,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 180
        while not (address := re.search(r"Prefect UI\s+(http\S+)", log.read_text())) or not is_served(
            address[1], since=began
        ):
            assert up.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        for part in ("postgres", "prefect server start", "smsretry_flows.serve"):
            assert any(part in command for command in started.running()), part
    finally:
        up.kill()
        up.wait(120)
    assert "Zane" not in log.read_text(), "nobody is in an empty database"
    assert started.all_end(), started.running()
    assert started.left_behind() == []


def is_served(url: str, *, since: datetime) -> bool:
    """Whether the deployment's schedule is on, and a runner registered it after that moment."""
    answer = httpx.get(f"{url}/api/deployments/name/process-sms-retries/process-sms-retries", timeout=60)
    if not answer.is_success:
        return False
    deployment = answer.json()
    return datetime.fromisoformat(deployment["updated"]) > since and not deployment["paused"]
