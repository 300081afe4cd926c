"""The sections of a migration. Each names the schema file that it records, or says what was written by hand."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from smsretry.adapters.migrations.schemas import SchemaFile

_TITLE: Final = re.compile(r"^-- ={8} (.+) ={8}\n", re.M)
_FILE: Final = "schemas/"
_REMOVED: Final = " is removed"


@dataclass(frozen=True, slots=True)
class Section:
    """A title and the statements below it. The title is empty for statements above the first title."""

    title: str
    text: str

    def __str__(self) -> str:
        return f"-- ======== {self.title} ========\n{self.text}" if self.title else self.text

    @property
    def source(self) -> str:
        """The name of the schema file that it records or removes; empty if it was written by hand."""
        return self._file.name if self.title.startswith(_FILE) else ""

    @property
    def file(self) -> SchemaFile | None:
        """The schema file as recorded here; None if it is removed here, or this was written by hand."""
        return self._file if self.source and not self.title.endswith(_REMOVED) else None

    @property
    def _file(self) -> SchemaFile:
        return SchemaFile(self.title.removeprefix(_FILE).removesuffix(_REMOVED), self.text.rstrip() + "\n")


def recording(file: SchemaFile) -> Section:
    """The section that records a schema file."""
    return Section(f"{_FILE}{file.path}", file.text)


def removing(file: SchemaFile, statements: str) -> Section:
    """The section that records that a schema file is gone."""
    return Section(f"{_FILE}{file.path}{_REMOVED}", statements)


def sections(migration: str) -> list[Section]:
    """The sections of a migration's text. Joined, they are that text again."""
    above, *parts = _TITLE.split(migration)
    found = [Section(title, text) for title, text in zip(parts[::2], parts[1::2], strict=True)]
    return [Section("", above), *found] if above else found


def joined(parts: Iterable[Section]) -> str:
    """A migration's text: the sections, a blank line between them."""
    return "\n".join(str(part).rstrip() + "\n" for part in parts)


def recorded(migrations: Iterable[str]) -> dict[str, SchemaFile]:
    """The latest record of each schema file in all migrations, by name. A removed file is not in it."""
    latest: dict[str, SchemaFile] = {}
    for section in (section for text in migrations for section in sections(text) if section.source):
        if section.file:
            latest[section.source] = section.file
        else:
            latest.pop(section.source, None)
    return latest


def without_superseded(migration: str, later: Iterable[str]) -> str:
    """A migration's text without the views and functions that a later migration replaces.

    Such a section cannot be applied again, because the existing view or function has other columns or parameters. A
    function that changes only in its body is replaced twice instead, because older statements may call it.
    """
    newer: dict[str, list[SchemaFile | None]] = {}
    for section in (section for text in later for section in sections(text) if section.source):
        newer.setdefault(section.source, []).append(section.file)
    views = [file.creates for files in newer.values() for file in files if file and file.kind == "view"]

    def superseded(file: SchemaFile) -> bool:
        if file.kind == "view":
            return file.name in newer
        # A trigger function has no parameters to differ in, and its trigger exists already and needs it.
        if file.kind != "function" or file.signature.endswith("() returns trigger"):
            return False
        otherwise = any(now is None or now.signature != file.signature for now in newer.get(file.name, []))
        return otherwise or any(view in file.signature for view in views)

    return "".join(str(part) for part in sections(migration) if not (part.file and superseded(part.file)))
