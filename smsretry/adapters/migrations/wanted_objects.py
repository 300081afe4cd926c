"""What this version's schema files make, by name: `smsretry doctor` finds what is missing or another version's.

Read from the files themselves, so that nothing has to be recorded. What they make only where the application has none
is the application's, and not here.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from smsretry.adapters.migrations.schemas import SchemaFile, schema_files

Wanted = dict[str, list[list[str]]]
"""By kind: the table, the name, and for a column or a constraint its definition, because `migrate` does not bring those
back. For functions: the name, and the md5 of the body."""

_FUNCTION: Final = re.compile(r"^create or replace function (\w+\.\w+)\(.*?\bas (\$\w*\$)(.*?)\2", re.S | re.M)
_TABLE: Final = re.compile(r"^create table if not exists (\w+\.\w+) \(\n(.*?)^\)", re.S | re.M)
_COLUMN: Final = re.compile(r"^    (?!constraint\b|primary key\b)(\w+) (\w[^\n]*?),?$", re.M)
_ADDED_COLUMN: Final = re.compile(r"^alter table (\w+\.\w+) add column if not exists (\w+) ([^;]+);", re.M)
_CONSTRAINT: Final = re.compile(r"^    constraint (\w+) (.*?),?(?=\n    constraint |\n    --|\Z)", re.S | re.M)
_RULED: Final = re.compile(r"alter table (\w+\.\w+) add constraint %I check \(%s\)")
_RULE: Final = re.compile(r"\('(\w+)', \$c\$(.*?)\$c\$\)", re.S)
"""Constraints that are added to a table whoever made it, and the table."""
_INDEX: Final = re.compile(r"^create (?:unique )?index if not exists (\w+)\s+on (\w+\.\w+)", re.M)
_TRIGGER: Final = re.compile(r"^create trigger (\w+)\s.*?\bon (\w+\.\w+)", re.S | re.M)
_POLICY: Final = re.compile(r'^create policy "([^"]+)" on (\w+\.\w+)', re.M)
_GRANT: Final = re.compile(r"^grant ([a-z, ]+) on (\w+\.\w+) to service_role;", re.M)
_CLOCK: Final = "smsretry.clock"
"""The embedded stack has a clock of its own, which can be moved."""


def wanted_objects(schemas: Sequence[SchemaFile] | None = None) -> Wanted:
    """All that must be there, by kind."""
    files = schema_files() if schemas is None else schemas
    return {kind: [name for file in files for name in names(file.text)] for kind, names in _KINDS.items()}


def _functions(text: str) -> Iterator[list[str]]:
    for name, _, body in _FUNCTION.findall(text):
        if name != _CLOCK:
            yield [name, hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()]


def _columns(text: str) -> Iterator[list[str]]:
    for table, parts in _TABLE.findall(text):
        yield from ([table, *column] for column in _COLUMN.findall(parts))
    yield from map(list, _ADDED_COLUMN.findall(text))


def _constraints(text: str) -> Iterator[list[str]]:
    for table, parts in _TABLE.findall(text):
        yield from ([table, name, " ".join(rule.split())] for name, rule in _CONSTRAINT.findall(parts.rstrip()))
    for table in _RULED.findall(text):
        yield from ([table, name, f"check ({' '.join(rule.split())})"] for name, rule in _RULE.findall(text))


def _named_first(pattern: re.Pattern[str]) -> Callable[[str], Iterator[list[str]]]:
    def find(text: str) -> Iterator[list[str]]:
        yield from ([table, name] for name, table in pattern.findall(text))

    return find


def _grants(text: str) -> Iterator[list[str]]:
    for privileges, table in _GRANT.findall(text):
        yield from ([table, privilege] for privilege in privileges.split(", "))


_KINDS: Final[dict[str, Callable[[str], Iterator[list[str]]]]] = {
    "functions": _functions,
    "columns": _columns,
    "constraints": _constraints,
    "indexes": _named_first(_INDEX),
    "triggers": _named_first(_TRIGGER),
    "policies": _named_first(_POLICY),
    "grants": _grants,
}
