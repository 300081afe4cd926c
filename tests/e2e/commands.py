"""Commands that a document shows: can they be given, and what do they print?"""

import sys
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import redirect_stdout
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from runpy import run_module
from typing import Any, Final

import pytest
import typer.main
from typer.testing import CliRunner

from smsretry.cli.command import app
from smsretry.local.demo.run import ROOT
from tests.e2e.documents import Block


def check(words: Sequence[str]) -> None:
    """Fail if a command of ours cannot be what it says."""
    program, *rest = words[0].removeprefix(".venv/bin/"), *words[1:]
    if program in _PROGRAMS:
        _PROGRAMS[program](rest)


def run_as_shown(
    block: Block,
    here: Mapping[str, str],
    codes: Mapping[str, Sequence[int]],
    *,
    but: Container[str] = (),
) -> None:
    """Run each command of ours that a block shows. Where output is shown, it prints that, perhaps with more in between.

    Args:
        here: what stands for the placeholders.
        codes: the exit codes that a command may have; 0 if it is not named.
        but: commands that are tried elsewhere.
    """
    printed: list[str] = []
    for program, *words in block.commands():
        if program == "smsretry" and words[0] not in but:
            given = (
                Path(words.pop()).read_text(encoding="utf-8") if "<" in words else None
            )
            result = CliRunner().invoke(
                app,
                [here.get(word, word) for word in words if word != "<"],
                input=given,
            )
            assert result.exit_code in codes.get(words[0], (0,)), (
                f"{block.where}: {words}: {result.output} {result.exception}"
            )
            printed += result.output.splitlines()
    assert not printed or not block.missing_in(printed), "\n".join(printed)


def _python(words: list[str]) -> None:
    match words:
        case ["-c", text]:
            compile(text, "-c", "exec")
        case ["-m", "pytest", *named]:
            named = " ".join(named).removeprefix("-m long").split()
            assert all(
                (ROOT / word.partition("::")[0]).exists()
                for word in named
                if not word.startswith("-")
            )
        case ["-m", module, *options]:
            assert module == "venv" or find_spec(module), f"There is no module {module}"
            named = [option for option in options if option.startswith("--")]
            assert not named or set(named) <= set(_help(module).split()), named
        case _:
            raise AssertionError(words)


@cache
def _help(module: str) -> str:
    """What `python -m <module> --help` says. In this process: a new one takes a second to load it all."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as output:
        patch.setattr(sys, "argv", [module, "--help"])
        with pytest.raises(SystemExit) as ended:
            run_module(module, run_name="__main__")
    assert not ended.value.code, output.getvalue()
    return output.getvalue().replace("]", " ")


def _smsretry(words: list[str]) -> None:
    command = _commands().commands[words[0]]
    if (parts := getattr(command, "commands", {})) and words[
        1:
    ]:  # a group by itself is named, and not given
        command = parts[words[1]]
    known = {
        option
        for param in command.params
        for option in (*param.opts, *param.secondary_opts)
    }
    assert known >= {word for word in words[1:] if word.startswith("--")}


@cache
def _commands() -> Any:
    return typer.main.get_command(app)


def _prefect(words: list[str]) -> None:
    parser = import_module(
        "prefect.cli._app"
    )._app  # has no public name; the version is pinned
    parser.parse_args(
        [word for word in words if word != "--no-prompt"],
        exit_on_error=False,
        print_error=False,
    )


_PROGRAMS: Final[dict[str, Callable[[list[str]], None]]] = {
    "python": _python,
    "python3": _python,
    "smsretry": _smsretry,
    "prefect": _prefect,
}
