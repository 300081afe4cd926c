"""A command ends with whoever started it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from smsretry.local.process.child_process import ChildProcess
from tests.support.processes import ends
from tests.support.waiting import until

_IGNORES = "import signal, time; signal.signal(signal.SIGUSR1, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
_WAITS = ["sh", "-c", "echo $$; exec sleep 600"]
_STARTS_ONE_AND_WAITS = f"""
import sys, time
from pathlib import Path
from smsretry.local.process.child_process import ChildProcess
ChildProcess({_WAITS}, log=Path(sys.argv[1]))
time.sleep(600)
"""


def _pid_in(log: Path) -> int:
    until(lambda: log.exists() and log.read_text().endswith("\n"))
    return int(log.read_text())


def test_its_end_has_its_exit_code_or_the_signal(tmp_path: Path) -> None:
    """SIGKILL after its grace; and the log has the reason if it cannot be run."""
    itself = ChildProcess(
        [sys.executable, "-c", "raise SystemExit(7)"], log=tmp_path / "itself"
    )
    until(lambda: itself.poll() is not None)
    signalled = ChildProcess(_WAITS, log=tmp_path / "told", stop_signal=signal.SIGUSR1)
    ignores = [sys.executable, "-c", _IGNORES]
    killed = ChildProcess(
        ignores, log=tmp_path / "killed", stop_signal=signal.SIGUSR1, grace_seconds=0.2
    )
    crashed = ChildProcess(["sleep", "60"], log=tmp_path / "crashed")
    missing = ChildProcess([str(tmp_path / "missing")], log=tmp_path / "log")
    _pid_in(signalled.log)
    _pid_in(killed.log)
    assert signalled.poll() is None
    assert [itself.stop(), signalled.stop(), killed.stop(), crashed.kill()] == [
        7,
        -signal.SIGUSR1,
        -signal.SIGKILL,
        -signal.SIGKILL,
    ]
    assert [itself.kill(), signalled.stop()] == [7, -signal.SIGUSR1], "and once more"
    until(lambda: missing.poll() is not None)
    assert "No such file" in missing.log_tail()


def test_what_it_started_ends_with_it(tmp_path: Path) -> None:
    """Processes that it leaves in its group."""
    process = ChildProcess(
        ["sh", "-c", "sleep 600 & echo $!; wait"], log=tmp_path / "group"
    )
    child = _pid_in(process.log)
    process.stop()
    assert ends(child)


@pytest.mark.skipif(
    not sys.platform.startswith("linux"),
    reason="only Linux tells a process that its parent died",
)
def test_the_command_ends_when_its_starter_is_killed(tmp_path: Path) -> None:
    """By kill -9, or for want of memory, which nobody sees coming."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    log = tmp_path / "log"
    command = [sys.executable, "-c", _STARTS_ONE_AND_WAITS, str(log)]
    with subprocess.Popen(command, env=environment) as starter:
        pid = _pid_in(log)
        starter.kill()
        assert ends(pid)
