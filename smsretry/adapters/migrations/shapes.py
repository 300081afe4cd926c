"""Do the application's own tables fit? Each misfit comes with the statement that mends it.

The rows come from `describe_sms_tables`. All misfits are reported together, before anything is changed.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Final, NamedTuple

from pydantic import BaseModel

from smsretry.adapters.migrations.catalog import fresh_catalog
from smsretry.adapters.migrations.retyping import Retyped
from smsretry.adapters.migrations.wanted_shapes import (
    BY_DEFAULT,
    COLUMNS,
    INSERTED,
    LABEL,
    NULLABLE,
    READ,
    SENT,
    VALUES,
)

_TEXTS: Final = re.compile(r'(text|citext|"?extensions"?\.citext|character varying(\(\d+\))?)')
_ONE_OF: Final = re.compile(r"\(*(\w+)\)*(?:::text)?\)* = (?:ANY \(|')")
_LITERAL: Final = re.compile(r"'((?:[^']|'')*)'")
_RETURNED: Final = re.compile(r"\breturn\s+(null|new)\b")


class Part(BaseModel):
    """A row of `describe_sms_tables`: one fact from the catalog about one table."""

    relation: str
    kind: str
    name: str
    type: str | None = None
    not_null: bool | None = None
    filled: bool | None = None
    definition: str | None = None


class Misfit(NamedTuple):
    """Something that does not fit, and what to do about it."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where} {self.what}"


def misfits(parts: Iterable[Part]) -> list[Misfit]:
    """All misfits, in the order of the tables. A missing table is not a misfit: the migration creates it."""
    known = list(parts)
    described = {table: [part for part in known if part.relation == table] for table in COLUMNS}
    return [Misfit(*misfit) for table, own in described.items() if own for misfit in _of_table(table, own)]


def retyped(parts: Iterable[Part]) -> list[Retyped]:
    """The application's columns whose type must change, and the type that each must have."""
    return [
        Retyped(part.relation, part.name, _written(COLUMNS[part.relation][part.name]))
        for part in parts
        if part.kind == "column" and part.name in COLUMNS.get(part.relation, ())
        if not _fits(COLUMNS[part.relation][part.name], part)
    ]


def _of_table(table: str, parts: Sequence[Part]) -> Iterator[tuple[str, str]]:
    kinds = ("r",) if table == "sms_retry_queue" else ("r", "p")
    if not any(part.kind == "table" and part.type in kinds for part in parts):
        yield table, "is not an ordinary table: rename the view or table of that name"
        return
    columns = {part.name: part for part in parts if part.kind == "column"}
    for name, type_ in (COLUMNS[table] | _added(table)).items():
        if name in columns:
            yield from _of_column(columns[name], type_)
        elif name in COLUMNS[table]:
            yield f"{table}.{name}", f"is missing: alter table public.{table} add column {name} {_written(type_)}"
    unique = {part.name for part in parts if part.kind == "unique"}
    if table in ("businesses", "scheduled_sends", "sms_retry_queue") and "id" not in unique:
        yield f"{table}.id", f"is not unique: alter table public.{table} add primary key (id)"
    if table == "sms_retry_queue":
        yield from _required(columns.values())
    for part in parts:
        yield from _of_part(table, part)


@cache
def _added(table: str) -> dict[str, str]:
    """The types of the columns that smsretry adds. An application may have one of that name for something else."""
    columns = (one for one in fresh_catalog() if one.kind == "column" and one.part_of == f"public.{table}")
    return {one.name: one.said("type") for one in columns if one.name not in COLUMNS[table]}


def _written(type_: str) -> str:
    return "text" if type_ in (READ, LABEL) else type_


