"""What the READMEs show works: commands run or at least parse, code runs, and what is named is there."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from io import StringIO
from pathlib import Path
from textwrap import indent
from types import ModuleType
from typing import Any, Final
from uuid import uuid4

import pytest
import typer.main
from typer.testing import CliRunner

from smsretry import data
from smsretry.adapters.supabase.migrate import migrations
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.cli import app
from smsretry.local.demo.run import ROOT
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import AcceptThenDrop
from smsretry.settings import Settings
from tests.conftest import Business
from tests.e2e.conftest import FlowProcess
from tests.e2e.documents import FRONT_PAGE, Block, Document, documents, file_names

DOCUMENTS: Final = documents()
RUNNING: Final = Document(ROOT / "flows" / "README.md")
CI: Final = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
DATABASE: Final = "postgresql://postgres:…@db.<project>.supabase.co:5432/postgres"
NEVER_END: Final = {"demo", "up"}
"""Tried in test_command.py: they bring a stack of their own."""
ELSEWHERE: Final = {"postgres/", "prefect/", "supabase/migrations", "flows/take_back_texts.py"}
"""Folders of the stack's data and of the application's project; what a contributor writes."""
SUFFIXES: Final = (".py", ".md", ".sql", ".tsv", ".toml", ".txt", ".yaml", ".yml")

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=str)


def blocks(language: str, containing: str = "") -> pytest.MarkDecorator:
    """Every block of one language that contains a text."""
    found = [b for document in DOCUMENTS for b in document.blocks(language) if containing in b.text]
    return pytest.mark.parametrize("block", found, ids=lambda block: block.where)


@pytest.fixture
def environment(stack: Stack, business: Business, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The stack's settings, in the environment; and what stands for the placeholders of the documents."""
    for name, value in stack.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.delenv("SMSRETRY_QUIET_HOURS_RULES", raising=False)
    business.customer(phone="+12125550100")
    return {
        "<id>": str(business.id),
        "postgresql://postgres:…@db.<project>.supabase.co:5432/postgres": stack.database_url,
    }


@each_document
def test_every_command_that_a_document_shows_can_be_parsed(document: Document) -> None:
    """The program, the module, the subcommand and its options exist."""
    for words in document.commands():
        program = words[0].removeprefix(".venv/bin/")
        assert program in PROGRAMS, f"This test does not know how to check {program}"
        PROGRAMS[program]([word.replace("<id>", str(uuid4())) for word in words[1:]])


@blocks("sh", containing="smsretry ")
def test_every_smsretry_command_of_a_shell_block_runs_on_the_stack(block: Block, environment: dict[str, str]) -> None:
    """Where output is shown, it prints just that, perhaps with more in between."""
    printed = []
    for words in block.commands():
        if words[0] == "smsretry" and words[1] not in NEVER_END:
            done = CliRunner().invoke(app, [environment.get(word, word) for word in words[1:]])
            assert done.exit_code == 0, f"{words}: {done.output} {done.exception}"
            printed += done.output.splitlines()
    if printed and block.output:
        rest = iter(printed)
        missing = [line for line in block.output.splitlines() if line not in rest]
        assert not missing


