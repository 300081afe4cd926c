"""Ctrl-C while `demo` and `up` start: nothing runs on, nothing of others is deleted, nobody sees a traceback."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.support.processes import Descendants
from tests.support.waiting import until

THEIRS = "all of it"
TRIES = [
    ("demo", 1, None),
    ("demo", 2, 0.1),
    ("up", 1, 0.1),
    ("up", 2, None),
    ("up", 3, 0.5),
]
"""What is started; how many of its parts are being started when it is interrupted; and after how long once more."""


@pytest.mark.long
@pytest.mark.parametrize(("command", "parts", "again_after"), TRIES)
def test_ctrl_c_ends_what_was_started_and_nothing_else(
    tmp_path: Path, command: str, parts: int, again_after: float | None
) -> None:
    """As a terminal does it: to the whole group of processes."""
    started, data, log = (
        Descendants(tmp_path / "tmp"),
        tmp_path / "data",
        tmp_path / "log",
    )
    theirs = [tmp_path / "tmp" / "smsretry-demo-theirs", tmp_path / "beside"]
    for file in theirs:
        file.write_text(THEIRS)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "smsretry",
                command,
                *(["--data-dir", str(data)] if command == "up" else []),
            ],
            stdout=output,
            stderr=output,
            env=started.environment,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    until(
        lambda: (
            process.poll() is not None
            or len(psutil.Process(process.pid).children()) >= parts
        )
    )
    os.killpg(process.pid, signal.SIGINT)
    if again_after is not None:
        time.sleep(again_after)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
    assert process.wait(120) == 130, log.read_text()
    assert started.all_end(), started.running()
    assert started.left_behind() == [theirs[0].name]
    assert [file.read_text() for file in theirs] == [THEIRS, THEIRS]
    assert log.read_text().count("Stopped.") == 1
    assert "Traceback" not in log.read_text()
