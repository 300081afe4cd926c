"""The next migration, written from what changed in `supabase/schemas/` since the last record of each file.

A migration records each file below its title, so what it brings a database to can be read from it. New columns and
constraints are added, a changed list of words too; what else changes in a table a person writes, at marked places.
What `create or replace` cannot change goes first, with all that rests on it, in the reverse of the order in which it
is made. What is gone goes last, when nothing rests on it any more.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from smsretry.adapters.migrations.locks import TABLES
from smsretry.adapters.migrations.migrate import Migration
from smsretry.adapters.migrations.schemas import SchemaFile, migration_text

BY_HAND: Final = "-- BY HAND:"
"""Marks a place where a person must write statements."""
_TITLE: Final = re.compile(r"^-- ={8} (.+) ={8}\n", re.M)
_FILE: Final = re.compile(r"schemas/(.+?)( is removed)?")
_SIGNATURE: Final = re.compile(r"create or replace function (\w+\.\w+\(.*?)\blanguage\b", re.S)
_RIGHTS: Final = "backend"
"""The file that says who may call a function or read a table, and how a function is planned. `create or replace`
forgets the latter, so every migration that makes or changes one records it again."""
_LOCK: Final = f"""\
-- ======== all locks at once, in the order in which a claim takes them ========
do $$ begin lock table {", ".join(f"public.{table}" for table in TABLES)} in access exclusive mode; end $$;
"""
_DROP_FUNCTION: Final = """\
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = '{schema}'::regnamespace and p.proname = '{name}'
    loop
        -- Whom an owner lets call it: schemas/rights/backend.sql grants it to them again.
        perform set_config('smsretry.granted_{name}', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;
"""
_BY_HAND: Final = """\
-- BY HAND: {name} {task}.
-- Write the statements so that they may run twice, and delete these three lines. Until then the migration fails.
do $$ begin raise exception 'The change of {name} is not written yet'; end $$;
"""


def recorded(migrations: Iterable[str]) -> dict[str, SchemaFile]:
    """The latest record of each schema file in the texts of all migrations, by name. A removed file is not in it."""
    latest: dict[str, SchemaFile] = {}
    for migration in migrations:
        _, *parts = _TITLE.split(migration)
        for title, text in zip(parts[::2], parts[1::2], strict=True):
            if about := _FILE.fullmatch(title):
                file = SchemaFile(about[1], text.rstrip() + "\n")
                latest.pop(file.name, None)
                latest |= {} if about[2] else {file.name: file}
    return latest


def titles(migration: str) -> list[str]:
    """Of the sections of a migration's text, in order."""
    return _TITLE.findall(migration)


def next_migration(name: str, old: Sequence[Migration], new: Sequence[SchemaFile], *, at: str) -> Migration | None:
    """The migration that brings a database from what `old` records to `new`; None if nothing changed.

    Args:
        new: the schema files, in the order in which they are applied.
        at: its version, 14 digits; raised if it is not above the last one.
    """
    was, now = recorded(migration.text for migration in old), {file.name: file for file in new}
    differing = {file.name for file in new if was.get(file.name) != file}
    gone = [file for file in was.values() if file.name not in now]
    if not (differing or gone):
        return None
    dropped = _dropped(was, now, differing)
    anew = differing | {file.name for file in dropped if file.name in now}
    if any(now[one].kind in ("function", "table", "view") for one in anew):
        anew |= {_RIGHTS} & now.keys()
    parts = [_LOCK, *(_dropping(file, file.name in now) for file in _outermost_first(dropped))]
    for file in (file for file in new if file.name in anew):
        before = was.get(file.name)
        if before and file.kind == "table" and not _lines(before) <= _lines(file):
            task = "changed otherwise than by what is added, and exists already: alter it"
            parts.append(_section(f"by hand: {file.creates}", _by_hand(file, task)))
        parts.append(file.section)
    parts += [_dropping(file, False) for file in _outermost_first([file for file in gone if file not in dropped])]
    version = max(int(at), *(int(migration.version) + 1 for migration in old))
    return Migration(str(version), name, migration_text(parts))


def _dropped(was: Mapping[str, SchemaFile], now: Mapping[str, SchemaFile], differing: set[str]) -> list[SchemaFile]:
    """What cannot be replaced as it is, a changed view or another signature; and all that rests on that."""
    known = [file for file in was.values() if file.kind in ("function", "view")]
    found = [
        file for file in known if file.name in differing
        and (file.kind == "view" or _signature(file) != _signature(now[file.name]))
    ]  # fmt: skip
    while more := [file for file in known if file not in found and any(_rests_on(file, one) for one in found)]:
        found += more
    return found


def _outermost_first(files: Sequence[SchemaFile]) -> Iterator[SchemaFile]:
    """Each before what it rests on, as PostgreSQL drops them."""
    left = list(files)
    while left:
        outer = next(file for file in left if not any(_rests_on(other, file) for other in left if other is not file))
        left.remove(outer)
        yield outer


def _rests_on(file: SchemaFile, other: SchemaFile) -> bool:
    """Whether PostgreSQL keeps the other as long as this is there: what a view reads, and what a function answers."""
    text = _signature(file) if file.kind == "function" else re.sub("--.*", "", file.text)
    return other.creates in re.findall(r"[\w.]+", text) and file.name != other.name


def _signature(file: SchemaFile) -> str:
    """A function's name, parameters and answer, on one line: what `create or replace` cannot change.

    It can change a parameter's default, and a function that is not dropped keeps its grants.
    """
    found = _SIGNATURE.search(file.text)
    return re.sub(r" default [^,)]+", " default", " ".join(found[1].split())) if found else ""


def _lines(file: SchemaFile) -> set[str]:
    """A table's file that has all lines of an earlier one was only added to."""
    return {re.sub("--.*", "", line).strip().rstrip(",") for line in file.text.splitlines()}


def _dropping(file: SchemaFile, comes_back: bool) -> str:
    title = f"drop {file.creates}" if comes_back else f"schemas/{file.path} is removed"
    if file.kind == "view":
        return _section(title, f"drop view if exists {file.creates};\n")
    if file.kind != "function":
        return _section(title, _by_hand(file, "is gone: drop it, or keep it for its rows"))
    schema, name = file.creates.split(".")
    return _section(title, _DROP_FUNCTION.format(schema=schema, name=name))


def _section(title: str, text: str) -> str:
    return f"-- ======== {title} ========\n{text}"


def _by_hand(file: SchemaFile, task: str) -> str:
    return _BY_HAND.format(name=file.creates or file.name, task=task)
