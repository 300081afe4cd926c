"""A directory for one stack: one command at a time uses it, and it deletes only what the stack made.

Two files say so. The lock is held as long as the process that took it lives, and names it. The marker says which
command made the data, and what in the directory is the stack's. A directory that holds anything without a marker is
somebody else's.
"""

import contextlib
import fcntl
import os
import shutil
from pathlib import Path
from typing import Final, Literal, Self, TypeAlias

from smsretry.errors import LocalStackError

Command: TypeAlias = Literal["demo", "up"]

LOCK: Final = ".smsretry-lock"
MARKER: Final = ".smsretry-stack"
_UNFINISHED: Final = f"{MARKER}.unfinished"
_OURS: Final = ("env", "postgres", "prefect")
_TITLE: Final = "made by smsretry "


class StackDirectory:
    """A directory for one stack, from `with` to the end of the block.

    Args:
        path: need not exist.
        command: who asks. `up` may go on with a demo's data; a demo may not touch the data of `up`.
    """

    def __init__(self, path: Path, command: Command) -> None:
        self.path = path.absolute()
        self._command = command
        self._lock: int | None = None

    def __enter__(self) -> Self:
        """Take it.

        Raises:
            LocalStackError: it is somebody else's, or in use (names the process), or cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._refuse_what_is_not_ours()
            self._lock = self._locked()
            self._refuse_what_is_not_ours()
            self._mark()
        except OSError as error:
            self._release()
            raise LocalStackError(
                f"{self.path} cannot be used ({error.strerror}): give another --data-dir, one that you may write to."
            ) from error
        except LocalStackError:
            self._release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._release()

    def clear(self) -> None:
        """Delete what the marker lists. Raises LocalStackError if something cannot be deleted."""
        for name in self._listed():
            path = self.path / name
            try:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
            except OSError as error:
                raise LocalStackError(f"{path} cannot be deleted ({error.strerror}): delete it.") from error

    def remove(self) -> None:
        """Delete what the marker lists, then the marker and the lock; and the directory, if nothing else is in it."""
        self.clear()
        for name in (MARKER, LOCK):
            (self.path / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.path.rmdir()

    def _refuse_what_is_not_ours(self) -> None:
        made_by = self._made_by()
        if made_by is None and {entry.name for entry in self.path.iterdir()} - {LOCK, _UNFINISHED}:
            raise LocalStackError(f"{self.path} holds other things than a stack's data: give another --data-dir.")
        if made_by == "up" and self._command == "demo":
            raise LocalStackError(
                f"{self.path} holds the data of `smsretry up`, which a demo would delete: give another --data-dir, "
                "or none."
            )

    def _locked(self) -> int:
        path = self.path / LOCK
        while True:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.exists() and os.path.samestat(os.fstat(lock), path.stat()):
                    os.truncate(lock, 0)
                    os.pwrite(lock, f"{os.getpid()} smsretry {self._command}\n".encode(), 0)
                    return lock
                os.close(lock)  # whoever had it has just deleted it
            except BlockingIOError:
                os.close(lock)
                raise self._in_use(path) from None

    def _in_use(self, lock: Path) -> LocalStackError:
        pid, _, command = lock.read_text().strip().partition(" ")
        who, how = (f"`{command}`, process {pid}", f", or kill {pid}") if command else ("another process", "")
        return LocalStackError(
            f"{self.path} is in use by {who}: stop that one (Ctrl-C{how}), or give another --data-dir."
        )

    def _mark(self) -> None:
        unfinished = self.path / _UNFINISHED  # renamed when whole: a marker that is there says everything
        unfinished.write_text("\n".join([_TITLE + self._command, *_OURS, ""]))
        unfinished.replace(self.path / MARKER)

    def _made_by(self) -> str | None:
        lines = self._marker()
        return lines[0].removeprefix(_TITLE) if lines and lines[0].startswith(_TITLE) else None

    def _listed(self) -> list[str]:
        return [name for name in self._marker()[1:] if name in _OURS]

    def _marker(self) -> list[str]:
        try:
            return (self.path / MARKER).read_text().splitlines()
        except FileNotFoundError:
            return []

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
