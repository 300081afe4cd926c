"""Can a command that a document shows be run? Its program, module, subcommand and options must exist."""

import os
import re
import sys
import tomllib
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from runpy import run_module
from typing import Any, Final

import pytest
import typer.main

from smsretry.cli.command import app
from smsretry.local.demo.run import ROOT

CI: Final = (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def check(words: Sequence[str]) -> None:
    """Fail if the command cannot be what it says."""
    program = words[0].removeprefix(".venv/bin/")
    assert program in _PROGRAMS, f"Nothing here knows how to check {program}"
    _PROGRAMS[program](list(words[1:]))


def _python(words: list[str]) -> None:
    if words[0] == "-c":
        compile(words[1], "-c", "exec")
        return
    assert words[0] == "-m"
    if words[1] == "pytest":
        named = " ".join(words[2:]).removeprefix("-m long").split()
        assert all((ROOT / word.partition("::")[0]).exists() for word in named if not word.startswith("-"))
        return
    assert words[1] == "venv" or find_spec(words[1]), f"There is no module {words[1]}"
    if options := [word for word in words[2:] if word.startswith("--")]:
        assert all(option in _help(words[1]) for option in options), options


@cache
def _help(module: str) -> str:
    """What `python -m <module> --help` says. In this process: a new one takes a second to load it all."""
    asked, sys.argv = sys.argv, [module, "--help"]
    try:
        with redirect_stdout(StringIO()) as said, pytest.raises(SystemExit) as ended:
            run_module(module, run_name="__main__")
    finally:
        sys.argv = asked
    assert not ended.value.code, said.getvalue()
    return said.getvalue()


def _smsretry(words: list[str]) -> None:
    commands: Any = typer.main.get_command(app)
    command = commands.commands[words[0]]
    if (parts := getattr(command, "commands", {})) and words[1:]:  # a group by itself is named, and not given
        command = parts[words[1]]
    known = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
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


def _uvicorn(words: list[str]) -> None:
    module, _, name = words[0].partition(":")
    assert callable(getattr(import_module(module), name))
    assert all(word in _help("uvicorn") for word in words if word.startswith("--"))


def _linter(program: str) -> Callable[[list[str]], None]:
    def check(words: list[str]) -> None:
        assert " ".join([f".venv/bin/{program}", *words]) in CI or "--help" in words

    return check


def _installer(words: list[str]) -> None:
    assert words[0] == "install"
    assert words[1] in CI, "another version than .ci/run has"


def _ci(_: list[str]) -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def _of_others(_: list[str]) -> None:
    """Programs that are not installed with the package. The Supabase CLI is tried in test_migrations.py, and curl in
    test_docs_run.py.
    """


_PROGRAMS: Final[dict[str, Callable[[list[str]], None]]] = {
    "python": _python,
    "python3": _python,
    "pip": _pip,
    "smsretry": _smsretry,
    "prefect": _prefect,
    "uvicorn": _uvicorn,
    "npm": _installer,
    "apt-get": _installer,
    "ruff": _linter("ruff"),
    "mypy": _linter("mypy"),
    "lint-imports": _linter("lint-imports"),
    ".ci/run": _ci,
    "supabase": _of_others,
    "cd": _of_others,
    "curl": _of_others,
    "export": _of_others,
    "git": _of_others,
    "sha256sum": _of_others,
    "source": _of_others,
    "pre-commit": _of_others,
}
