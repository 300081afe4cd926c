"""A guarded command ends with whoever started it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from smsretry.local.process.guarded_process import GuardedProcess
from tests.support.processes import ends
from tests.support.waiting import until

_IGNORES = "import signal, time; signal.signal(signal.SIGUSR1, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
_WAITS = ["sh", "-c", "echo $$; exec sleep 60"]
_STARTS_ONE_AND_WAITS = f"""
import sys, time
from pathlib import Path
from smsretry.local.process.guarded_process import GuardedProcess
GuardedProcess({_WAITS}, log=Path(sys.argv[1]))
time.sleep(60)
"""


def _pid_in(log: Path) -> int:
    until(lambda: log.exists() and log.read_text().endswith("\n"))
    return int(log.read_text())


def test_its_end_has_the_exit_code_of_a_shell(tmp_path: Path) -> None:
    """Its own, 128 and the number of a signal, SIGKILL after its grace, and 127 with the reason if it cannot be run."""
    itself = GuardedProcess(
        [sys.executable, "-c", "raise SystemExit(7)"], log=tmp_path / "itself"
    )
    until(lambda: itself.poll() is not None)
    signalled = GuardedProcess(
        ["sleep", "60"], log=tmp_path / "told", stop_signal=signal.SIGUSR1
    )
    ignores = [sys.executable, "-c", _IGNORES]
    killed = GuardedProcess(
        ignores, log=tmp_path / "killed", stop_signal=signal.SIGUSR1, grace_seconds=0.2
    )
    _pid_in(killed.log)
    crashed = GuardedProcess(["sleep", "60"], log=tmp_path / "crashed")
    missing = GuardedProcess([str(tmp_path / "missing")], log=tmp_path / "log")
    assert signalled.poll() is None
    assert [itself.stop(), signalled.stop(), killed.stop(), crashed.kill(), missing.stop()] == [
        7, 128 + signal.SIGUSR1, 128 + signal.SIGKILL, 128 + signal.SIGKILL, 127,
    ]  # fmt: skip
    assert [itself.kill(), signalled.stop()] == [7, 128 + signal.SIGUSR1], (
        "and once more"
    )
    assert "No such file" in missing.log_tail()


def test_what_it_started_ends_with_it_and_a_supervisors_signal_leaves_the_guard_at_its_post(
    tmp_path: Path,
) -> None:
    """Processes that it leaves in its group; and who started it still asks it to end, in its own way."""
    process = GuardedProcess(
        ["sh", "-c", "sleep 60 & echo $!; wait"], log=tmp_path / "group"
    )
    child = _pid_in(process.log)
    process.stop()
    assert ends(child)
    process = GuardedProcess(_WAITS, log=tmp_path / "log", stop_signal=signal.SIGUSR1)
    guard = psutil.Process(_pid_in(process.log)).parent()
    assert guard is not None
    guard.terminate()
    time.sleep(0.1)
    assert process.stop() == 128 + signal.SIGUSR1


@pytest.mark.skipif(
    not sys.platform.startswith("linux"),
    reason="only Linux tells a process that its parent died",
)
def test_the_command_ends_when_its_starter_or_its_guard_is_killed(
    tmp_path: Path,
) -> None:
    """By kill -9, or for want of memory, which nobody sees coming."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    for whom in ("starter", "guard"):
        command = [sys.executable, "-c", _STARTS_ONE_AND_WAITS, str(tmp_path / whom)]
        with subprocess.Popen(command, env=environment) as starter:
            pid = _pid_in(tmp_path / whom)
            guard = psutil.Process(pid).parent()
            assert guard is not None
            (guard if whom == "guard" else psutil.Process(starter.pid)).kill()
            assert ends(pid)
            starter.kill()
