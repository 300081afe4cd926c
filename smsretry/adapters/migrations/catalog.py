"""Is the database's catalog as a fresh installation has it? Definitions are compared, not names.

`catalog.json` has all that smsretry defines, an object a line: `python -m tests.record_catalog` writes it, and a test
keeps it true. What the application made, also in the tables that it shares, is not in it and is not judged.
"""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import Final

from pydantic import BaseModel

from smsretry.adapters.migrations.wanted_shapes import COLUMNS

Fact = bool | float | str | list[str]
OF_OTHERS: Final = ("public.businesses", "public.customers", "public.send_logs", "public.scheduled_sends")
"""The application's tables. What is not in the list there is its own."""
_REQUESTS_OF_OTHERS: Final = ("anon", "authenticated")
_TENANTS_MAY_NOT_CHOOSE: Final = ("message_class", "default")
"""What must be as ours about a column of a shared table, which the application may have made itself."""
_NAMES_TABLES: Final = frozenset({"signature", "parameters", "returns", "definition", "using", "with check"})
"""Facts in which a table's name occurs."""
_MAY_BE_FALSE: Final = "row security"
"""More than is wanted does no harm: our functions see all rows."""


class Entry(BaseModel, frozen=True):
    """One object as `examine_sms_retries` describes it: a function, table, column, constraint, index, grant …"""

    kind: str
    part_of: str
    """The table or view, qualified; of tables and functions, the schema."""
    name: str
    facts: dict[str, Fact] = {}

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is, without how it is."""
        return self.kind, self.part_of, self.name

    @property
    def qualified(self) -> str:
        """The name of a table, view or function with its schema."""
        return f"{self.part_of}.{self.name}"

    def said(self, fact: str) -> str:
        """A fact as the catalog has it; empty if it has none."""
        value = self.facts.get(fact, "")
        return ", ".join(value) if isinstance(value, list) else str(value)


class Difference(BaseModel, frozen=True):
    """Something that a fresh installation has otherwise."""

    wanted: Entry | None
    """None: it should not be there."""
    found: Entry | None
    """None: it is missing."""
    facts: tuple[str, ...] = ()
    """In which facts they differ."""

    @property
    def one(self) -> Entry:
        """What it is about."""
        [one, *_] = [entry for entry in (self.wanted, self.found) if entry]
        return one


@cache
def fresh_catalog() -> tuple[Entry, ...]:
    """All that smsretry defines, as a fresh installation has it."""
    text = files("smsretry").joinpath("adapters", "migrations", "catalog.json").read_text(encoding="utf-8")
    return tuple(entry_of(row) for row in json.loads(text))


def entry_of(row: Sequence[object]) -> Entry:
    """An object from its line of the list."""
    return Entry.model_validate(dict(zip(("kind", "part_of", "name", "facts"), row, strict=True)))


def public_functions() -> list[str]:
    """The names of our functions in `public`."""
    return sorted({one.name for one in fresh_catalog() if one.kind == "function" and one.part_of == "public"})


def differences(found: Iterable[Entry], wanted: Sequence[Entry] | None = None) -> list[Difference]:
    """All that is missing, changed or too much. What follows from a missing table is not told as well.

    A function names a table's rows by the table's new name, if somebody renamed it: only the table is to be mended.
    """
    every = list(_every_difference(found, wanted))
    if any(one.found is None and one.one.kind == "table" for one in every):
        return [one for one in every if not set(one.facts) & _NAMES_TABLES]
    return every


def _every_difference(found: Iterable[Entry], wanted: Sequence[Entry] | None) -> Iterator[Difference]:
    wanted = fresh_catalog() if wanted is None else wanted
    there = defaultdict[tuple[str, str, str], list[Entry]](list)
    for entry in found:
        there[entry.key].append(entry)
    relations = {one.qualified for key, [one, *_] in there.items() if key[0] in ("table", "view")}
    kept_by_another = any(_is_key_of_business(entry) for entries in there.values() for entry in entries)
    for one in wanted:
        others = there.pop(one.key, [])
        if _is_key_of_business(one) and kept_by_another:
            others = [other.model_copy(update={"facts": other.facts | _definition(one)}) for other in others] or [one]
        if others:
            yield from _compared(one, others)
        elif one.kind in ("function", "table", "view") or one.part_of in relations | {"smsretry"}:
            yield Difference(wanted=one, found=None)
    for left in (entry for entries in there.values() for entry in entries):
        if _is_too_much(left):
            yield Difference(wanted=None, found=left)


def _is_key_of_business(entry: Entry) -> bool:
    """The queue's foreign key: an application's own table may have one of another name that acts otherwise."""
    key = entry.kind == "constraint" and entry.part_of == "public.sms_retry_queue"
    return key and bool(
        re.match(r"FOREIGN KEY \(business_id\) REFERENCES public\.businesses", entry.said("definition"))
    )


def _definition(one: Entry) -> dict[str, Fact]:
    return {"definition": one.facts["definition"]}


def _compared(one: Entry, others: Sequence[Entry]) -> Iterator[Difference]:
    """Functions of one name are told apart by their parameters' types."""
    same = [other for other in others if other.facts.get("signature") == one.facts.get("signature")]
    if not same:
        yield Difference(wanted=one, found=others[0], facts=("signature",))
        others = others[1:]
    for other in others:
        if other not in same:
            yield Difference(wanted=None, found=other)
        elif facts := tuple(fact for fact in one.facts if not _fits(fact, one, other)):
            yield Difference(wanted=one, found=other, facts=facts)