def _of_column(found: Part, wanted: str) -> Iterator[tuple[str, str]]:
    table, name = found.relation, found.name
    where, alter, plain = f"{table}.{name}", f"alter table public.{table}", _written(wanted)
    if not _fits(wanted, found) and name not in COLUMNS[table]:
        rename = f"{alter} rename column {name} to app_{name}"
        why = "(and use that name in the application: smsretry adds a column of the old one)"
        yield where, f"is {found.type}, and must be {plain}: {rename} {why}"
        return
    if not _fits(wanted, found):
        kind = "an enum" if (found.definition or "").startswith("enum") else found.type
        others = ", and alike each column that refers to it" if plain == "uuid" else ""
        using = f"{alter} alter column {name} type {plain} using {name}::{plain}{others}"
        yield where, f"is {kind}, and must be {plain}: {using}"
    if found.definition == "generated" and wanted not in (READ, LABEL):
        yield where, f"is generated, and must be writable: {alter} alter column {name} drop expression"
    if found.not_null and (table, name) in NULLABLE:
        yield where, f"must allow null: {alter} alter column {name} drop not null"
    if (table, name) in BY_DEFAULT:
        yield from _of_default(table, found)


def _of_default(table: str, column: Part) -> Iterator[tuple[str, str]]:
    where, default = f"{table}.{column.name}", BY_DEFAULT[table, column.name]
    alter = f"alter table public.{table} alter column {column.name} set default {default} (or another that says so)"
    definition = column.definition or ""
    said = set(_LITERAL.findall(definition)) if definition.startswith("default") else set()
    wrong = said - {"pending"} if table == "sms_retry_queue" else said & set(SENT)
    if column.not_null and not column.filled and table != "sms_retry_queue":  # every insert of ours sets it there
        yield where, f"must have a default, for a text that waits is given it: {alter}"
    elif wrong:
        yield where, f"is {min(wrong)} by default, and a text that waits was not sent: {alter}"


def _fits(wanted: str, found: Part) -> bool:
    if wanted in (READ, LABEL):
        definition = found.definition or ""
        sms = wanted == LABEL and definition.startswith("enum") and "'sms'" in definition
        return sms or bool(_TEXTS.fullmatch(found.type or ""))
    # A length limit may refuse a long error. Functions return the queue's columns, so their types must be exact.
    return found.type == wanted or (
        wanted == "text" and found.type == "character varying" and found.relation != "sms_retry_queue"
    )


def _required(columns: Iterable[Part]) -> Iterator[tuple[str, str]]:
    """The queue's columns that must have a value although nothing gives them one."""
    for column in columns:
        given = column.name in INSERTED or ("sms_retry_queue", column.name) in NULLABLE
        if column.not_null and not column.filled and not given:
            default = "set default gen_random_uuid()" if column.name == "id" else "drop not null"
            alter = f"alter table public.sms_retry_queue alter column {column.name} {default} (or give it a default)"
            where = f"sms_retry_queue.{column.name}"
            yield where, f"must have a value, and queue_sms_retry gives it none: {alter}"


def _of_part(table: str, part: Part) -> Iterator[tuple[str, str]]:
    text = part.definition or ""
    match part.kind:
        case "check":
            yield from _of_check(table, part.name, text)
        case "trigger" if set(_RETURNED.findall(text.lower())) == {"null"}:
            yield f"{table}, trigger {part.name}", "swallows every row that is written: drop it, or let it return new"
        case "rule":
            yield f"{table}, rule {part.name}", f"replaces what is written: drop rule {part.name} on public.{table}"
        case "dependent":
            yield text, f"is replaced, and {part.name} depends on it: drop that first, and make it anew afterwards"


def _of_check(table: str, name: str, text: str) -> Iterator[tuple[str, str]]:
    for column in {column for column in _ONE_OF.findall(text) if (table, column) in VALUES}:
        allowed = set(_LITERAL.findall(text))
        missing = [value for value in VALUES[table, column] if value not in allowed]
        if missing and (table, name) != ("sms_retry_queue", f"sms_retry_queue_{column}"):  # the migration replaces ours
            values = ", ".join(f"'{value}'" for value in missing)
            alter = f"alter table public.{table} drop constraint {name}, and add it anew with {values}"
            yield (
                f"{table}.{column}",
                f"may not be {' or '.join(missing)}, because of the constraint {name}: {alter}",
            )
