"""Is everything as this version defines it? Each object has one checksum, which `examine_sms_retries()` tells.

`checksums.tsv` has what they are here, an object a line: `python -m tests.record_schema` writes it, and a test keeps it
true. What the application made, also in the tables that it shares, is not in it and is not judged.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Final

from psycopg import sql

from smsretry.adapters.migrations.connecting import Connection
from smsretry.adapters.migrations.schemas import query_of
from smsretry.retry.models import Finding

Checksums = Mapping[str, str]
"""Checksums by object, such as `index events_retry on smsretry.events`."""
_FOREIGN: Final = re.compile(r"foreign function (public\.(\w+)\(.*)")
_PART: Final = re.compile(
    r"(?P<kind>constraint|index|trigger|policy) (?P<name>.+) on (?P<table>[\w.]+)"
)
_DROPPED: Final = "column public.sms_retry_queue.work"
"""A column that remove.sql drops: one that is there before smsretry is the application's."""
_REVOKE: Final = "revoke all on {} from public, anon, authenticated"
"""The revoke in the line that renames a function: its callers are gone, and Supabase lets everybody call it."""
_TOLD: Final = 12
"""More lines are summed up: the database is another version's."""
_PRINTED: Final = """
set local search_path = pg_catalog, pg_temp; set local timezone = 'UTC'; set local datestyle = 'ISO';
set local intervalstyle = 'postgres'; set local quote_all_identifiers = off
"""
"""As the function sets it for itself."""


@cache
def recorded() -> Checksums:
    """All that smsretry defines, as this version has it."""
    text = (
        files("smsretry")
        .joinpath("adapters", "migrations", "checksums.tsv")
        .read_text(encoding="utf-8")
    )
    return dict(line.split("\t") for line in text.splitlines())


def read_checksums(connection: Connection) -> Checksums:
    """The objects in the database now, even if none of them is smsretry's."""
    with connection.transaction(force_rollback=True):
        connection.execute(_PRINTED)
        [(checksums,)] = connection.execute(
            query_of("public.examine_sms_retries")
        ).fetchall()
    return checksums or {}


def differing(checksums: Checksums) -> list[str]:
    """Each object of this version that the database lacks or has otherwise."""
    return [part for part, md5 in recorded().items() if checksums.get(part) != md5]


def findings(checksums: Checksums) -> Iterator[Finding]:
    """The first of those, each with what restores it; or that all are as they should be."""
    wrong, subject = (
        differing(checksums),
        f"functions, tables and the like ({len(recorded())})",
    )
    for part in wrong[:_TOLD]:
        difference = "differs from this version" if part in checksums else "is missing"
        column = "; if that changes nothing, change it back to what supabase/schemas/tables says"
        hand = (
            column if part in checksums and part.startswith(("table", "column")) else ""
        )
        yield Finding(
            subject=part,
            ok=False,
            advice=f"{difference}: run `smsretry migrate`, then with --again{hand}",
        )
    if len(wrong) > _TOLD:
        yield Finding(
            subject=subject,
            ok=False,
            advice=f"{len(wrong) - _TOLD} more differ or are missing, too",
        )
    for where, difference in clashes(checksums, adopts=False):
        yield Finding(subject=where, ok=False, advice=difference)
    if not wrong:
        yield Finding(subject=subject, ok=True)


def dropping(checksums: Checksums) -> Iterator[str]:
    """Statements that drop the constraints and indexes that were changed, for the whole schema makes them anew."""
    for part_name in differing(checksums):
        part = _PART.fullmatch(part_name)
        if part and part_name in checksums and part["kind"] == "constraint":
            yield f"alter table {part['table']} drop constraint {part['name']};"
        elif part and part_name in checksums and part["kind"] == "index":
            yield f"drop index {part['table'].partition('.')[0]}.{part['name']};"


def clashes(checksums: Checksums, *, adopts: bool) -> Iterator[tuple[str, str]]:
    """The application's objects that have a name of ours, each with the statement that renames it.

    Args:
        adopts: nothing of smsretry's is there yet. Later, what is otherwise than here is ours, and somebody changed it.
    """
    ours = {part.partition("(")[0] for part in recorded()}
    for object_name, md5 in sorted(checksums.items()):
        foreign, part = _FOREIGN.fullmatch(object_name), _PART.fullmatch(object_name)
        is_another = adopts and (
            object_name == _DROPPED or recorded().get(object_name, md5) != md5
        )
        if foreign and f"function public.{foreign[2]}" in ours:
            arguments = foreign[1].partition("(")[2]
            where, clash = _clash(
                f"function {foreign[1]}", f"routine {foreign[1]}", foreign[2]
            )
            renamed = f"routine public.{_renamed(foreign[2])}({arguments}"
            yield where, f"{clash}; {_REVOKE.format(renamed)}"
        elif is_another and object_name.startswith("column"):
            table, _, name = object_name.removeprefix("column ").rpartition(".")
            yield _clash(object_name, f"table {table}", name, part=f"column {name} ")
        elif is_another and part:
            kind, name, table = part["kind"], part["name"], part["table"]
            constraint = kind == "constraint"
            altered = (
                f"index public.{name}"
                if kind == "index"
                else f"{kind} {name} on {table}"
            )
            yield _clash(
                object_name,
                f"table {table}" if constraint else altered,
                name,
                part=f"constraint {name} " * constraint,
            )


def _clash(where: str, altered: str, name: str, *, part: str = "") -> tuple[str, str]:
    change = f"alter {altered} rename {part}to {_renamed(name)}"
    return where, f"has a name of smsretry's, and is another: {change}"


def _renamed(name: str) -> str:
    if name.startswith('"'):
        return sql.Identifier(f"{name.strip(chr(34))} (own)").as_string()
    return f"app_{name}"
