"""The files of `supabase/schemas/`: the one home of each table, view and function, in folders by subject.

One after another they are the whole schema, and may be applied twice. Each is named for the one thing that it creates.
The words of STOP are a function that is written from `data/stop_words.tsv`.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Final

from psycopg.sql import SQL

from smsretry.data import table

FOLDERS: Final = (
    "schema", "policy", "tables", "helpers", "views", "queue", "turns", "worker", "doubt", "consent", "scheduled",
    "delivery", "senders", "records", "desk", "checks", "triggers", "rights",
)  # fmt: skip
"""The order in which they are applied; within a folder, by name. A file comes after the files that it names."""
_CREATES: Final = re.compile(
    r"^ *create (?:or replace )?(?:table|view|function|domain) (?:if not exists )?([\w.]+)",
    re.M,
)
_TABLE: Final = re.compile(
    r"^create table if not exists (\S+) \(\n(.*?)^\)", re.M | re.S
)
_REFERENCE: Final = re.compile(
    r"references \S+ \(\w+\)(?: on delete (?:cascade|set null))?"
)
_PARAMETER: Final = re.compile(r"^ *(\w+) ", re.M)
_HEADER: Final = """\
-- Written from the files of supabase/schemas: change those, and run `python -m tests.record_schema`.

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
_STOP_WORDS: Final = """\
-- List the expressions of a kind, parted by blanks. They are those of smsretry/data/stop_words.tsv.
create or replace function smsretry.stop_words(kind text)
returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select ltrim(case stop_words.kind
{cases}    end)
$$;
"""
RELOAD: Final = """\
-- ======== PostgREST learns of the change at once ========
notify pgrst, 'reload schema';
"""


@dataclass(frozen=True, slots=True)
class SchemaFile:
    """One file. It stays the same file when it moves to another folder."""

    path: str = field(compare=False)
    """Below `schemas/`, such as `worker/fenced.sql`."""
    text: str

    @property
    def name(self) -> str:
        """The name of what it creates, without its schema."""
        return self.path.rpartition("/")[2].removesuffix(".sql")

    @property
    def creates(self) -> str:
        """The qualified name of the table, view, function or domain that it creates; empty if it creates none."""
        created = _CREATES.search(self.text)
        return created[1] if created else ""

    @property
    def section(self) -> str:
        """Its part of a migration: what its tables lack where they exist, and the file below its title."""
        section = f"-- ======== schemas/{self.path} ========\n{self.text}"
        additions = "".join(
            _additions(name, _items(body)) for name, body in _TABLE.findall(self.text)
        )
        if not additions:
            return section
        title = f"-- ======== what an existing {self.creates} lacks ========"
        return f"{title}\n{additions}\n{section}"


def schema_files() -> list[SchemaFile]:
    """The files in the order in which they are applied."""
    root = files("smsretry").joinpath("supabase", "schemas")
    written = [
        SchemaFile(
            f"{folder}/{file.name}", file.read_text(encoding="utf-8").rstrip() + "\n"
        )
        for folder in FOLDERS
        for file in sorted(root.joinpath(folder).iterdir(), key=lambda file: file.name)
    ]
    return sorted(
        [*written, _stop_words()],
        key=lambda file: FOLDERS.index(file.path.partition("/")[0]),
    )


def _stop_words() -> SchemaFile:
    """The function that lists the expressions of a kind, from `data/stop_words.tsv`."""
    kinds = dict[str, str]()
    for row in table("stop_words"):
        expression = row["expression"].replace("'", "''")
        kinds[row["kind"]] = (
            kinds.get(row["kind"], "") + f"            ' {expression}'\n"
        )
    cases = "".join(
        f"        when '{kind}' then\n{expressions}"
        for kind, expressions in kinds.items()
    )
    return SchemaFile("helpers/stop_words.sql", _STOP_WORDS.format(cases=cases))


def api_functions() -> dict[str, list[str]]:
    """The functions that the API offers, each with the names of its parameters."""
    return {
        file.creates.removeprefix("public."): _PARAMETER.findall(
            file.text.partition(f"function {file.creates}(")[2].partition("\nreturns ")[
                0
            ]
        )
        for file in schema_files()
        if f"function {file.creates}(" in file.text
        and file.creates.startswith("public.")
    }


def migration_text(parts: Iterable[str]) -> str:
    """The text of a migration that is made of such sections."""
    return "\n".join([_HEADER, *parts, RELOAD])


def schema_text(schema: Iterable[SchemaFile]) -> str:
    """All files as one text that may run twice: the first migration, and what `smsretry migrate --again` runs."""
    return migration_text(file.section for file in schema)


def query_of(function: str) -> SQL:
    """The query of a one-query function, for a database that does not have the function yet."""
    [text] = [file.text for file in schema_files() if file.creates == function]
    return SQL(text.split("$$")[1])  # our own file, not input


def _additions(table: str, items: Iterable[str]) -> str:
    """Statements that add the columns and constraints of a table, which `create table if not exists` does not."""
    columns = dict[str, str]()
    rules = dict[str, str]()
    bare_name = table.partition(".")[2]
    for item in items:
        name, _, rule_text = item.partition(" ")
        if name == "constraint":
            rule, _, definition = rule_text.partition(" ")
            rules[rule] = definition
            continue
        if name != "primary":
            columns[name] = rule_text
        if table in ("public.sms_retry_queue", "public.scheduled_sends"):
            continue  # an application's own may have other keys in their place
        if name == "primary":
            rules[f"{bare_name}_pkey"] = item
        elif "primary key" in item:
            rules[f"{bare_name}_pkey"] = f"primary key ({name})"
        if reference := _REFERENCE.search(rule_text):
            rules[f"{bare_name}_{name}_fkey"] = f"foreign key ({name}) {reference[0]}"
    column_clauses = ",\n".join(
        f"    add column if not exists {name} {definition}"
        for name, definition in columns.items()
    )
    rule_calls = "".join(
        f"select pg_temp.add_rule('{table}', '{name}', $r${rule}$r$);\n"
        for name, rule in rules.items()
    )
    return f"alter table if exists {table}\n{column_clauses};\n{rule_calls}"


def _items(body: str) -> Iterator[str]:
    """The items between commas outside of brackets and quotes, each on one line; no comments."""
    code = re.sub(r"--.*", "", body)
    depth = 0
    item = ""
    for part in [*re.split(r"('(?:[^']|'')*'|[(),])", code), ","]:
        if part == "(":
            depth += 1
        elif part == ")":
            depth -= 1
        if part == "," and depth == 0:
            yield " ".join(item.split())
            item = ""
        else:
            item += part
