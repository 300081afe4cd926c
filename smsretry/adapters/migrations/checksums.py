"""Whether everything is as this version defines it. `examine_sms_retries()` answers one checksum of each object.

`checksums.tsv` holds the checksums of this version, an object a line. `python -m tests.record_schema` writes it, and a
test keeps it true. It does not judge what the application made, in the tables that it shares or elsewhere.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

from psycopg import sql

from smsretry.adapters.migrations.connecting import Connection
from smsretry.adapters.migrations.schemas import query_of
from smsretry.retry.models import Finding

Checksums = Mapping[str, str]
"""Checksums by object, such as `index events_retry on smsretry.events`."""
_FOREIGN_FUNCTION: Final = re.compile(
    r"foreign function (?P<signature>public\.(?P<name>\w+)(?P<arguments>\(.*))"
)
_PART: Final = re.compile(
    r"(?P<kind>constraint|index|trigger|policy) (?P<name>.+) on (?P<table>[\w.]+)"
)
_DROPPED: Final = "column public.sms_retry_queue.work"
"""A column that remove.sql drops: one that is there before smsretry is the application's."""
_MOST_LINES: Final = 12
"""If more objects differ, the rest is counted: the database is another version's."""
_OUTPUT_SETTINGS: Final = """
set local search_path = pg_catalog, pg_temp; set local timezone = 'UTC'; set local datestyle = 'ISO';
set local intervalstyle = 'postgres'; set local quote_all_identifiers = off
"""
"""The settings on which the text of a definition depends, as `examine_sms_retries` has them."""


class Misfit(NamedTuple):
    """Something that does not fit, and what to do about it."""

    where: str
    difference: str


@cache
def recorded_checksums() -> Checksums:
    """The checksums of this version."""
    text = (
        files("smsretry")
        .joinpath("adapters", "migrations", "checksums.tsv")
        .read_text(encoding="utf-8")
    )
    return dict(line.split("\t") for line in text.splitlines())


def read_checksums(connection: Connection) -> Checksums:
    """The checksums of the database, even if it has no object of smsretry's."""
    with connection.transaction(force_rollback=True):
        connection.execute(_OUTPUT_SETTINGS)
        [(checksums,)] = connection.execute(
            query_of("public.examine_sms_retries")
        ).fetchall()
    return checksums or {}


def _differing_objects(checksums: Checksums) -> list[str]:
    """The objects of this version that the database lacks or has otherwise."""
    return [
        name for name, md5 in recorded_checksums().items() if checksums.get(name) != md5
    ]


def findings(checksums: Checksums) -> Iterator[Finding]:
    """The objects that differ, each with what restores it; or that all are as they should be."""
    object_names = _differing_objects(checksums)
    subject = f"functions, tables and the like ({len(recorded_checksums())})"
    for name in object_names[:_MOST_LINES]:
        difference = "differs from this version" if name in checksums else "is missing"
        advice = f"{difference}: run `smsretry migrate`, then with --again"
        if name in checksums and name.startswith(("table", "column")):
            advice += "; if that changes nothing, change it back to what supabase/schemas/tables says"
        yield Finding(subject=name, ok=False, advice=advice)
    if len(object_names) > _MOST_LINES:
        yield Finding(
            subject=subject,
            ok=False,
            advice=f"{len(object_names) - _MOST_LINES} more differ or are missing, too",
        )
    for misfit in clashes(checksums, adopts=False):
        yield Finding(subject=misfit.where, ok=False, advice=misfit.difference)
    if not object_names:
        yield Finding(subject=subject, ok=True)


def drop_statements(checksums: Checksums) -> Iterator[str]:
    """Statements that drop the constraints and indexes that were changed, because the whole schema makes them anew."""
    for object_name in _differing_objects(checksums):
        part = _PART.fullmatch(object_name)
        if not part or object_name not in checksums:
            continue
        if part["kind"] == "constraint":
            yield f"alter table {part['table']} drop constraint {part['name']};"
        elif part["kind"] == "index":
            schema = part["table"].partition(".")[0]
            yield f"drop index {schema}.{part['name']};"


def clashes(checksums: Checksums, *, adopts: bool) -> Iterator[Misfit]:
    """The application's objects that have a name of ours, each with the statement that renames it.

    Args:
        adopts: nothing of smsretry's is there yet. Later an object that differs is ours, and somebody changed it.
    """
    our_names = {part.partition("(")[0] for part in recorded_checksums()}
    for object_name, md5 in sorted(checksums.items()):
        function = _FOREIGN_FUNCTION.fullmatch(object_name)
        if function and f"function public.{function['name']}" in our_names:
            yield _function_clash(**function.groupdict())
        differs = recorded_checksums().get(object_name, md5) != md5
        if not adopts or not (differs or object_name == _DROPPED):
            continue
        if object_name.startswith("column"):
            table, _, name = object_name.removeprefix("column ").rpartition(".")
            rename = f"alter table {table} rename column {name}"
            yield _clash(object_name, rename, name)
        elif part := _PART.fullmatch(object_name):
            yield _part_clash(object_name, **part.groupdict())


def _function_clash(signature: str, name: str, arguments: str) -> Misfit:
    misfit = _clash(f"function {signature}", f"alter routine {signature} rename", name)
    renamed = f"routine public.{_renamed(name)}{arguments}"
    # Whoever called it calls ours from now on, and Supabase lets everybody call what is in public.
    revoke = f"revoke all on {renamed} from public, anon, authenticated"
    return Misfit(misfit.where, f"{misfit.difference}; {revoke}")


def _part_clash(where: str, kind: str, name: str, table: str) -> Misfit:
    match kind:
        case "constraint":
            rename = f"alter table {table} rename constraint {name}"
        case "index":
            rename = f"alter index public.{name} rename"
        case _:
            rename = f"alter {kind} {name} on {table} rename"
    return _clash(where, rename, name)


def _clash(where: str, rename: str, name: str) -> Misfit:
    change = f"{rename} to {_renamed(name)}"
    return Misfit(where, f"has a name of smsretry's, and is another: {change}")


def _renamed(name: str) -> str:
    if name.startswith('"'):
        return sql.Identifier(f"{name.strip(chr(34))} (own)").as_string()
    return f"app_{name}"