def _fits(fact: str, one: Entry, other: Entry) -> bool:
    wanted, found = one.facts[fact], other.facts.get(fact)
    if isinstance(wanted, list) and isinstance(found, list):
        lacking, beyond = set(wanted) - set(found), set(found) - set(wanted)
        if one.kind == "table":  # an owner tunes tables, but a queue that is never vacuumed stands still
            return not lacking and not beyond & {"autovacuum_enabled=false", "autovacuum_enabled=off"}
        return not lacking and not (beyond and (one.kind == "constraint" or one.name in _REQUESTS_OF_OTHERS))
    if one.kind == "column" and one.part_of in OF_OTHERS:
        return found == wanted or (one.name, fact) != _TENANTS_MAY_NOT_CHOOSE  # its type: shapes.py
    if fact == "default" and not wanted and one.name in COLUMNS.get(one.part_of.removeprefix("public."), ()):
        return True  # the application's inserts may rely on it
    if fact == "body" and one.qualified == "smsretry.clock" and found == _movable_clock():
        return True
    return _bare(found) == _bare(wanted) or (fact == _MAY_BE_FALSE and not wanted)


def _bare(fact: Fact | None) -> Fact | None:
    """Without what PostgreSQL adds: brackets around an expression that was dumped and restored, and casts to text where
    the application's column is a varchar or an enum.
    """
    return re.sub(r"[\s()]+|::text\b(?!\[)", "", fact) if isinstance(fact, str) else fact


def _is_too_much(entry: Entry) -> bool:
    if entry.kind == "grant":
        return entry.name in _REQUESTS_OF_OTHERS and entry.part_of not in OF_OTHERS
    if entry.kind == "index" and entry.facts["valid"] is False:
        return True
    if entry.kind == "column":
        return _is_smsretrys_alone(entry) and entry.facts["not null"] is True and not _fills_itself(entry)
    if entry.kind == "trigger" or re.match("CHECK|FOREIGN KEY", entry.said("definition")):
        return _is_smsretrys_alone(entry)
    if entry.kind in ("constraint", "index"):  # the application may have made another key of `id`
        unique = re.match(r"UNIQUE|EXCLUDE|CREATE UNIQUE", entry.said("definition"))
        return bool(unique) and entry.part_of not in OF_OTHERS and "(id)" not in entry.said("definition")
    return entry.kind in ("rule", "owner", "publication", "child")


def _is_smsretrys_alone(entry: Entry) -> bool:
    """Whether nobody else writes its table. The queue may have columns and rules of the application's."""
    return entry.part_of in _tables() - {"public.sms_retry_queue"}


def _fills_itself(entry: Entry) -> bool:
    return bool(entry.said("default") or entry.said("generated"))


@cache
def _tables() -> frozenset[str]:
    return frozenset(one.qualified for one in fresh_catalog() if one.kind == "table") - set(OF_OTHERS)


@cache
def _movable_clock() -> str:
    """The md5 of the embedded stack's clock, which can be moved."""
    text = files("smsretry").joinpath("local", "postgres", "movable_clock.sql").read_text(encoding="utf-8")
    return hashlib.md5(text.split("$$")[1].encode(), usedforsecurity=False).hexdigest()
