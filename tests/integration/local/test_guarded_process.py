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

_IGNORES = "import signal, time; signal.signal({}, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
_STARTS_ONE_AND_WAITS = """
import sys, time
from pathlib import Path
from smsretry.local.process.guarded_process import GuardedProcess
GuardedProcess(["sh", "-c", "echo $$; exec sleep 60"], log=Path(sys.argv[1]))
time.sleep(60)
"""


def _said(log: Path) -> str:
    until(lambda: log.exists() and log.read_text().endswith("\n"))
    return log.read_text().strip()


def test_its_end_has_the_exit_code_of_a_shell(tmp_path: Path) -> None:
    """Its own, 128 and the number of a signal, SIGKILL after its grace, and 127 with the reason if it cannot be run."""
    itself = GuardedProcess([sys.executable, "-c", "raise SystemExit(7)"], log=tmp_path / "itself")
    until(lambda: itself.poll() is not None)
    told = GuardedProcess(["sleep", "60"], log=tmp_path / "told", stop_signal=signal.SIGUSR1)
    ignores = [sys.executable, "-c", _IGNORES.format(int(signal.SIGUSR1))]
    killed = GuardedProcess(ignores, log=tmp_path / "killed", stop_signal=signal.SIGUSR1, grace_seconds=0.2)
    _said(killed.log)
    crashed = GuardedProcess(["sleep", "60"], log=tmp_path / "crashed")
    missing = GuardedProcess([str(tmp_path / "missing")], log=tmp_path / "log")
    assert told.poll() is None
    assert [itself.stop(), told.stop(), killed.stop(), crashed.kill(), missing.stop()] == [
        7, 128 + signal.SIGUSR1, 128 + signal.SIGKILL, 128 + signal.SIGKILL, 127,
    ]  # fmt: skip
    assert [itself.kill(), told.stop()] == [7, 128 + signal.SIGUSR1], "and once more"
    assert "No such file" in missing.log_tail()


def test_what_a_command_started_ends_with_it(tmp_path: Path) -> None:
    """Processes that it leaves in its group."""
    process = GuardedProcess(["sh", "-c", "sleep 60 & echo $!; wait"], log=tmp_path / "log")
    child = int(_said(process.log))
    process.stop()
    assert ends(child)


@pytest.mark.parametrize("whom", ["its starter", "its guard"])
def test_the_command_ends_when_somebody_is_killed(tmp_path: Path, whom: str) -> None:
    """By kill -9, or for want of memory, which nobody sees coming."""
    if whom == "its guard" and not sys.platform.startswith("linux"):
        pytest.skip("only Linux tells a process that its parent died")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", _STARTS_ONE_AND_WAITS, str(tmp_path / "log")]
    with subprocess.Popen(command, env=environment) as starter:
        pid = int(_said(tmp_path / "log"))
        guard = psutil.Process(pid).parent()
        assert guard is not None
        victim = guard if whom == "its guard" else psutil.Process(starter.pid)
        victim.kill()
        assert ends(pid)
        starter.kill()


def test_what_tells_everybody_to_end_leaves_the_guard_at_its_post(tmp_path: Path) -> None:
    """A supervisor's SIGTERM reaches it as well; its command is still asked to end by the one who started it."""
    process = GuardedProcess(["sh", "-c", "echo $$; exec sleep 60"], log=tmp_path / "log", stop_signal=signal.SIGUSR1)
    guard = psutil.Process(int(_said(process.log))).parent()
    assert guard is not None
    guard.terminate()
    time.sleep(0.1)
    assert process.stop() == 128 + signal.SIGUSR1
