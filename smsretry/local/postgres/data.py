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
from smsretry.local.postgres.server_user import ServerUser
from smsretry.local.process.interrupt import pause

SCRAM_ITERATIONS: Final = "1"
"""Iterations slow down whoever guesses, and each login by 4 ms. The passwords are 24 random bytes: nobody guesses."""
_ENDING_SECONDS: Final = 3.0
_NO_SUCH_PID: Final = "99999999"  # above every system's largest process id
_UNFINISHED: Final = "pgdata.unfinished"


class PostgresData:
    """What is kept in `directory`: password (0600), postgres.log, and pgdata."""

    def __init__(self, directory: Path, user: ServerUser) -> None:
        self.directory = directory.absolute()
        self.log = self.directory / "postgres.log"
        self._user = user
        self._password_file = self.directory / "password"

    def prepare(self) -> tuple[Path, Path]:
        """Make what is missing and settle what a crash left; returns the data's directory and the programs'.

        Raises:
            LocalStackError: PostgreSQL runs on this data already, or its data cannot be made, or it cannot be run.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        binaries = self._user.binaries()
        data = self.directory / "pgdata"
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
        """Delete all of it, and nothing that is not ours. Raises LocalStackError if PostgreSQL runs on it."""
        _settle_left_over_pid(self.directory / "pgdata")
        for name in ("pgdata", _UNFINISHED):
            shutil.rmtree(self.directory / name, ignore_errors=True)
        for file in (self.log, self._password_file):
            file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # it holds something else, or is gone
            self.directory.rmdir()

    def _create(self, data: Path, binaries: Path) -> None:
        unfinished = self.directory / _UNFINISHED  # renamed when whole: no half-made data directory is started
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._user.own(unfinished)
        _write_private(self._password_file, secrets.token_urlsafe(24))
        with tempfile.TemporaryFile() as password:  # initdb opens its standard input by name, so it has to own it
            password.write(self.password().encode())
            password.seek(0)
            self._user.own(password.fileno())
            answer = self._user.run(
                binaries / "initdb", "-D", self._user.name_of(unfinished), "--username=postgres",
                "--pwfile=/dev/stdin", "--auth-local=scram-sha-256", "--auth-host=scram-sha-256",
                "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions",
                f"--set=scram_iterations={SCRAM_ITERATIONS}",
                cwd=unfinished, stdin=password,
            )  # fmt: skip
        if answer.returncode != 0:
            raise LocalStackError(f"PostgreSQL could not create its data in {data}:\n{answer.stdout}{answer.stderr}")
        unfinished.rename(data)


def marked(data: Path) -> str:
    """The argument by which a server's command line says whose data it serves. PostgreSQL itself ignores it."""
    return f"--smsretry.data={data}"


def _settle_left_over_pid(data: Path) -> None:
    """Make a crash's postmaster.pid harmless; raise LocalStackError if its server still runs.

    PostgreSQL copes with a process id that is gone, but not with one that another process has been given since. The
    rest of the file stays, so that PostgreSQL still finds backends that hold the old shared memory.
    """
    path = data / "postmaster.pid"
    deadline = time.monotonic() + _ENDING_SECONDS
    while path.exists():
        pid, _, rest = path.read_text().partition("\n")
        command = _command_of(pid) if pid.isdigit() else ""
        if f"{marked(data)} " not in command:
            if command:
                path.write_text(f"{_NO_SUCH_PID}\n{rest}")
            elif not pid:
                path.unlink()  # the disk was full, or it died as it wrote
            return
        if time.monotonic() > deadline:
            raise LocalStackError(
                f"PostgreSQL runs on {data} already, process {pid}: use that one, or end it (kill -INT {pid})"
            )
        pause(0.05)  # its owner may have died just now, and its guard may be ending it


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
