"""What `smsretry doctor` says of each difference from a fresh installation, and the statement that restores it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Final, NamedTuple

from smsretry.adapters.migrations.catalog import Difference, Entry
from smsretry.adapters.migrations.schemas import schema_files
from smsretry.retry.models import Finding

AGAIN: Final = "run `smsretry migrate`, with --again if it was applied before"
_MOST: Final = 3
"""More differences of one kind that a migration restores are told together."""
_NAMED: Final = 12
_PLURALS: Final = {"index": "indexes", "policy": "policies"}
_KINDS: Final = ("function", "table", "view", "column", "constraint", "index", "trigger", "policy", "grant")
"""Those that a fresh installation has, in the order in which they are told."""
_WORDS: Final = {
    "not null": "may be null",
    "validated": "is not validated, so rows may break it",
    "valid": "is not valid",
    "logged": "is unlogged, so a crash empties it",
    "row security": "has row level security off",
    "permissive": "is restrictive",
}
"""What is wrong where a fact should be true."""
_REVERSED: Final = {
    "not null": "may not be null",
    "forced": "has row level security forced, so it binds its owner, too",
    "permissive": "is permissive",
}
"""And where it should be false."""
_UNREADABLE: Final = ("body", "definition", "using", "with check")
"""Facts that are a checksum, or too long to be told."""


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
            yield Finding(subject=f"{_plural(kind)} ({names.count(kind)})", ok=True)


def _of_kind(kind: str, differing: list[Difference]) -> Iterator[Finding]:
    told = [(difference, _told(difference)) for difference in differing]
    migrated = [difference for difference, words in told if not words.statement]
    if len(migrated) > _MOST:
        names = [_named(difference.one) for difference in migrated]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        what = f"missing, changed or another version's: {', '.join(names[:_NAMED])}{more}"
        yield Finding(subject=f"{len(names)} {_plural(kind)}", ok=False, advice=f"{what}: {AGAIN}")
    for difference, words in told:
        if words.statement or len(migrated) <= _MOST:
            yield Finding(subject=_subject(difference.one), ok=words.only_warn, advice=_advice(difference.one, words))


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
            return Told("replaces what is written", f"drop rule {_quoted(found.name)} on {found.part_of}")
        case "constraint":
            statement = f"alter table {found.part_of} drop constraint {_quoted(found.name)}"
            return Told("refuses texts that are alike, unless that is meant", statement, only_warn=True)
        case "index":
            statement = f"drop index {found.part_of.partition('.')[0]}.{_quoted(found.name)}"
            return Told("refuses texts that are alike, unless that is meant", statement, only_warn=True)
        case "publication":
            statement = f"alter publication {_quoted(found.name)} drop table {found.part_of}"
            return Told(
                f"carries {_short(found.part_of)} out of the database, unless that is meant", statement, only_warn=True
            )
    return Told(f"{found.name} is granted {found.said('may')}, and must not be")


def _missing(wanted: Entry) -> Told:
    alter, what = f"alter table {wanted.part_of}", "is missing"
    match wanted.kind:
        case "column" if wanted.facts["type"] and _is_table(wanted.part_of):
            return Told(what, f"{alter} add column {wanted.name} {_column(wanted)}")
        case "constraint":
            warns = wanted.part_of == "public.sms_retry_queue" and "FOREIGN KEY" in wanted.said("definition")
            return Told(what, f"{alter} add constraint {wanted.name} {wanted.said('definition')}", only_warn=warns)
        case "table":
            return Told("is missing. If somebody renamed or moved it, name it back. Otherwise")
        case "grant":
            return Told(f"{wanted.name} is not granted {wanted.said('may')}")
    return Told(what)


def _changed(wanted: Entry, found: Entry, facts: tuple[str, ...]) -> Told:
    what = ", ".join(_fact(fact, wanted, found) for fact in facts)
    match wanted.kind:
        case "function" if {"signature", "parameters", "returns"} & set(facts):
            return Told(what, f"drop function {found.said('signature')}", then_migrate=True)
        case "table":
            return Told(what, "; ".join(_alter_table(fact, wanted) for fact in facts))
        case "column" if _is_table(wanted.part_of):
            return Told(
                what,
                f"alter table {wanted.part_of} "
                + ", ".join(
                    _alter_column(fact, wanted) for fact in facts if not (fact == "default" and "type" in facts)
                ),
            )
        case "constraint":
            return Told(what, _restored_constraint(wanted, found, facts))
        case "index":
            schema = wanted.part_of.partition(".")[0]
            return Told(what, f"drop index {schema}.{wanted.name}", then_migrate=True)
        case "trigger" if facts == ("fires",):
            return Told(what, f"alter table {wanted.part_of} enable trigger {wanted.name}")
        case "grant":
            return Told(_grant(wanted, found))
    return Told(what)


def _fact(fact: str, wanted: Entry, found: Entry) -> str:
    if fact in ("signature", "parameters"):
        return f"has other parameters ({found.said(fact)})"
    if fact == "callers":
        return f"may be called by {found.said(fact) or 'nobody'}, and must be by {wanted.said(fact)} alone"
    if fact == "switched off":
        return "is switched off"
    if fact == "fires":
        return f"fires {found.said(fact)}"
    if isinstance(wanted.facts[fact], bool):
        return (_WORDS if wanted.facts[fact] else _REVERSED).get(fact, f"{fact} must be {wanted.facts[fact]}")
    if fact in _UNREADABLE and not (wanted.kind == "constraint" and len(found.said(fact)) < 80):
        return f"has another {'body' if fact == 'body' else 'definition'}: another version's, or somebody changed it"
    return f"{fact} is {found.said(fact) or 'not set'}, and must be {wanted.said(fact) or 'not set'}"


def _alter_table(fact: str, wanted: Entry) -> str:
    alter = f"alter table {wanted.qualified}"
    match fact:
        case "logged":
            return f"{alter} set logged"
        case "row security":
            return f"{alter} enable row level security"
        case "forced":
            return f"{alter} no force row level security"
        case "options":
            options = [*wanted.said("options").split(", "), "autovacuum_enabled=true"]
            return f"{alter} set ({', '.join(option for option in options if option)})"
    return f"{alter} rename to {wanted.name}_before; then `smsretry migrate --again`"


def _alter_column(fact: str, wanted: Entry) -> str:
    alter, name, type_, default = "alter column", wanted.name, wanted.said("type"), wanted.said("default")
    match fact:
        case "type" if default:
            typed = f"{alter} {name} type {type_} using {name}::{type_}"
            return f"{alter} {name} drop default, {typed}, {alter} {name} set default {default}"
        case "type":
            return f"{alter} {name} type {type_} using {name}::{type_}"
        case "not null":
            return f"{alter} {name} {'set' if wanted.facts['not null'] else 'drop'} not null"
        case "default":
            return f"{alter} {name} {f'set default {default}' if default else 'drop default'}"
    if wanted.said("generated"):
        return f"{alter} {name} add generated always as identity"
    return f"{alter} {name} drop {'identity' if not default else 'expression'} if exists"


def _restored_constraint(wanted: Entry, found: Entry, facts: tuple[str, ...]) -> str:
    alter = f"alter table {wanted.part_of}"
    if "definition" in facts:
        added = f"add constraint {wanted.name} {wanted.said('definition')}"
        return f"{alter} drop constraint {wanted.name}, {added}"
    switched_off, statements = found.facts["switched off"], list[str]()
    if isinstance(switched_off, list):
        statements += switched_off
    return "; ".join([*statements, *([f"{alter} validate constraint {wanted.name}"] if "validated" in facts else [])])


def _grant(wanted: Entry, found: Entry) -> str:
    may, must = set(found.said("may").split(", ")), set(wanted.said("may").split(", "))
    lacking, beyond = ", ".join(sorted(must - may)), ", ".join(sorted(may - must))
    if lacking:
        return f"{wanted.name} is not granted {lacking}"
    return f"{wanted.name} is granted {beyond}, and must not be"


def _column(wanted: Entry) -> str:
    default, identity = wanted.said("default"), wanted.said("generated")
    parts = [
        wanted.said("type"),
        f"default {default}" if default else "",
        "not null" if wanted.facts["not null"] else "",
    ]
    return " ".join(part for part in [*parts, "generated always as identity" if identity else ""] if part)


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


def _subject(one: Entry) -> str:
    match one.kind:
        case "function" | "table" | "view":
            return f"{one.kind} {_short(one.qualified)}"
        case "grant":
            return f"grants on {_short(one.part_of)}"
        case "owner":
            return f"{one.part_of} {_short(one.name)}"
    return f"{one.kind} {_named(one)}"


def _named(one: Entry) -> str:
    return (
        _short(one.qualified) if one.kind in ("function", "table", "view") else f"{one.name} of {_short(one.part_of)}"
    )


def _short(name: str) -> str:
    return name.removeprefix("public.")


def _quoted(name: str) -> str:
    return name if name.isidentifier() and name == name.lower() else f'"{name}"'


def _plural(kind: str) -> str:
    return _PLURALS.get(kind, f"{kind}s")
