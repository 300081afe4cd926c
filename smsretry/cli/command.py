"""The command `smsretry` put together: which commands there are, an example of each, and the exit codes.

Exit codes: 0 done; 1 an error, or what the command's help says; 2 and 3 in `quiet-hours` alone; 64 the command line
makes no sense; 130 Ctrl-C, 143 SIGTERM.
"""

import inspect
import os
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn, cast

import typer
from typer.core import TyperGroup

from smsretry.cli import deployments, rules, running
from smsretry.cli.made import make
from smsretry.cli.printing import print_note
from smsretry.desk.actions.commands import DESK_COMMANDS, help_of
from smsretry.desk.actions.form import Form
from smsretry.desk.actions.requests import ImportOptOuts
from smsretry.errors import SmsRetryError

if TYPE_CHECKING:
    from smsretry.desk.questions.answers import Answer

USAGE: Final = 64
"""EX_USAGE of sysexits.h. typer's own 2 is an answer of `quiet-hours`."""
_UsageError: Final = cast("type[typer.BadParameter]", typer.BadParameter.__bases__[0])
"""The base class of every usage error. typer has no public name for it."""


class _Commands(TyperGroup):
    """All commands. Each of them ends here."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run one command and exit. An error is one line, without a traceback."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="replace")  # it may take ASCII alone
        try:
            code = self._run(*args, **kwargs)
            sys.stdout.flush()
        except BrokenPipeError:  # the reader has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 0
        sys.exit(code)

    def _run(self, *args: Any, **kwargs: Any) -> int:
        try:
            code = super().main(*args, **kwargs | {"standalone_mode": False})
        except _UsageError as error:
            problem = (
                error.format_message()
                .replace("Value error, ", "")
                .replace("Input should", "must")
            )
            problem = problem.removeprefix("Invalid value: ")
            path = error.ctx.command_path if error.ctx else "smsretry"
            if problem:  # without a command the help has been shown
                print_note(f"{problem}\nTry: {path} --help", word="Error:")
            return USAGE
        except SmsRetryError as error:
            print_note(str(error), word="Error:")
            return 1
        return int(code or 0)


class _Group(TyperGroup):
    """The forms of one desk command, each behind its word. Without a word, the usual form is meant."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        is_command = args and (args[0] in self.commands or args[0] == "--help")
        if (
            not is_command and not ctx.resilient_parsing
        ):  # a shell that completes a word asks so
            args = [next(iter(self.commands)), *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="See every text through, exactly once.",
    epilog="Example:\n\n  smsretry demo\n\n  smsretry COMMAND --help\n\n"
    "Exit codes: 0 done; 1 an error, nothing found, or something that a person must look at; 64 the command line makes "
    "no sense; 130 Ctrl-C, 143 SIGTERM. quiet-hours has 2 and 3, too.",
    rich_markup_mode="rich",
)


def _print_version(is_requested: bool) -> None:
    if is_requested:
        from importlib.metadata import version

        sys.stdout.write(f"smsretry {version('smsretry')}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            metavar="",
            is_eager=True,
            callback=_print_version,
            help="Print the version.",
        ),
    ] = False,
) -> None:
    pass


_ALWAYS: Final = "64 the command line makes no sense."
_OTHER_CODES: Final[dict[str, str]] = {
    "quiet-hours": "0 it may go out now; 1 an error; 2 quiet hours; 3 refused or held; 130 Ctrl-C",
    "up": "0 ended by SIGTERM; 1 an error; 130 Ctrl-C",
    "serve": "0 ended by SIGTERM or Ctrl-C; 1 an error",
}
_DESK: Final = "Look up and change texts"
_RULES: Final = "Rules and consent"
_RUNNING: Final = "Set up and run"
_PANELS: Final = {"consent": _RULES, "stop": _RULES, "mark": _RUNNING}
"""The panels of commands that are not listed under the desk."""


def _epilog(name: str, examples: Sequence[str]) -> str:
    example_text = "\n\n".join(
        f"  smsretry {example}".replace("[", r"\[") for example in examples
    )
    codes = _OTHER_CODES.get(
        name,
        "0 done; 1 an error, nothing found or changed, or somebody must act; 130 Ctrl-C",
    )
    return f"Example:\n\n{example_text}\n\nExit codes: {codes}; {_ALWAYS}"


def _add(
    panel: str | None,
    name: str,
    command: Callable[..., None],
    *examples: str,
    group: typer.Typer = app,
) -> None:
    group.command(name, rich_help_panel=panel, epilog=_epilog(name, examples))(command)


def _answer(form: Form) -> "Answer":
    from smsretry.wiring import desk_for

    with desk_for(form) as connected:
        return connected.answer(form)


def _add_desk_command(name: str) -> None:
    """A command, or one for each thing to do there."""
    panel, forms = _PANELS.get(name, _DESK), DESK_COMMANDS[name]
    if len(forms) == 1:
        _add(panel, name, make(forms[name], _answer), *forms[name].EXAMPLES)
        return
    examples = [example for form in forms.values() for example in form.EXAMPLES]
    group = typer.Typer(
        cls=_Group, rich_markup_mode="rich", epilog=_epilog(name, examples)
    )
    for word, form in forms.items():
        _add(None, word, make(form, _answer), *form.EXAMPLES, group=group)
    app.add_typer(group, name=name, rich_help_panel=panel, help=help_of(name))


def _import(order: Form, *, file: str) -> "Answer":
    from smsretry.cli.opt_outs import import_opt_outs

    return import_opt_outs(cast(ImportOptOuts, order), file=file)


_FILE: Final = inspect.Parameter(
    "file",
    inspect.Parameter.KEYWORD_ONLY,
    annotation=Annotated[
        str,
        typer.Argument(metavar="FILE", help="The CSV file; - reads standard input."),
    ],
)

for _command_name in DESK_COMMANDS:
    _add_desk_command(_command_name)
_add(
    _RULES,
    "quiet-hours",
    rules.quiet_hours,
    "quiet-hours - < number.txt",
    "quiet-hours +13055550123 --at 2026-11-24T20:30-05:00",
)
_add(
    _RULES,
    "import-opt-outs",
    make(ImportOptOuts, _import, [_FILE]),
    "import-opt-outs stops.csv --business $ID",
    "import-opt-outs stops.csv --business $ID --yes --because 'Moved'",
)
_add(_RUNNING, "demo", running.demo, "demo", "demo --all")
_add(_RUNNING, "up", running.up, "up --open", "up --port 4300 --rate 60")
_add(
    _RUNNING,
    "migrate",
    running.migrate,
    "migrate --db-url postgresql://postgres@127.0.0.1:5432/app",
)
_add(
    _RUNNING,
    "doctor",
    running.doctor,
    "doctor",
    "doctor --json | jq '.findings[] | select(.ok | not)'",
)
_add(_RUNNING, "serve", deployments.serve, "serve")
_add(_RUNNING, "deploy", deployments.deploy, "deploy")
_add(
    _RUNNING,
    "automations",
    deployments.automations,
    "automations --notify slack-webhook/operations",
)
_add(
    _RUNNING,
    "process",
    running.process,
    "process --limit 200",
    "process --json | jq .summary",
)
