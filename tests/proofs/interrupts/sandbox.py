"""A place for one command, with other people's files all around its own."""

import re
import shutil
import tempfile
from pathlib import Path
from typing import Final, Self

from smsretry.local.postgres.server import LOCK
from tests.proofs.interrupts.plans import Kind

_THEIRS: Final = "all of it"


class Sandbox:
    """The directories that a command is given. A context manager: they are removed."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._root = Path(tempfile.mkdtemp(prefix="smsretry-interrupts-"))
        self._root.chmod(0o755)
        self.temporary = self._root / "tmp"
        self._data = self._root / "data"
        self._planted = [self._root / "beside.txt", self._root / "postgres" / "thesis.txt"]
        self._planted += [self.temporary / "theirs.txt", self.temporary / "smsretry-demo-theirs" / "thesis.txt"]
        self._plant()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._root, ignore_errors=True)

    def arguments(self) -> list[str]:
        """Of `smsretry`."""
        match self._kind:
            case "demo":
                return ["demo"]
            case "up" | "up with data" | "somebody else's directory":
                return ["up", "--data-dir", str(self._data)]

    def lost(self) -> list[str]:
        """Files of other people that are gone or changed."""
        return [str(file) for file in self._planted if not file.exists() or file.read_text() != _THEIRS]

    def left_behind(self) -> list[str]:
        """What the command left in the temporary directory, but for the file with which Python tries to write there."""
        found = {path.name for path in self.temporary.iterdir() if not _is_pythons(path)}
        return sorted(found - {"theirs.txt", "smsretry-demo-theirs"})

    def logs(self) -> str:
        """What the guard of PostgreSQL wrote, if it was started."""
        found = [*self._root.rglob("postgres.log")]
        return "".join(file.read_text(errors="replace") for file in found)

    def _plant(self) -> None:
        match self._kind:
            case "up with data":
                (self._data / "postgres").mkdir(parents=True)
                (self._data / "postgres" / LOCK).touch()  # it had it before, and somebody put things there since
                self._planted += [self._data / "thesis.txt", self._data / "postgres-dump" / "all.sql"]
            case "somebody else's directory":
                self._planted += [self._data / "thesis.txt", self._data / "postgres" / "PG_VERSION"]
            case "demo" | "up":
                pass
        for file in self._planted:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(_THEIRS)


def _is_pythons(path: Path) -> bool:
    """Whether `tempfile` made it: at its first use it writes a few bytes, and removes them at once."""
    return (
        re.fullmatch("[a-z0-9_]{8}", path.name) is not None and path.is_file() and path.read_bytes() in (b"", b"blat")
    )
