"""The files of an embedded PostgreSQL: where they are, how they are made, and what a crash left in them."""

import contextlib
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

from smsretry.errors import LocalStackError
from smsretry.local.process.server_user import ServerUser

_ENDING_SECONDS: Final = 3.0
_NO_SUCH_PID: Final = "99999999"  # above every system's largest process id


class PostgresData:
    """What is kept in `directory`: password (0600), postgres.log, and pgdata.

    If the server's user cannot come there (we are root, below /root), pgdata is in a directory of its own under the
    system's temporary one, and the file `place` says where. No existing directory's permissions are changed.
    """

    def __init__(self, directory: Path, user: ServerUser) -> None:
        self.directory = directory.absolute()
        self.log = self.directory / "postgres.log"
        self._user = user
        self._password_file = self.directory / "password"
        self._place = self.directory / "place"

    def prepare(self) -> tuple[Path, Path]:
        """Make what is missing, settle what a crash left. The data and the binaries. Raises LocalStackError."""
        self.directory.mkdir(parents=True, exist_ok=True)
        home = self._home()
        binaries = self._user.binaries(home)
        data = home / "pgdata"
        if not data.exists():
            self._create(data, binaries)
        _settle_left_over_pid(data)
        return data, binaries

    def password(self) -> str:
        """The superuser's password, kept from the first start on. Raises LocalStackError if it was never started."""
        try:
            return self._password_file.read_text()
        except FileNotFoundError as error:
            raise LocalStackError(
                f"{self._password_file} does not exist: call start() first, or, if it was lost, delete {self.directory}"
            ) from error

    def remove(self) -> None:
        """Delete all of it, and nothing that is not ours."""
        homes = {self.directory}
        with contextlib.suppress(FileNotFoundError):
            homes.add(Path(self._place.read_text().strip()))
        for home in homes:
            for name in ("pgdata", "pginstall"):
                shutil.rmtree(home / name, ignore_errors=True)
        for file in (self.log, self._password_file, self._place):
            file.unlink(missing_ok=True)
        for home in homes:
            with contextlib.suppress(OSError):  # it holds something else, or is gone
                home.rmdir()

    def _home(self) -> Path:
        if self._place.exists():
            home = Path(self._place.read_text().strip())
            if not home.is_dir():
                raise LocalStackError(f"The data of {self.directory} was in {home}, which is gone: delete both")
            return home
        if self._user.can_enter(self.directory):
            return self.directory
        home = Path(tempfile.mkdtemp(prefix="smsretry-postgres-"))
        self._user.own(home)
        if not self._user.can_enter(home):
            home.rmdir()
            raise LocalStackError(
                f"PostgreSQL does not run as root, and its user {self._user.name} reaches neither {self.directory} nor "
                f"{home.parent}: choose a directory outside /root, set TMPDIR to one, or do not run as root"
            )
        self._place.write_text(f"{home}\n")
        return home

    def _create(self, data: Path, binaries: Path) -> None:
        password = data.parent / "initdb.password"  # a copy, because the server's user must read it
        unfinished = data.parent / "pgdata.unfinished"  # renamed when whole: no half-made data directory is started
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        _write_private(self._password_file, secrets.token_urlsafe(24))
        _write_private(password, self.password())
        try:
            self._user.own(unfinished)
            self._user.own(password)
            answer = self._user.run(
                binaries / "initdb", "-D", unfinished, "--username=postgres", f"--pwfile={password}",
                "--auth-local=scram-sha-256", "--auth-host=scram-sha-256",
                "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions",
            )  # fmt: skip
        finally:
            password.unlink()
        if answer.returncode != 0:
            raise LocalStackError(f"PostgreSQL could not create its data in {data}:\n{answer.stdout}{answer.stderr}")
        unfinished.rename(data)


def _settle_left_over_pid(data: Path) -> None:
    """Make a crash's postmaster.pid harmless; raise LocalStackError if its server still runs.

    PostgreSQL itself gets over a process id that is gone, but not over one that another process has been given since.
    The rest of the file stays, so that it still finds backends that hold the old shared memory.
    """
    path = data / "postmaster.pid"
    deadline = time.monotonic() + _ENDING_SECONDS
    while path.exists():
        pid, _, rest = path.read_text().partition("\n")
        command = _command_of(pid) if pid.isdigit() else ""
        if f"-D {data} " not in command:
            if command:
                path.write_text(f"{_NO_SUCH_PID}\n{rest}")
            elif not pid:
                path.unlink()  # the disk was full, or it died as it wrote
            return
        if time.monotonic() > deadline:
            raise LocalStackError(
                f"PostgreSQL runs on {data} already, process {pid}: use that one, or end it (kill -INT {pid})"
            )
        time.sleep(0.05)  # its owner may have died just now, and its guard be ending it


def _command_of(pid: str) -> str:
    """The command line of a living process, a space after each word; empty if there is none."""
    if Path("/proc/self/cmdline").exists():
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
            return words.replace(b"\0", b" ").decode(errors="replace") or "(a kernel thread or a zombie) "
        return ""
    listing = subprocess.run(["ps", "-p", pid, "-o", "command="], capture_output=True, text=True, check=False)  # noqa: S607 - wherever ps is
    return f"{listing.stdout.strip()} " if listing.returncode == 0 else ""


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
