"""What this version's schema files create, by name. `smsretry doctor` finds what is missing or another version's.

Read from the files themselves, so that nothing has to be recorded; a test compares it with the catalog. What they
create only where the application has none belongs to the application, and is left out.
"""

import hashlib
import re
from collections.abc import Iterator
from typing import Final

from smsretry.adapters.migrations.schemas import SchemaFile, schema_files

Wanted = dict[str, list[list[str]]]
"""By kind: the table, the name, and for a column or a constraint its definition, because `migrate` does not bring those
back. For functions: the name, and the md5 of the body."""

_TABLE: Final = re.compile(r"^create table if not exists (\w+\.\w+) \(\n(.*?)\n\)", re.S | re.M)
_COMMENT: Final = re.compile(r"^ *--.*\n", re.M)
_NEXT_PART: Final = re.compile(r",\n+    (?=\w)")
"""Between two columns or constraints of a table."""
_COLUMN: Final = re.compile(r"^alter table (\w+\.\w+) add column if not exists (\w+) ([^;]+);", re.M)
_RULE: Final = re.compile(r"\('(\w+)', \$c\$(.*?)\$c\$\)", re.S)
"""A constraint that is added to the file's table, even to one that the application created."""
_MADE: Final = re.compile(
    r'^create (?:unique )?(index|trigger|policy) (?:if not exists )?("[^"]+"|\w+)\s.*?\bon (\w+\.\w+)', re.S | re.M
)
_GRANT: Final = re.compile(r"^grant ([a-z, ]+) on (\w+\.\w+) to service_role;", re.M)
_KINDS: Final = {"index": "indexes", "trigger": "triggers", "policy": "policies"}
_CLOCK: Final = "smsretry.clock"
"""The embedded stack has a clock of its own, which can be moved."""


def wanted_objects() -> Wanted:
    """All that must be there, by kind."""
    wanted: Wanted = {kind: [] for kind in ("functions", "columns", "constraints", *_KINDS.values(), "grants")}
    for file in schema_files():
        for kind, *what in _function(file) if file.kind == "function" else _relation(file):
            wanted[kind].append(what)
    return wanted


def _function(file: SchemaFile) -> Iterator[tuple[str, ...]]:
    _, body, _ = file.text.split("$$")
    if file.creates != _CLOCK:
        yield "functions", file.creates, hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()


def _relation(file: SchemaFile) -> Iterator[tuple[str, ...]]:
    for table, body in _TABLE.findall(_COMMENT.sub("", file.text)):
        for part in _NEXT_PART.split(body.strip()):
            first, rest = part.split(maxsplit=1)
            if first == "constraint":
                name, rule = rest.split(maxsplit=1)
                yield "constraints", table, name, " ".join(rule.split())
            elif first != "primary":
                yield "columns", table, first, rest
    for table, name, definition in _COLUMN.findall(file.text):
        yield "columns", table, name, definition
    for name, rule in _RULE.findall(file.text):
        yield "constraints", file.creates, name, f"check ({' '.join(rule.split())})"
    for kind, name, table in _MADE.findall(file.text):
        yield _KINDS[kind], table, name.strip('"')
    for privileges, table in _GRANT.findall(file.text):
        yield from (("grants", table, privilege) for privilege in privileges.split(", "))
