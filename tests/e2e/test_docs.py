"""What the READMEs name is there: commands with their options, files, modules, links, settings."""

import re
import tomllib
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Final

import pytest

from smsretry import data
from smsretry.adapters.migrations.migrate import migrations
from smsretry.cli.command import app
from smsretry.local.demo.run import ROOT
from smsretry.local.prefect_server import SERVER_SETTINGS
from smsretry.settings import Settings
from tests.e2e.commands import CI, check
from tests.e2e.documents import FRONT_PAGE, Document, documents, file_names

DOCUMENTS: Final = documents()
RUNNING: Final = Document(ROOT / "flows" / "README.md")
PACKAGE: Final = Document(ROOT / "smsretry" / "README.md")
ELSEWHERE: Final = {
    *("postgres/", "prefect/", "supabase/migrations", "flows/take_back_texts.py"),
    *("app/api/twilio/route.ts", "supabase/functions/twilio/index.ts"),
}
"""Folders of the stack's data and of the application's project; what a contributor writes."""
SUFFIXES: Final = (".py", ".md", ".sql", ".tsv", ".toml", ".txt", ".yaml", ".yml")

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=str)


@each_document
def test_every_command_that_a_document_shows_can_be_parsed(document: Document) -> None:
    """The program, the module, the subcommand and its options exist."""
    for words in document.commands():
        check(words)


def test_every_command_that_a_message_names_can_be_given() -> None:
    """What is wrong is told with what to do, in the program and in the database."""
    sources = [
        path for room in ("flows", "smsretry") for path in (ROOT / room).rglob("*") if path.suffix in (".py", ".sql")
    ]
    for path in sources:
        for command in re.findall(r"`(smsretry [^`{<\"\n]+)[`{<]", path.read_text(encoding="utf-8")):
            check(command.split())


@each_document
def test_every_file_and_module_that_a_document_names_exists(document: Document) -> None:
    """From its own folder or from the top; a name without a folder is somewhere."""
    missing = [name for name in document.code() if not _exists(name, document)]
    assert not missing


@each_document
def test_every_link_within_the_repository_leads_somewhere(document: Document) -> None:
    """To a file, and to a heading of it."""
    for link in document.links():
        name, _, anchor = link.partition("#")
        target = (document.path.parent / name).resolve() if name else document.path
        assert target.exists(), link
        assert not anchor or anchor in Document(target).anchors(), link


def test_the_table_of_settings_names_every_setting_and_no_other() -> None:
    """With the defaults that hold."""
    table = RUNNING.text.partition("## Settings\n")[2].partition("\n## ")[0]
    rows = [re.match(r"\| (`.+?`) \| (.+) \|$", line) for line in table.splitlines()]
    named = [(name, row[2]) for row in rows if row for name in re.findall(r"`(\w+)`", row[1])]
    fields = {str(field.validation_alias or name.upper()): field for name, field in Settings.model_fields.items()}
    assert sorted(name for name, _ in named) == sorted(fields)
    for name, told in named:
        for number in re.findall(r"\((\d+)\b", told):
            assert float(number) == fields[name].default, name


def test_the_table_of_commands_names_every_command_and_no_other() -> None:
    """Those that the help lists."""
    table = PACKAGE.text.partition("| command | what it does |")[2].partition("\n\n")[0]
    named = re.findall(r"`([\w-]+)`", "\n".join(row.split("|")[1] for row in table.splitlines()[2:]))
    commands = [one.name or (one.callback.__name__ if one.callback else "") for one in app.registered_commands]
    hidden = [one.name for one in app.registered_commands if one.hidden]
    groups = [str(one.name) for one in app.registered_groups]
    assert sorted(named) == sorted({*commands, *groups} - {*hidden})


def test_the_map_of_the_package_names_each_of_its_rooms() -> None:
    """A newcomer finds a module or a folder there before its name says anything."""
    table = PACKAGE.text.partition("\n## Where things are\n")[2]
    rooms = [f"{path.name}/" if path.is_dir() else path.name for path in (ROOT / "smsretry").iterdir()]
    missing = [room for room in rooms if not room.startswith("_") and room.endswith(("/", ".py")) if room not in table]
    assert missing == []


def test_the_table_of_prefect_settings_is_what_the_embedded_server_has() -> None:
    """Name by name and value by value."""
    table = RUNNING.text.partition("## The Prefect server\n")[2]
    assert dict(re.findall(r"^\| `(PREFECT_\w+)` \| `(.+?)` \|", table, re.MULTILINE)) == SERVER_SETTINGS


def test_the_front_page_is_short_and_begins_with_what_a_newcomer_copies() -> None:
    """At most 150 lines; the demo is its first command, and `.ci/run` finds the tests' own."""
    assert FRONT_PAGE.text.count("\n") <= 150
    assert FRONT_PAGE.blocks("sh")[0].text.endswith("&& .venv/bin/smsretry demo\n")
    tests = [line for line in FRONT_PAGE.text.splitlines() if line.endswith("python -m pytest")]
    assert len(tests) == 1


def test_each_test_file_is_in_a_folder_that_the_test_commands_run() -> None:
    """They are listed by how long they take, so one could be forgotten."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    run = project["tool"]["pytest"]["ini_options"]["testpaths"]
    files = [file.relative_to(ROOT) for file in (ROOT / "tests").rglob("test_*.py")]
    assert [file for file in files if not any(file.is_relative_to(folder) for folder in run)] == []


def test_ci_runs_the_first_test_command_of_the_front_page() -> None:
    """The second one is not among its tests: `.ci/run` must end in a quarter of an hour."""
    commands = [line for line in FRONT_PAGE.text.splitlines() if "-m pytest" in line]
    assert [line.rpartition("pytest")[2] for line in commands] == ["", " -m long"]
    assert re.findall(r'^eval "\$(\w+)"$', CI, re.M) == ["install", "daily"]


def test_pre_commit_runs_the_linters_of_ci_run() -> None:
    """The same commands, from the environment."""
    hooks = re.findall(r"entry: (.+)", (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [f".venv/bin/{hook}" for hook in hooks] == re.findall(r"^\.venv/bin/(?:ruff|mypy|lint-imports).*$", CI, re.M)


def _exists(name: str, document: Document) -> bool:
    if re.fullmatch(r"(smsretry|flows|tests)(\.\w+)+", name) and not name.endswith(SUFFIXES):
        return _is_module(name) or name in _sql() or f'"{name}"' in _metrics()
    if not re.fullmatch(r"[\w.*-][\w./*-]*", name) or name in data.place_names() or name in ELSEWHERE:
        return True  # no path of the repository
    if "/" not in name:
        return not name.endswith(SUFFIXES) or name in file_names() or name.startswith("*")
    return any(True for folder in (document.path.parent, ROOT) for _ in folder.glob(name.rstrip("/")))


def _is_module(name: str) -> bool:
    parent, _, last = name.rpartition(".")
    try:
        return find_spec(name) is not None or hasattr(import_module(parent), last)
    except ModuleNotFoundError:
        return hasattr(import_module(parent), last) if find_spec(parent.split(".")[0]) and _is_module(parent) else False


@cache
def _sql() -> str:
    return "\n".join(migration.text for migration in migrations())


@cache
def _metrics() -> str:
    """The code that names them, and their attributes."""
    return (ROOT / "smsretry/desk/pages/gauges.py").read_text(encoding="utf-8")
