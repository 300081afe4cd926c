"""What `smsretry doctor` says of each difference from a fresh installation, and the statement that restores it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Final, NamedTuple

from smsretry.adapters.migrations.catalog import Difference, Entry
from smsretry.adapters.migrations.schemas import schema_files
from smsretry.adapters.migrations.statements import (
    altered_column,
    altered_table,
    column_definition,
    quoted,
    restored_constraint,
)
from smsretry.adapters.migrations.words import fact_in_words, grant_in_words, named, plural, short, subject_of
from smsretry.retry.models import Finding

AGAIN: Final = "run `smsretry migrate`, with --again if it was applied before"
_MOST: Final = 3
"""More differences of one kind that a migration restores are told together."""
_NAMED: Final = 12
_KINDS: Final = ("function", "table", "view", "column", "constraint", "index", "trigger", "policy", "grant")
"""Those that a fresh installation has, in the order in which they are told."""


class Told(NamedTuple):
    """A difference in words."""

    what: str
    statement: str = ""
    """Restores it; empty if a migration does."""
    then_migrate: bool = False
    only_warn: bool = False


def findings(differing: Iterable[Difference], checked: Iterable[Entry]) -> Iterator[Finding]:
    """Each difference with what restores it, and each kind in which there is none."""
    by_kind = defaultdict[str, list[Difference]](list)
    for difference in differing:
        by_kind[difference.one.kind].append(difference)
    names = [one.kind for one in checked]
    for kind in (*_KINDS, *sorted(by_kind.keys() - set(_KINDS))):
        if kind in by_kind:
            yield from _of_kind(kind, by_kind[kind])
        else:
            yield Finding(subject=f"{plural(kind)} ({names.count(kind)})", ok=True)


def _of_kind(kind: str, differing: list[Difference]) -> Iterator[Finding]:
    told = [(difference, _told(difference)) for difference in differing]
    migrated = [difference for difference, words in told if not words.statement]
    if len(migrated) > _MOST:
        names = [named(difference.one) for difference in migrated]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        what = f"missing, changed or another version's: {', '.join(names[:_NAMED])}{more}"
        yield Finding(subject=f"{len(names)} {plural(kind)}", ok=False, advice=f"{what}: {AGAIN}")
    for difference, words in told:
        if words.statement or len(migrated) <= _MOST:
            yield Finding(subject=subject_of(difference.one), ok=words.only_warn, advice=_advice(difference.one, words))


def _advice(one: Entry, words: Told) -> str:
    if not words.statement:
        between = " " if words.what.endswith("Otherwise") else ": "
        return f"{words.what}{between}{AGAIN}{_file(one)}"
    return f"{words.what}. Run: {words.statement}{'; then `smsretry migrate --again`' if words.then_migrate else ''}"


def _told(difference: Difference) -> Told:
    match difference:
        case Difference(wanted=None, found=Entry() as found):
            return _too_much(found)
        case Difference(wanted=Entry() as wanted, found=None):
            return _missing(wanted)
        case Difference(wanted=Entry() as wanted, found=Entry() as found, facts=facts):
            return _changed(wanted, found, facts)
    raise ValueError(difference)


def _too_much(found: Entry) -> Told:
    match found.kind:
        case "function":
            signature = found.said("signature")
            return Told(f"exists also as {signature}, which is not smsretry's", f"drop function {signature}")
        case "owner":
            owner, usual = found.said("is"), found.said("must be")
            statement = f"alter {found.part_of} {found.name} owner to {usual}"
            return Told(f"belongs to {owner}, and the rest of smsretry to {usual}", statement)
        case "rule":
            return Told("replaces what is written", f"drop rule {quoted(found.name)} on {found.part_of}")
        case "child":
            return Told(
                f"is a part of {short(found.part_of)} now: its rows count as texts, and no key holds for both",
                f"alter table {found.name} no inherit {found.part_of}",
            )
        case "column":
            statement = f"alter table {found.part_of} alter column {quoted(found.name)} drop not null"
            return Told("may not be null, and smsretry does not fill it", statement)
        case "trigger":
            statement = f"drop trigger {quoted(found.name)} on {found.part_of}"
            return Told("acts on what smsretry writes, unless that is meant", statement, only_warn=True)
        case "index" if found.facts["valid"] is False:
            return Told("is not valid", f"reindex index {found.part_of.partition('.')[0]}.{quoted(found.name)}")
        case "constraint" if not found.said("definition").startswith(("UNIQUE", "EXCLUDE")):
            statement = f"alter table {found.part_of} drop constraint {quoted(found.name)}"
            return Told("may refuse what smsretry writes, unless that is meant", statement, only_warn=True)
        case "constraint":
            statement = f"alter table {found.part_of} drop constraint {quoted(found.name)}"
            return Told("refuses texts that are alike, unless that is meant", statement, only_warn=True)
        case "index":
            statement = f"drop index {found.part_of.partition('.')[0]}.{quoted(found.name)}"
            return Told("refuses texts that are alike, unless that is meant", statement, only_warn=True)
        case "publication":
            statement = f"alter publication {quoted(found.name)} drop table {found.part_of}"
            return Told(
                f"carries {short(found.part_of)} out of the database, unless that is meant", statement, only_warn=True
            )
    return Told(f"{found.name} is granted {found.said('may')}, and must not be")


def _missing(wanted: Entry) -> Told:
    alter, what = f"alter table {wanted.part_of}", "is missing"
    match wanted.kind:
        case "column" if wanted.facts["type"] and _is_table(wanted.part_of):
            return Told(what, f"{alter} add column {wanted.name} {column_definition(wanted)}")
        case "constraint":
            warns = wanted.part_of == "public.sms_retry_queue" and "FOREIGN KEY" in wanted.said("definition")
            return Told(what, f"{alter} add constraint {wanted.name} {wanted.said('definition')}", only_warn=warns)
        case "table":
            return Told("is missing. If somebody renamed or moved it, name it back. Otherwise")
        case "grant":
            return Told(f"{wanted.name} is not granted {wanted.said('may')}")
    return Told(what)


def _changed(wanted: Entry, found: Entry, facts: tuple[str, ...]) -> Told:
    what = ", ".join(fact_in_words(fact, wanted, found) for fact in facts)
    match wanted.kind:
        case "function" if {"signature", "parameters", "returns"} & set(facts):
            return Told(what, f"drop function {found.said('signature')}", then_migrate=True)
        case "table":
            return Told(what, "; ".join(altered_table(fact, wanted) for fact in facts))
        case "column" if _is_table(wanted.part_of):
            facts = tuple(fact for fact in facts if fact != "default" or "type" not in facts)
            altered = ", ".join(altered_column(fact, wanted) for fact in facts)
            return Told(what, f"alter table {wanted.part_of} {altered}")
        case "constraint":
            return Told(what, restored_constraint(wanted, found, facts))
        case "index":
            schema = wanted.part_of.partition(".")[0]
            return Told(what, f"drop index {schema}.{wanted.name}", then_migrate=True)
        case "trigger" if facts == ("fires",):
            return Told(what, f"alter table {wanted.part_of} enable trigger {wanted.name}")
        case "grant":
            return Told(grant_in_words(wanted, found))
    return Told(what)


def _file(one: Entry) -> str:
    file = _files().get(one.qualified)
    return f" (schemas/{file})" if file and one.kind in ("function", "view") else ""


@cache
def _files() -> dict[str, str]:
    return {file.creates: file.path for file in schema_files()}


@cache
def _views() -> frozenset[str]:
    return frozenset(file.creates for file in schema_files() if file.kind == "view")


def _is_table(name: str) -> bool:
    return name not in _views()
