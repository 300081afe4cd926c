"""Write the migrations from `supabase/schemas/`. As long as nothing is released, the one that makes the whole schema:

    python -m smsretry.adapters.migrations.next_migration --whole

and from the first release on the next one, from what changed since the last record of each file:

    python -m smsretry.adapters.migrations.next_migration NAME

What `create or replace` cannot do comes first there: it drops functions that are gone, or have other parameters or
another answer. New columns and constraints are added. What else changes in a table a person writes, at marked places.
"""

import re
import sys
import time
from collections.abc import Mapping, Sequence, Set
from importlib.resources import files
from pathlib import Path
from typing import Final

from smsretry.adapters.migrations.migrate import Migration, migrations
from smsretry.adapters.migrations.schemas import SchemaFile, schema_files
from smsretry.adapters.migrations.sections import Section, joined, recorded, recording, removing, whole

_DROP_FUNCTION: Final = """\
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = '{schema}'::regnamespace and p.proname = '{name}'
    loop
        -- Whom an owner lets call it: schemas/rights/public_functions.sql grants it to them again.
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
BY_HAND: Final = "-- BY HAND:"
"""Marks a place where a person must write statements."""
_BY_HAND: Final = """\
-- BY HAND: {name} {task}.
-- Write the statements so that they may run twice, and delete these three lines. Until then the migration fails.
do $$ begin raise exception 'The change of {name} is not written yet'; end $$;
"""
_RIGHTS: Final = frozenset({"internal_functions", "public_functions"})
"""The files that say who may call a function, and how it is planned. `create or replace` forgets the latter, so every
migration that makes or changes a function records them again."""
_SCHEMA: Final = ("20261128000100", "schema")
"""Version and name of the migration that makes the whole schema."""
_ADOPTION: Final = "20261128000200"
"""Version of the last one before a release."""
_Files = Mapping[str, SchemaFile]


def changed(old: Sequence[Migration], new: Sequence[SchemaFile]) -> list[str]:
    """The names of the schema files that differ from what the migrations record: changed, new or gone."""
    was, now = recorded(migration.text for migration in old), {file.name: file for file in new}
    return sorted(name for name in was | now if was.get(name) != now.get(name))


def next_migration(name: str, old: Sequence[Migration], new: Sequence[SchemaFile], *, at: str) -> Migration | None:
    """The migration that brings a database from what `old` records to `new`; None if nothing changed.

    Args:
        new: the schema files, in the order in which they are applied.
        at: its version, 14 digits; raised if it is not above the last one.
    """
    differing = set(changed(old, new))
    if not differing:
        return None
    was, now = recorded(migration.text for migration in old), {file.name: file for file in new}
    dropped = _dropped_functions(was, now, differing)
    parts = [_drop(file) for file in dropped if file.name in now]
    parts += [_removed(was[gone]) for gone in sorted(was.keys() - now.keys())]
    anew = differing | {file.name for file in dropped}
    if any(file.kind == "function" for file in new if file.name in anew):
        anew |= _RIGHTS
    for file in (file for file in new if file.name in anew):
        before = was.get(file.name)
        if before and file.kind == "table" and not before.is_only_added_to_by(file):
            task = "changed otherwise than by what is added, and exists already: alter it"
            parts.append(Section(f"by hand: {file.creates}", _by_hand(file, task)))
        elif before and file.kind == "view":
            parts.append(_drop(before))
        parts += recording(file, lacking=before is not None)
    version = max(int(at), *(int(migration.version) + 1 for migration in old))
    return Migration(str(version), name, joined(parts))


def _dropped_functions(was: _Files, now: _Files, differing: Set[str]) -> list[SchemaFile]:
    """The functions that must go, for good or to be created anew: those that return a changed view among them.

    They go first, views only after the tables are altered: a claim locks the queue and then the view, and a migration
    that took them the other way round could deadlock with it.
    """
    views = [file.creates for file in was.values() if file.kind == "view" and file.name in differing]
    return [
        file
        for name, file in was.items()
        if file.kind == "function"
        and (name not in now or now[name].signature != file.signature or any(view in file.signature for view in views))
    ]


def _drop(file: SchemaFile) -> Section:
    schema, name = file.creates.split(".")
    function = _DROP_FUNCTION.format(schema=schema, name=name)
    return Section(f"drop {file.creates}", f"drop view if exists {file.creates};" if file.kind == "view" else function)


def _removed(file: SchemaFile) -> Section:
    if file.kind in ("function", "view"):
        return removing(file, _drop(file).text)
    return removing(file, _by_hand(file, "is gone: drop it, or keep it for its rows"))


def _by_hand(file: SchemaFile, task: str) -> str:
    return _BY_HAND.format(name=file.creates or file.name, task=task)


def main(name: str) -> int:
    """Write the migration to the package's folder and say what to do next. Returns the exit code."""
    made: Migration | None = Migration(*_SCHEMA, whole(schema_files()))
    if name != "--whole":
        if not re.fullmatch("[a-z0-9_]+", name):
            sys.exit(f"{name!r} is no name for a migration: use a-z, 0-9 and _")
        made = next_migration(name, migrations(), schema_files(), at=time.strftime("%Y%m%d%H%M%S", time.gmtime()))
    elif any(migration.version > _ADOPTION for migration in migrations()):
        sys.exit("The schema was released: databases have it. Write the next migration, by a name.")
    if made is None:
        sys.stdout.write("Nothing to do: the migrations record every file of supabase/schemas as it is.\n")
        return 0
    path = Path(str(files("smsretry").joinpath("supabase", "migrations", made.file)))
    path.write_text(made.text, encoding="utf-8")
    by_hand = f"Write by hand what stands below each line with {BY_HAND!r}.\n" if BY_HAND in made.text else ""
    sys.stdout.write(f"Wrote {path}.\n{by_hand}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"{__doc__}")
    sys.exit(main(sys.argv[1]))
