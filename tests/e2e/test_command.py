"""`smsretry demo` and `smsretry up` as a newcomer runs them, down to the last process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import Descendants
from tests.support.waiting import until

COMMAND = [sys.executable, "-m", "smsretry"]


@pytest.fixture
def started(tmp_path: Path) -> Descendants:
    """What this test starts."""
    return Descendants(tmp_path / "temporary")


def test_up_does_not_touch_what_is_not_its_own(tmp_path: Path) -> None:
    """A mistyped --data-dir costs nobody a folder."""
    (tmp_path / "thesis.txt").write_text("all of it")
    done = subprocess.run(
        [*COMMAND, "up", "--data-dir", str(tmp_path)],
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
    log = tmp_path / "up.log"
    with log.open("wb") as output:
        up = subprocess.Popen(
            [*COMMAND, "up", "--empty", "--data-dir", str(tmp_path / "data")],
            stdout=output,
            stderr=output,
            env=started.environment,
            start_new_session=True,
        )
    try:
        until(lambda: "Prefect UI" in log.read_text() or up.poll() is not None)
        for part in ("postgres", "prefect server start", "smsretry_flows.serve"):
            assert any(part in command for command in started.running()), part
    finally:
        up.kill()
        up.wait(120)
    assert "Zane" not in log.read_text(), "nobody is in an empty database"
    assert started.all_end(), started.running()
    assert started.left_behind() == []
