"""A stack's directory is one command's at a time, and nobody else's."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from smsretry.errors import LocalStackError
from smsretry.local.directory import MARKER, stack_directory

_TAKES_IT_AND_WAITS = """
import sys, time
from pathlib import Path
from smsretry.local.directory import stack_directory
with stack_directory(Path(sys.argv[1])):
    print("taken", flush=True)
    time.sleep(120)
"""


def take(path: Path) -> None:
    """And let it go at once."""
    with stack_directory(path):
        pass


def test_a_directory_in_use_names_the_process_and_what_to_do(tmp_path: Path) -> None:
    """Whoever comes second is told whom to stop. After a kill -9 the directory is free at once, with what is in it."""
    command = [sys.executable, "-c", _TAKES_IT_AND_WAITS, str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "taken\n"
        with pytest.raises(LocalStackError, match=rf"in use by process {other.pid}: stop"):
            take(tmp_path / "data")
        other.send_signal(signal.SIGKILL)
    (tmp_path / "data" / "postgres").mkdir()
    take(tmp_path / "data")


def test_a_directory_with_anything_in_it_and_no_marker_is_somebody_elses(tmp_path: Path) -> None:
    """Even if what is in it has the names of our own folders. Nothing is written to it."""
    (tmp_path / "postgres").mkdir()
    with pytest.raises(LocalStackError, match=r"holds other things than a stack's data: give another --data-dir."):
        take(tmp_path)
    assert not (tmp_path / MARKER).exists()


def test_a_directory_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """Also for root, who may write everywhere but below a file."""
    (tmp_path / "file").touch()
    with pytest.raises(LocalStackError, match=r"Not a directory.*give another --data-dir"):
        take(tmp_path / "file" / "data")
