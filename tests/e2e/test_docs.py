"""What the READMEs name is there: commands with their options, files, modules, links, settings."""

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from itertools import accumulate

from smsretry import data
from smsretry.adapters.migrations.migrate import migrations
from smsretry.cli.command import app
from smsretry.local.demo.run import ROOT
from smsretry.local.prefect_server import SERVER_SETTINGS
from smsretry.retry.backoff import HELD_LOOK, RETRY_DELAYS
from smsretry.retry.before import LIFE
from smsretry.retry.doubt import LOOK_DELAYS, MIN_LOOKS, MIN_QUARANTINE
from smsretry.retry.profile import STALE_MINUTES
from smsretry.settings import Settings, variables
from tests.e2e.commands import check
from tests.e2e.documents import Document, documents, file_names

RUNNING = Document(ROOT / "flows" / "README.md")
PACKAGE = Document(ROOT / "smsretry" / "README.md")
ELSEWHERE = {
    *("postgres/", "prefect/", "supabase/migrations", "flows/take_back_texts.py"),
    *("app/api/twilio/route.ts", "supabase/functions/twilio/index.ts", "proxy.ts"),
}
"""Folders of the stack's data and of the application's project; what a contributor writes."""
SUFFIXES = (".py", ".md", ".sql", ".tsv", ".toml", ".txt", ".yaml", ".yml")


def test_every_command_that_a_document_or_a_message_names_can_be_given() -> None:
    """The program, the module, the subcommand and its options exist."""
    sources = [
        path for room in ("flows", "smsretry") for path in (ROOT / room).rglob("*")
    ]
    messages = [
        (str(path), command.split())
        for path in sources
        if path.suffix in (".py", ".sql")
        for command in re.findall(
            r"`(smsretry [^`{<\"\n]+)[`{<]", path.read_text(encoding="utf-8")
        )
    ]
    shown = [
        (str(document), words)
        for document in documents()
        for words in document.commands()
    ]
    assert min(len(shown), len(messages)) > 20
    wrong = []
    for where, words in shown + messages:
        try:
            check(words)
        except Exception as error:  # noqa: BLE001 - whatever reads it says so in its own way
            wrong.append((where, words, repr(error)))
    assert wrong == []


def test_every_file_module_and_link_that_a_document_names_exists() -> None:
    """From its own folder or from the top; a name without a folder is somewhere. A link leads to a heading, too."""
    assert [
        (str(document), name)
        for document in documents()
        for name in document.code()
        if not _exists(name, document)
    ] == []
    assert [
        (str(one), link)
        for one in documents()
        for link in one.links()
        if not _leads_somewhere(link, one)
    ] == []


def test_the_tables_of_the_documents_name_what_there_is_and_nothing_else() -> None:
    """Settings with the defaults that hold, commands, what the embedded server is told."""
    numbers = [
        (name, row)
        for row in _rows(RUNNING, "\n## Settings\n")
        for name in re.findall(r"`(\w+)`", row[0])
    ]
    fields = variables(Settings)
    assert sorted(name for name, _ in numbers) == sorted(fields)
    defaults = [
        (name, float(number))
        for name, row in numbers
        for number in re.findall(r"\((\d+)\b", row[1])
    ]
    assert defaults
    assert [(name, number) for name, number in defaults if number != fields[name]] == []

    named = {
        name
        for row in _rows(PACKAGE, "| command | what it does |")
        for name in re.findall(r"`([\w-]+)`", row[0])
    }
    commands = [one for one in app.registered_commands if not one.hidden]
    there = {
        one.name or (one.callback.__name__ if one.callback else "") for one in commands
    }
    assert named == there | {str(one.name) for one in app.registered_groups}

    table = RUNNING.text.partition("## The Prefect server\n")[2]
    assert (
        dict(re.findall(r"^\| `(PREFECT_\w+)` \| `(.+?)` \|", table, re.MULTILINE))
        == SERVER_SETTINGS
    )


def test_the_documents_state_the_values_that_the_code_has() -> None:
    """Whoever changes one is told where people read it."""
    minute, hour = timedelta(minutes=1), timedelta(hours=1)
    first, second, third = (at // minute for at in accumulate(LOOK_DELAYS))
    looks = f"{first}, {second} and {third} minutes"
    one, two, three = (delay // minute for delay in RETRY_DELAYS)
    life, held = LIFE // hour, HELD_LOOK // minute
    stated = {
        "README.md": (
            f"{looks} later",
            f"not found in {MIN_LOOKS} looks over {MIN_QUARANTINE // minute} minutes",
            f"due {one} minute after",
            f"again {two}, then {three} minutes",
            f"costs no text for {life} hours",
            f"silent for {STALE_MINUTES} minutes",
        ),
        "smsretry/README.md": (
            f"After {looks} it is looked for",
            f"after {one}, {two} and {three} minutes",
            f"waits {one}, {two} or {three} minutes",
            f"looked at every {held} minutes; {life} hours",
            f"again every {held} minutes and goes on",
            f"**expires** {life} hours after",
            f"after {STALE_MINUTES} minutes",
        ),
        "flows/PLAYBOOKS.md": (
            f"nothing for {third} minutes",
            f"up to {life} hours",
            f"takes {third} minutes",
        ),
    }
    assert [
        (name, sentence)
        for name, sentences in stated.items()
        for sentence in sentences
        if sentence not in " ".join(Document(ROOT / name).text.split())
    ] == []


def _rows(document: Document, after: str) -> Iterator[list[str]]:
    """The cells of the first table behind these words."""
    table = re.search(
        r"(?:^\|.*\n)+", document.text[document.text.index(after) :], re.MULTILINE
    )
    assert table
    for line in table[0].splitlines()[2:]:
        yield line.strip("| ").split(" | ")


def _leads_somewhere(link: str, document: Document) -> bool:
    name, _, anchor = link.partition("#")
    target = (document.path.parent / name).resolve() if name else document.path
    return target.exists() and (not anchor or anchor in Document(target).anchors())


def _exists(name: str, document: Document) -> bool:
    if re.fullmatch(r"(smsretry|flows|tests)(\.\w+)+", name) and not name.endswith(
        SUFFIXES
    ):
        return _is_module(name) or name in _said_elsewhere()
    if (
        not re.fullmatch(r"[\w.*-][\w./*-]*", name)
        or name in data.zone_names()
        or name in ELSEWHERE
    ):
        return True  # no path of the repository
    if "/" not in name:
        return (
            not name.endswith(SUFFIXES) or name in file_names() or name.startswith("*")
        )
    return any(
        True
        for folder in (document.path.parent, ROOT)
        for _ in folder.glob(name.rstrip("/"))
    )


def _is_module(name: str) -> bool:
    """Or an attribute of one."""
    parent, _, last = name.rpartition(".")
    with suppress(ModuleNotFoundError):
        return bool(find_spec(name)) or hasattr(import_module(parent), last)
    with suppress(ModuleNotFoundError):
        return hasattr(import_module(parent), last)
    return False


@cache
def _said_elsewhere() -> str:
    """The SQL."""
    return "\n".join(migration.text for migration in migrations())
