"""The files of `supabase/schemas/`: the one home of each table, view and function, in folders by subject."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Final, Literal, cast

from psycopg.sql import SQL

Kind = Literal["table", "view", "function", "other"]

FOLDERS: Final = (
    "schema", "policy", "tables", "helpers", "views", "queue", "turns", "worker", "doubt", "consent", "scheduled",
    "delivery", "senders", "records", "desk", "checks", "triggers", "rights",
)  # fmt: skip
"""The order in which they are applied; within a folder, by name. A file comes after the files that it names."""
_CREATES: Final = re.compile(r"^ *create (?:or replace )?(table|view|function) (?:if not exists )?(\w+\.\w+)", re.M)
_DEFAULT: Final = re.compile(r" default [^,)]+")
_SIGNATURE: Final = re.compile(r"create or replace function (\w+\.\w+\(.*?)\blanguage\b", re.S)
_TABLE: Final = re.compile(r"^create table if not exists (\S+) \(\n(.*?)^\)", re.M | re.S)
_REFERENCE: Final = re.compile(r"references \S+ \(\w+\)(?: on delete (?:cascade|set null))?")


@dataclass(frozen=True, slots=True)
class Table:
    """A table as its file makes it, by columns and constraints, each with what follows its name."""

    name: str
    columns: Mapping[str, str]
    rules: Mapping[str, str]
    """The constraints that have a name."""
    keys: Mapping[str, str]
    """Those that PostgreSQL names. An application's own table may have others in their place."""

    @property
    def lacking(self) -> str:
        """Statements that add what an existing table lacks, which `create table if not exists` does not."""
        columns = ",\n".join(f"    add column if not exists {name} {said}" for name, said in self.columns.items())
        rules = self.rules if self.name == "public.sms_retry_queue" else {**self.rules, **self.keys}
        added = "".join(f"select pg_temp.add_rule('{self.name}', '{one}', $r${rules[one]}$r$);\n" for one in rules)
        return f"alter table if exists {self.name}\n{columns};\n{added}"


@dataclass(frozen=True, slots=True)
class SchemaFile:
    """One file. It stays the same file when it moves to another folder."""

    path: str = field(compare=False)
    """Below `schemas/`, such as `worker/fenced.sql`."""
    text: str

    @property
    def name(self) -> str:
        """The name of what it creates, without its schema. It stays the same in another folder."""
        return self.path.rpartition("/")[2].removesuffix(".sql")

    @property
    def kind(self) -> Kind:
        """The kind of what it creates; `other` if it creates no table, view or function."""
        created = _CREATES.search(self.text)
        return cast(Kind, created[1]) if created else "other"  # the pattern has these three

    @property
    def creates(self) -> str:
        """The qualified name of what it creates; empty if it creates no table, view or function."""
        created = _CREATES.search(self.text)
        return created[2] if created else ""

    @property
    def signature(self) -> str:
        """A function's name, parameters and answer, on one line: what `create or replace` cannot change.

        It can change a parameter's default, and a function that is not dropped keeps its grants.
        """
        found = _SIGNATURE.search(self.text)
        return _DEFAULT.sub(" default", " ".join(found[1].split())) if found else ""

    @property
    def tables(self) -> list[Table]:
        """The tables that it makes, but for one that it makes only where an application has none."""
        return [_table(name, body) for name, body in _TABLE.findall(self.text)]

    def is_only_added_to_by(self, new: "SchemaFile") -> bool:
        """Whether `new` has each line of a table's file. What it has otherwise is for a person: there are rows."""
        return bool(self.tables) and self._lines <= new._lines

    @property
    def _lines(self) -> set[str]:
        return {line.strip().rstrip(",") for line in self.text.splitlines() if not line.strip().startswith("--")}


def schema_files() -> list[SchemaFile]:
    """All of them, in the order in which they are applied."""
    root = files("smsretry").joinpath("supabase", "schemas")
    return [
        SchemaFile(f"{folder}/{file.name}", file.read_text(encoding="utf-8").rstrip() + "\n")
        for folder in FOLDERS
        for file in sorted(root.joinpath(folder).iterdir(), key=lambda file: file.name)
    ]


def query_of(function: str) -> SQL:
    """What a function of one query answers, for a database that does not have it yet."""
    [text] = [file.text for file in schema_files() if file.creates == function]
    return SQL(text.split("$$")[1])  # our own file, not input


def _table(name: str, body: str) -> Table:
    columns, rules, keys, bare = dict[str, str](), dict[str, str](), dict[str, str](), name.partition(".")[2]
    for item in _items(re.sub(r"--.*", "", body)):
        word, _, said = item.partition(" ")
        if word == "constraint":
            rule, _, definition = said.partition(" ")
            rules[rule] = definition
            continue
        if "primary key" in item:
            keys[f"{bare}_pkey"] = item if word == "primary" else f"primary key ({word})"
        if reference := _REFERENCE.search(said):
            keys[f"{bare}_{word}_fkey"] = f"foreign key ({word}) {reference[0]}"
        if word != "primary":
            columns[word] = said
    return Table(name, columns, rules, keys)


def _items(body: str) -> Iterator[str]:
    """What the commas outside of brackets and quotes separate, each on one line."""
    depth, item = 0, ""
    for part in [*re.split(r"('(?:[^']|'')*'|[(),])", body), ","]:
        depth += {"(": 1, ")": -1}.get(part, 0)
        if part == "," and depth == 0:
            yield " ".join(item.split())
            item = ""
        else:
            item += part
