"""The files of `supabase/schemas/`: the one home of each table, view and function, in folders by subject."""

import re
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final, Literal, cast

Kind = Literal["table", "view", "function", "other"]

FOLDERS: Final = (
    "schema",
    "policy",
    "tables",
    "helpers",
    "views",
    "queue",
    "turns",
    "worker",
    "doubt",
    "consent",
    "scheduled",
    "delivery",
    "senders",
    "records",
    "desk",
    "checks",
    "triggers",
    "rights",
)
"""The order in which they are applied; within a folder, by name. A file comes after the files that it names."""
_CREATES: Final = re.compile(r"^ *create (?:or replace )?(table|view|function) (?:if not exists )?(\w+\.\w+)", re.M)
_DEFAULT: Final = re.compile(r" default [^,)]+")
_SIGNATURE: Final = re.compile(r"create or replace function (\w+\.\w+\(.*?)\blanguage\b", re.S)


@dataclass(frozen=True, slots=True)
class SchemaFile:
    """One file. It stays the same file when it moves to another folder."""

    path: str = field(compare=False)
    """Below `schemas/`, such as `worker/fenced.sql`. The first migrations record such a file as `31_fenced.sql`."""
    text: str

    @property
    def name(self) -> str:
        """The name of what it creates, without its schema. It stays the same in another folder."""
        return re.sub(r"^\d+_", "", self.path.rpartition("/")[2]).removesuffix(".sql")

    @property
    def kind(self) -> Kind:
        """The kind of what it creates; `other` if it creates no table, view or function."""
        created = _CREATES.search(self.text)
        return cast(Kind, created[1]) if created else "other"  # the pattern has these three

    @property
    def creates(self) -> str:
        """The qualified name of what it creates; empty if it creates no table, view or function."""
        created = _CREATES.search(self.text)
        return created[2] if created else ""

    @property
    def signature(self) -> str:
        """A function's name, parameters and answer, on one line: what `create or replace` cannot change.

        It can change a parameter's default, and a function that is not dropped keeps its grants.
        """
        found = _SIGNATURE.search(self.text)
        return _DEFAULT.sub(" default", " ".join(found[1].split())) if found else ""


def schema_files(root: Traversable | None = None) -> list[SchemaFile]:
    """All of them, in the order in which they are applied. `root`: other than the package's own."""
    root = root or files("smsretry").joinpath("supabase", "schemas")
    return [
        SchemaFile(f"{folder}/{file.name}", file.read_text(encoding="utf-8").rstrip() + "\n")
        for folder in FOLDERS
        for file in sorted(root.joinpath(folder).iterdir(), key=lambda file: file.name)
    ]
