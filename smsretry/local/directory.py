"""The directory of `smsretry up`: one command at a time uses it, and nothing is put into somebody else's.

One file says both. It is in every directory that a stack has used, and locked for as long as the process lives whose id
it holds.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from smsretry.errors import LocalStackError

MARKER: Final = ".smsretry-stack"


@contextmanager
def stack_directory(path: Path) -> Iterator[Path]:
    """Take a directory for one stack until the block ends; gives its absolute path. It need not exist.

    Raises:
        LocalStackError: it is somebody else's, or in use (names the process), or cannot be written.
    """
    path = path.absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
        names = {entry.name for entry in path.iterdir()}
        if names and MARKER not in names:
            raise LocalStackError(f"{path} holds other things than a stack's data: give another --data-dir.")
        marker = os.open(path / MARKER, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise LocalStackError(
            f"{path} cannot be used ({error.strerror}): give another --data-dir, one that you may write to."
        ) from error
    try:
        _lock(marker, path)
        yield path
    finally:
        os.close(marker)


def _lock(marker: int, path: Path) -> None:
    try:
        fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(marker, 20, 0).decode().strip()
        who, how = (f"process {pid}", f", or kill {pid}") if pid else ("another process", "")
        raise LocalStackError(
            f"{path} is in use by {who}: stop that one (Ctrl-C{how}), or give another --data-dir."
        ) from None
    os.truncate(marker, 0)
    os.pwrite(marker, f"{os.getpid()}\n".encode(), 0)
