"""The sections of a migration. Each records a schema file as it is, or says what else its statements do."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from smsretry.adapters.migrations.schemas import SchemaFile

_TITLE: Final = re.compile(r"^-- ={8} (.+) ={8}\n", re.M)
_FILE: Final = "schemas/"
_REMOVED: Final = " is removed"
_HEADER: Final = """\
-- Written from the files of supabase/schemas: change those, and write it anew.

"""
_ADD_RULE: Final = """\
-- Add a constraint that a table lacks. Rows that break it stay: it holds from their next change on.
create or replace function pg_temp.add_rule(relation text, name text, rule text) returns void language plpgsql as $$
begin
    if to_regclass(relation) is not null and not exists (
        select from pg_catalog.pg_constraint k where k.conrelid = to_regclass(relation) and k.conname = add_rule.name)
    then
        execute format('alter table %s add constraint %I %s', relation, name, rule)
            || case when rule like 'check%' then ' not valid' else '' end;
    end if;
end
$$;
"""


@dataclass(frozen=True, slots=True)
class Section:
    """A title and the statements below it."""

    title: str
    text: str

    def __str__(self) -> str:
        return f"-- ======== {self.title} ========\n{self.text.rstrip()}\n"

    @property
    def file(self) -> SchemaFile | None:
        """The schema file that is recorded or removed here; None if it is about no file."""
        path = self.title.removeprefix(_FILE).removesuffix(_REMOVED)
        return SchemaFile(path, self.text.rstrip() + "\n") if self.title.startswith(_FILE) else None


RELOAD: Final = Section("PostgREST learns of the change at once", "notify pgrst, 'reload schema';")


def recording(file: SchemaFile, *, lacking: bool) -> list[Section]:
    """The section that records a schema file; before it, if wanted, what adds to its tables where they exist."""
    added = "".join(table.lacking for table in file.tables) if lacking else ""
    record = Section(f"{_FILE}{file.path}", file.text)
    return [Section(f"what an existing {file.creates} lacks", _ADD_RULE + added), record] if added else [record]


def removing(file: SchemaFile, statements: str) -> Section:
    """The section that records that a schema file is gone."""
    return Section(f"{_FILE}{file.path}{_REMOVED}", statements)


def sections(migration: str) -> list[Section]:
    """The sections of a migration's text. What stands above the first is in none."""
    _, *parts = _TITLE.split(migration)
    return [Section(title, text) for title, text in zip(parts[::2], parts[1::2], strict=True)]


def joined(parts: Iterable[Section]) -> str:
    """A migration's text: the sections, a blank line between them."""
    return _HEADER + "\n".join(map(str, [*parts, RELOAD]))


def whole(files: Sequence[SchemaFile], *, again: bool = False) -> str:
    """All schema files, as one text that may run twice: the first migration, and what `smsretry migrate --again` runs.

    Args:
        again: also add what any table lacks. Before ours, only tables in `public` can be there.
    """
    parts = (recording(file, lacking=again or file.creates.startswith("public.")) for file in files)
    return joined(section for part in parts for section in part)


def recorded(migrations: Iterable[str]) -> dict[str, SchemaFile]:
    """The latest record of each schema file in all migrations, by name. A removed file is not in it."""
    latest: dict[str, SchemaFile] = {}
    for section in (section for text in migrations for section in sections(text)):
        if section.file and section.title.endswith(_REMOVED):
            latest.pop(section.file.name, None)
        elif section.file:
            latest[section.file.name] = section.file
    return latest
