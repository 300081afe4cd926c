"""`smsretry demo` and `smsretry up` as a newcomer runs them, down to the last process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import Descendants
from tests.support.waiting import until

COMMAND = [sys.executable, "-m", "smsretry"]


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
def test_up_takes_everything_with_it(tmp_path: Path) -> None:
    """Even by kill -9. By Ctrl-C ends the one in test_up.py."""
    started = Descendants(tmp_path / "temporary")

    def all_run() -> bool:
        running = "\n".join(started.running())
        return all(part in running for part in ("postgres", "prefect server start", "smsretry_flows.serve"))

    up = subprocess.Popen(
        [*COMMAND, "up", "--empty", "--data-dir", str(tmp_path / "data")],
        stdout=subprocess.DEVNULL,
        env=started.environment,
        start_new_session=True,
    )
    try:
        until(lambda: all_run() or up.poll() is not None)
        assert all_run()
    finally:
        up.kill()
        up.wait(120)
    assert started.all_end(), started.running()
    assert started.left_behind() == []
