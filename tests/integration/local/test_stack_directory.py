"""A stack's directory is one command's at a time, and only what the stack made in it is deleted."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from smsretry.errors import LocalStackError
from smsretry.local.directory import LOCK, MARKER, StackDirectory

_TAKES_IT_AND_WAITS = """
import sys, time
from pathlib import Path
from smsretry.local.directory import StackDirectory
with StackDirectory(Path(sys.argv[1]), "up"):
    print("taken", flush=True)
    time.sleep(120)
"""


def _taken_by_another_process(path: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", _TAKES_IT_AND_WAITS, str(path)]
    other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "taken\n"
    return other


def test_a_directory_in_use_names_the_process_and_what_to_do(tmp_path: Path) -> None:
    """Whoever comes second is told whom to stop. After a kill -9 the directory is free at once."""
    other = _taken_by_another_process(tmp_path / "data")
    try:
        with pytest.raises(LocalStackError, match=rf"in use by `smsretry up`, process {other.pid}: stop"):
            StackDirectory(tmp_path / "data", "up").__enter__()
    finally:
        other.send_signal(signal.SIGKILL)
        other.communicate()
    with StackDirectory(tmp_path / "data", "up"):
        pass


def test_a_directory_with_anything_in_it_and_no_marker_is_somebody_elses(tmp_path: Path) -> None:
    """Even if what is in it has the names of our own folders. Nothing is written to it."""
    (tmp_path / "postgres").mkdir()
    with pytest.raises(LocalStackError, match=r"holds other things than a stack's data: give another --data-dir."):
        StackDirectory(tmp_path, "up").__enter__()
    assert [path.name for path in tmp_path.iterdir()] == ["postgres"]


def test_a_command_killed_before_it_wrote_the_marker_locks_nobody_out(tmp_path: Path) -> None:
    """A directory that holds a lock and no more is as good as empty."""
    (tmp_path / LOCK).touch()
    with StackDirectory(tmp_path, "demo"):
        assert (tmp_path / MARKER).exists()


def test_only_what_the_marker_lists_is_deleted(tmp_path: Path) -> None:
    """What somebody put beside it stays, and so does what a link leads to."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "thesis.txt").touch()
    with StackDirectory(tmp_path / "data", "demo") as directory:
        (directory.path / "postgres").mkdir()
        (directory.path / "postgres" / "PG_VERSION").touch()
        (directory.path / "prefect").symlink_to(elsewhere)
        (directory.path / "mine.txt").touch()
        directory.remove()
    assert [path.name for path in directory.path.iterdir()] == ["mine.txt"]
    assert (elsewhere / "thesis.txt").exists()


def test_a_directory_with_nothing_else_in_it_is_removed_whole(tmp_path: Path) -> None:
    """A temporary one leaves no trace."""
    with StackDirectory(tmp_path / "data", "demo") as directory:
        directory.remove()
    assert not directory.path.exists()


def test_a_demo_does_not_touch_the_data_of_up(tmp_path: Path) -> None:
    """The other way round `up` goes on with a demo's data, which then are its own."""
    with StackDirectory(tmp_path, "demo"):
        pass
    with StackDirectory(tmp_path, "up"):
        pass
    with pytest.raises(LocalStackError, match=r"holds the data of `smsretry up`, which a demo would delete"):
        StackDirectory(tmp_path, "demo").__enter__()


def test_a_directory_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """Also for root, who may write everywhere but below a file."""
    (tmp_path / "file").touch()
    with pytest.raises(LocalStackError, match=r"Not a directory.*give another --data-dir"):
        StackDirectory(tmp_path / "file" / "data", "up").__enter__()
