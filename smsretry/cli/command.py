"""The command `smsretry`: its commands, an example of each, and the exit codes."""

import inspect
import os
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn, cast

import typer
from typer.core import TyperGroup

from smsretry.cli import deployments, rules, running
from smsretry.cli.form_commands import make_command
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
    """The group of all commands. Every command ends here."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run one command and exit. An error is one line, without a traceback."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                # A stream may take ASCII alone.
                stream.reconfigure(errors="replace")
        try:
            code = self._run(*args, **kwargs)
            sys.stdout.flush()
        except BrokenPipeError:
            # The reader, such as head, has seen enough. Nothing may be written at the exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 0
        sys.exit(code)

    def _run(self, *args: Any, **kwargs: Any) -> int:
        try:
            code = super().main(*args, **kwargs | {"standalone_mode": False})
        except _UsageError as error:
            problem = error.format_message().removeprefix("Invalid value: ")
            path = error.ctx.command_path if error.ctx else "smsretry"
            # A command line without a command has been answered with the help.
            if problem:
                print_note(f"{problem}\nTry: {path} --help", word="Error:")
            return USAGE
        except SmsRetryError as error:
            print_note(str(error), word="Error:")
            return 1
        return int(code or 0)


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


_USUAL_CODES: Final = (
    "0 done; 1 an error, nothing found or changed, or somebody must act; 130 Ctrl-C"
)
_OTHER_CODES: Final[dict[str, str]] = {
    "quiet-hours": "0 it may go out now; 1 an error; 2 quiet hours; 3 refused or held; 130 Ctrl-C",
    "up": "0 ended by SIGTERM; 1 an error; 130 Ctrl-C",
    "serve": "0 ended by SIGTERM or Ctrl-C; 1 an error",
}
_DESK: Final = "Look up and change texts"
_RULES: Final = "Rules and consent"
_RUNNING: Final = "Set up and run"
_PANELS: Final = {"consent": _RULES, "stop": _RULES, "mark": _RUNNING}
"""The panels of the desk's commands that are listed elsewhere."""


def _epilog(name: str, examples: Sequence[str]) -> str:
    example_text = "\n\n".join(
        f"  smsretry {example}".replace("[", r"\[") for example in examples
    )
    codes = _OTHER_CODES.get(name, _USUAL_CODES)
    return f"Example:\n\n{example_text}\n\nExit codes: {codes}; 64 the command line makes no sense."


def _add(
    command: Callable[..., None],
    name: str,
    *examples: str,
    panel: str | None = _RUNNING,
    group: typer.Typer = app,
) -> None:
    group.command(name, rich_help_panel=panel, epilog=_epilog(name, examples))(command)


def _answer_form(form: Form) -> "Answer":
    from smsretry.wiring import desk_for

    with desk_for(form) as connected:
        return connected.answer(form)


def _add_desk_command(name: str) -> None:
    """Add a desk command; one of several forms as a group, with a command for each."""
    panel: str | None = _PANELS.get(name, _DESK)
    forms = DESK_COMMANDS[name]
    group = app
    if len(forms) > 1:
        examples = [example for form in forms.values() for example in form.EXAMPLES]
        group = typer.Typer(rich_markup_mode="rich", epilog=_epilog(name, examples))
        app.add_typer(group, name=name, rich_help_panel=panel, help=help_of(name))
        panel = None
    for word, form in forms.items():
        command = make_command(form, _answer_form)
        _add(command, word, *form.EXAMPLES, panel=panel, group=group)


def _import_file(order: Form, *, file: str) -> "Answer":
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
    make_command(rules.AskHours, rules.answer_hours),
    "quiet-hours",
    "quiet-hours - < number.txt",
    "quiet-hours +13055550123 --at 2026-11-24T20:30-05:00",
    panel=_RULES,
)
_add(
    make_command(ImportOptOuts, _import_file, [_FILE]),
    "import-opt-outs",
    "import-opt-outs stops.csv --business $ID",
    "import-opt-outs stops.csv --business $ID --yes --because 'Moved'",
    panel=_RULES,
)
_add(running.demo, "demo", "demo", "demo --all")
_add(running.up, "up", "up --open", "up --port 4300 --rate 60")
_add(
    running.migrate,
    "migrate",
    "migrate --db-url postgresql://postgres@127.0.0.1:5432/app",
)
_add(
    running.doctor,
    "doctor",
    "doctor",
    "doctor --json | jq '.findings[] | select(.ok | not)'",
)
_add(deployments.serve, "serve", "serve")
_add(deployments.deploy, "deploy", "deploy")
_add(
    deployments.automations,
    "automations",
    "automations --notify slack-webhook/operations",
)
_add(
    running.process,
    "process",
    "process --limit 200",
    "process --json | jq .summary",
)
