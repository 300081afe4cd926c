"""A guarded command ends with whoever started it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from smsretry.errors import LocalStackError
from smsretry.local.process import guard
from smsretry.local.process.guarded_process import GuardedProcess
from tests.support.processes import ends, is_alive

_IGNORES_SIGTERM = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
)


def test_a_command_that_ends_by_itself_gives_its_exit_code(tmp_path: Path) -> None:
    """The guard's exit code is the command's."""
    process = GuardedProcess([sys.executable, "-c", "raise SystemExit(7)"], log=tmp_path / "log")
    while process.poll() is None:
        time.sleep(0.02)
    assert process.poll() == 7
    assert process.stop() == 7


def test_stopping_sends_the_chosen_signal(tmp_path: Path) -> None:
    """A command ended by a signal gives 128 + its number, as in a shell."""
    process = GuardedProcess(["sleep", "60"], log=tmp_path / "log", stop_signal=signal.SIGUSR1)
    assert process.poll() is None
    assert process.stop() == 128 + signal.SIGUSR1
    assert not is_alive(process.pid)


def test_a_command_that_ignores_the_signal_is_killed_after_its_grace(tmp_path: Path) -> None:
    """After the grace comes SIGKILL."""
    process = GuardedProcess([sys.executable, "-c", _IGNORES_SIGTERM], log=tmp_path / "log", grace_seconds=0.2)
    while "ready" not in process.log_tail():
        time.sleep(0.02)
    assert process.stop() == 128 + signal.SIGKILL


def test_what_a_command_started_ends_with_it(tmp_path: Path) -> None:
    """Processes the command leaves in its group are ended too."""
    process = GuardedProcess(["sh", "-c", "sleep 60 & echo $!; wait"], log=tmp_path / "log")
    while not process.log_tail():
        time.sleep(0.02)
    process.stop()
    assert ends(int(process.log_tail().split()[0]))


def test_a_command_that_cannot_be_run_is_an_error_with_its_reason(tmp_path: Path) -> None:
    """The error names the command and holds the end of its log."""
    with pytest.raises(LocalStackError, match="No such file"):
        GuardedProcess([str(tmp_path / "missing")], log=tmp_path / "log")


def test_the_guard_is_a_program_that_ends_with_its_standard_input() -> None:
    """`python -m smsretry.local.process.guard` sends the signal when its stdin reaches its end."""
    arguments = [sys.executable, "-m", guard.__name__, "--signal", "SIGUSR1", "--", "sleep", "60"]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE) as program:
        program.communicate(timeout=120)
    assert program.returncode == 128 + signal.SIGUSR1


def test_a_guard_that_is_told_to_end_ends_its_command() -> None:
    """SIGTERM to the guard reaches the command as its stop signal."""
    command = ["sh", "-c", "echo started; sleep 60"]
    arguments = [sys.executable, "-m", guard.__name__, "--signal", "SIGUSR1", "--", *command]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"started\n"
        program.terminate()
        assert program.wait(timeout=120) == 128 + signal.SIGUSR1


def test_the_command_ends_though_nobody_reads_its_process_id_any_more(tmp_path: Path) -> None:
    """Whoever is interrupted while it waits for the id closes its end; the guard then dies of no broken pipe."""
    reader, writer = os.pipe()
    os.close(reader)
    told = tmp_path / "pid"
    command = ["sh", "-c", f"echo $$ > {told}; exec sleep 60"]
    arguments = [sys.executable, guard.__file__, "--pid-fd", str(writer), "--", *command]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=[writer]) as program:
        os.close(writer)
        while not told.exists() or not (pid := told.read_text().strip()):
            time.sleep(0.02)
        assert is_alive(int(pid)), "the starter still lives"
        _, errors = program.communicate(timeout=120)
    assert ends(int(pid))
    assert errors == b""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells a process that its parent died")
def test_the_command_does_not_outlive_a_guard_that_is_killed(tmp_path: Path) -> None:
    """By kill -9, or for want of memory, the guard ends without a word."""
    process = GuardedProcess(["sleep", "60"], log=tmp_path / "log")
    process._guard.kill()
    assert ends(process.pid)
