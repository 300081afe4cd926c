"""The command `smsretry` put together: which commands there are, an example of each, and the exit codes.

Exit codes: 0 done; 1 an error, or what the command's help says; 2 and 3 in `quiet-hours` alone; 64 the command line
makes no sense; 130 Ctrl-C, 143 SIGTERM.
"""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, NoReturn, cast

import typer
from typer.core import TyperCommand, TyperGroup

from smsretry.cli import deployments, desk, marks, opt_outs, orders, rules, running, senders
from smsretry.cli.printing import print_note
from smsretry.errors import SmsRetryError

USAGE: Final = 64
"""EX_USAGE of sysexits.h. typer's own 2 is an answer of `quiet-hours`."""
_UsageError: Final = cast("type[typer.BadParameter]", typer.BadParameter.__bases__[0])
"""The base class of every usage error. typer has no public name for it."""

_UUID: Final = "5b0c5f0e-6b0a-4a53-9d0c-0f5c1f6f2a11"


def _plain(params: Sequence[Any]) -> list[Any]:
    """A flag is shown without a type: there is nothing to fill in."""
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""
    return list(params)


class _Command(TyperCommand):
    """One command."""

    def get_params(self, *args: Any, **kwargs: Any) -> list[Any]:
        return _plain(super().get_params(*args, **kwargs))