@blocks("python")
def test_every_python_block_runs_and_prints_what_is_shown(
    block: Block,
    environment: dict[str, str],
    business: Business,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may use a text that was not sent yet, and another. A test that is shown runs as one."""
    texts = [business.send_log(business.customer()) for _ in range(2)]
    shown = ModuleType("shown")
    monkeypatch.setitem(sys.modules, "shown", shown)  # pydantic looks for a class's module there
    names = vars(shown)
    names.update(send_log_id=texts[0], other_send_log_id=texts[1])
    with redirect_stdout(StringIO()) as printed:
        _execute(block, names)
        for test in [value for name, value in names.items() if name.startswith("test_")]:
            wanted = signature(test).parameters
            if "flow" not in wanted:  # the flow that it runs must be written first: see the next test
                test(**{fixture: request.getfixturevalue(fixture) for fixture in wanted})
    assert printed.getvalue() == block.output or not block.output


def test_the_flow_that_contributing_adds_is_deployed_and_passes_its_test(
    flow: FlowProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a copy of the folder of flows, by the steps shown."""
    contributing = Document(ROOT / ".github" / "CONTRIBUTING.md")
    source, test = contributing.blocks("python")
    [deployment] = contributing.blocks("yaml")
    shutil.copytree(ROOT / "flows", tmp_path / "flows", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "flows" / "take_back_texts.py").write_text(source.text, encoding="utf-8")
    definition = (ROOT / "prefect.yaml").read_text(encoding="utf-8") + indent(deployment.text, "  ")
    (tmp_path / "prefect.yaml").write_text(definition, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # the package; the flows are the working directory's
    served = subprocess.run(
        [sys.executable, "-c", "from flows.serve import deployments; print([d.name for d in deployments()])"],
        cwd=tmp_path,
        env=flow.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "take-back-texts" in served.stdout
    names: dict[str, Any] = {}
    _execute(test, names)
    names["ROOT"] = tmp_path
    [name] = [name for name in names if name.startswith("test_")]
    names[name](flow)


@pytest.mark.filterwarnings("ignore:The '(timeout|verify)' parameter is deprecated:DeprecationWarning")
def test_the_webhook_shown_settles_a_text_in_doubt_and_refuses_a_forged_call(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Twilio accepted the text and its answer was lost; the callback brings the SID."""
    from supabase import create_client
    from twilio.request_validator import RequestValidator

    from smsretry.pipeline import process_sms_retry_item

    row_id = business.due_text()
    stack.twilio.fail(AcceptThenDrop())
    [claim] = queue.claim_due(1)
    assert process_sms_retry_item(claim, queue=queue, sender=sender).fate == "InDoubt"
    [attempt], [accepted] = business.attempts_of(row_id), stack.twilio.ledger.entries()
    [block] = [b for document in DOCUMENTS for b in document.blocks("python") if "RequestValidator" in b.text]
    names: dict[str, Any] = {}
    _execute(block, names)
    settings = stack.environment()
    url, token = "https://app.example/sms", "webhook-token"
    form = {"MessageSid": accepted.sid, "MessageStatus": "sent"}
    signature = RequestValidator(token).compute_signature(url, form)
    client = create_client(settings["SUPABASE_URL"], settings["SUPABASE_SERVICE_ROLE_KEY"])
    call = {"query": {"attempt": str(attempt["id"])}, "form": form, "auth_token": token, "supabase": client}
    assert names["settle"](url, signature="forged", **call) == 403
    assert business.row(row_id)["status"] == "pending"
    assert names["settle"](url, signature=signature, **call) == 204
    assert business.row(row_id)["status"] == "completed"


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


def test_the_front_page_is_short_and_begins_with_what_a_newcomer_copies() -> None:
    """At most 150 lines; the demo is its first command, and `.ci/run` finds the tests' own."""
    assert FRONT_PAGE.text.count("\n") <= 150
    assert FRONT_PAGE.blocks("sh")[0].text.endswith("&& .venv/bin/smsretry demo\n")
    tests = [line for line in FRONT_PAGE.text.splitlines() if line.endswith("python -m pytest")]
    assert len(tests) == 1


def test_pre_commit_runs_the_linters_of_ci_run() -> None:
    """The same commands, from the environment."""
    hooks = re.findall(r"entry: (.+)", (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [f".venv/bin/{hook}" for hook in hooks] == re.findall(r"^\.venv/bin/(?:ruff|mypy|lint-imports).*$", CI, re.M)


def _execute(block: Block, names: dict[str, Any]) -> None:
    exec(compile(block.text, block.where, "exec"), names)


def _exists(name: str, document: Document) -> bool:
    if re.fullmatch(r"(smsretry|flows|tests)(\.\w+)+", name) and not name.endswith(SUFFIXES):
        return _is_module(name) or name in _sql()
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


def _python(words: list[str]) -> None:
    if words[0] == "-c":
        compile(words[1], "-c", "exec")
        return
    assert words[0] == "-m"
    if words[1] == "pytest":
        assert all((ROOT / word.partition("::")[0]).exists() for word in words[2:] if not word.startswith("-"))
        return
    assert words[1] == "venv" or find_spec(words[1]), f"There is no module {words[1]}"
    if options := [word for word in words[2:] if word.startswith("--")]:
        assert all(option in _help(words[1]) for option in options), options


@cache
def _help(module: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    ).stdout


def _smsretry(words: list[str]) -> None:
    commands: Any = typer.main.get_command(app)
    known = {option for param in commands.commands[words[0]].params for option in (*param.opts, *param.secondary_opts)}
    assert known >= {word for word in words[1:] if word.startswith("--")}


def _prefect(words: list[str]) -> None:
    parser = import_module("prefect.cli._app")._app  # has no public name; the version is pinned
    parser.parse_args([word for word in words if word != "--no-prompt"], exit_on_error=False, print_error=False)


def _pip(words: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for word in words:
        assert not word.endswith(".txt") or (ROOT / word).exists()
        for extra in re.findall(r"^\.\[(\w+)\]$", word):
            assert extra in project["optional-dependencies"]


def _linter(program: str) -> Callable[[list[str]], None]:
    def check(words: list[str]) -> None:
        assert " ".join([f".venv/bin/{program}", *words]) in CI or "--help" in words

    return check


def _npm(words: list[str]) -> None:
    assert words[0] == "install"
    assert words[1] in CI, "another version than .ci/run has"


def _ci(_: list[str]) -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def _of_others(_: list[str]) -> None:
    """Programs that are not installed with the package; the Supabase CLI is tried in test_migrations.py."""


PROGRAMS: Final[dict[str, Callable[[list[str]], None]]] = {
    "python": _python,
    "python3": _python,
    "pip": _pip,
    "smsretry": _smsretry,
    "prefect": _prefect,
    "npm": _npm,
    "ruff": _linter("ruff"),
    "mypy": _linter("mypy"),
    "lint-imports": _linter("lint-imports"),
    ".ci/run": _ci,
    "supabase": _of_others,
    "git": _of_others,
    "source": _of_others,
    "pre-commit": _of_others,
}