class _Commands(TyperGroup):
    """All commands. Each of them ends here."""

    def get_params(self, *args: Any, **kwargs: Any) -> list[Any]:
        return _plain(super().get_params(*args, **kwargs))

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run one command and exit. An error is one line, without a traceback."""
        try:
            code = self._run(*args, **kwargs)
            sys.stdout.flush()
        except BrokenPipeError:  # the reader has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 1
        sys.exit(code)

    def _run(self, *args: Any, **kwargs: Any) -> int:
        try:
            code = super().main(*args, **kwargs | {"standalone_mode": False})
        except _UsageError as error:
            problem = error.format_message().replace("Value error, ", "").replace("Input should", "must")
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
    """Commands about one thing. The group of all ends them."""

    def get_params(self, *args: Any, **kwargs: Any) -> list[Any]:
        return _plain(super().get_params(*args, **kwargs))


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


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        sys.stdout.write(f"smsretry {version('smsretry')}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    pass


_ALWAYS: Final = "64 the command line makes no sense; 130 Ctrl-C."
_CODE_1: Final = {
    desk.explain: "nothing is known by that",
    desk.status: "something needs a person",
    orders.requeue: "nothing is changed",
    orders.cancel: "nothing is changed",
    orders.look_again: "nothing is changed",
    orders.after_restore: "no text matches",
    orders.resolve: "it is not in doubt, or a worker has it",
    running.process: "something went wrong, or sending stopped",
    running.doctor: "something is bad",
    opt_outs.import_opt_outs: "lines were not imported, or customers not marked yet",
    senders.check: "the provider says that one cannot send",
}
"""What exit code 1 means apart from an error."""
_OTHER_CODES: Final = {
    rules.quiet_hours: "0 it may go out now; 1 an error; 2 quiet hours; 3 refused or held",
    running.up: "0 ended by SIGTERM; 1 an error",
    deployments.serve: "0 ended by SIGTERM or Ctrl-C; 1 an error",
}


def _codes(command: Callable[..., None]) -> str:
    one = f"{_CODE_1[command]}, or an error" if command in _CODE_1 else "an error"
    return f"{_OTHER_CODES.get(command, f'0 done; 1 {one}')}; {_ALWAYS}"


def _add(panel: str | None, command: Callable[..., None], *examples: str, group: typer.Typer = app) -> None:
    name = command.__name__.strip("_").replace("_", "-")
    shown = "\n\n".join(f"  smsretry {example}".replace("[", r"\[") for example in examples)
    epilog = f"Example:\n\n{shown}\n\nExit codes: {_codes(command)}"
    group.command(name, cls=_Command, rich_help_panel=panel, epilog=epilog)(command)


_DESK: Final = "The desk: ask and act"
_add(_DESK, desk.explain, f"explain {_UUID}", f"explain --customer {_UUID}", "explain - < number.txt")
_add(_DESK, desk.status, "status", "status --json | jq .queue", "status --prometheus > smsretry.prom")
_add(_DESK, desk.preview, "preview --hours 12")
_add(_DESK, orders.requeue, "requeue --code 30003 --since 2026-11-24", "requeue --code 30003 --yes --because 'Mended'")
_add(
    _DESK,
    orders.cancel,
    "cancel --business $BUSINESS --state waiting",
    "cancel --row $ROW --yes --because 'Moved away'",
)
_add(
    _DESK,
    orders.look_again,
    "look-again --row $ROW --yes --because 'The zone is there'",
    "look-again --why no_time_zone",
)
_add(_DESK, orders.after_restore, "after-restore --backup-of 2026-11-24T03:00")
_add(_DESK, orders.resolve, f"resolve {_UUID}", "resolve $ROW --send-again --because 'Not in the log'")
_add(_DESK, orders.prune, "prune --keep-days 180")

_SENDERS: Final = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    rich_markup_mode="rich",
    epilog="Example:\n\n  smsretry senders list --troubled\n\n  smsretry senders COMMAND --help\n\n"
    f"Exit codes: 0 done; 1 an error, or the provider says that one cannot send; {_ALWAYS}",
)
app.add_typer(
    _SENDERS,
    name="senders",
    rich_help_panel=_DESK,
    help="Say who texts for whom: list, add, change, pause, resume, remove and check senders.",
)
_add(None, senders.list_, "senders list", "senders list --troubled --json", group=_SENDERS)
_add(
    None,
    senders.add,
    "senders add $BUSINESS $ACCOUNT $SERVICE --because 'Registered'",
    "senders add $BUSINESS $ACCOUNT - --because 'Ours' < number.txt",
    group=_SENDERS,
)
_add(None, senders.change, "senders change $SERVICE --rate 4.5 --because 'A better score'", group=_SENDERS)
_add(None, senders.pause, "senders pause $SERVICE --because 'Suspended'", group=_SENDERS)
_add(None, senders.resume, "senders resume $SERVICE --because 'Mended'", group=_SENDERS)
_add(None, senders.remove, "senders remove $BUSINESS --because 'It shares ours'", group=_SENDERS)
_add(None, senders.check, "senders check", "senders check $SERVICE", group=_SENDERS)

_RULES: Final = "Rules and consent"
_add(_RULES, rules.quiet_hours, "quiet-hours - < number.txt", "quiet-hours +13055550123 --at 2026-11-24T20:30-05:00")
_add(_RULES, rules.stop, "stop LA --because 'A hurricane'", "stop LA --lift")
_add(
    _RULES,
    rules.consent,
    "consent - --opt-out --source 'telephone, 24 November' < number.txt",
    "consent --customer $ID --opt-in --source form --because 'Signed'",
)
_add(
    _RULES,
    opt_outs.import_opt_outs,
    "import-opt-outs stops.csv --business $ID",
    "import-opt-outs stops.csv --business $ID --write --because 'Moved'",
)

_RUNNING: Final = "Set up and run"
_add(
    _RUNNING, marks.mark, "mark production --because 'Live since May'", "mark staging --because 'A copy of last night'"
)
_add(_RUNNING, running.demo, "demo", "demo --all")
_add(_RUNNING, running.up, "up --open", "up --port 4300 --rate 60")
_add(_RUNNING, running.migrate, "migrate --db-url postgresql://postgres@127.0.0.1:5432/app")
_add(_RUNNING, running.doctor, "doctor", "doctor --json | jq '.findings[] | select(.ok | not)'")
_add(_RUNNING, deployments.serve, "serve")
_add(_RUNNING, deployments.deploy, "deploy")
_add(_RUNNING, deployments.automations, "automations --notify slack-webhook/operations")
_add(_RUNNING, running.process, "process --limit 200", "process --json | jq .summary")
