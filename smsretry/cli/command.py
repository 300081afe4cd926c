"""The command `smsretry` put together: which commands there are, an example of each, and how any of them ends.

Exit codes: 0 done; 1 an error, nothing found, or something that a person must look at; 2 and 3 only `quiet-hours` has;
64 the command line makes no sense; 130 stopped.
"""

import os
import sys
from collections.abc import Callable
from typing import Annotated, Any, Final, NoReturn, cast

import typer
from typer.core import TyperGroup

from smsretry.cli import STOPPED, desk, levers, rules, running
from smsretry.cli.showing import complain
from smsretry.errors import SmsRetryError

USAGE: Final = 64
"""EX_USAGE of sysexits.h. typer's own 2 is an answer of `quiet-hours`."""
_UsageError: Final = cast("type[typer.BadParameter]", typer.BadParameter.__bases__[0])
"""What every usage error is. typer has no public name for it."""

_UUID: Final = "5b0c5f0e-6b0a-4a53-9d0c-0f5c1f6f2a11"


class _Commands(TyperGroup):
    """All commands. Each ends here."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run one command and exit. What goes wrong is told in a line, without a traceback."""
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
            told = error.format_message().replace("Value error, ", "").removeprefix("Invalid value: ")
            path = error.ctx.command_path if error.ctx else "smsretry"
            complain(f"{told}\nTry: {path} --help")
            return USAGE
        except SmsRetryError as error:
            complain(str(error))
            return 1
        if code == STOPPED:
            sys.stderr.write("Stopped.\n")
        return int(code or 0)


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="See every text through, exactly once.",
    epilog="Exit codes: 0 done; 1 an error, nothing found, or something that a person must look at; "
    "64 a command line that makes no sense; 130 stopped. [cyan]quiet-hours[/] has 2 and 3, too.",
    rich_markup_mode="rich",
)


def _tell_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        sys.stdout.write(f"smsretry {version('smsretry')}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="Print the version.")
    ] = False,
) -> None:
    pass


def _add(panel: str, command: Callable[..., None], *examples: str) -> None:
    name = command.__name__.replace("_", "-")
    shown = "\n\n".join(f"  smsretry {example}".replace("[", r"\[") for example in examples)
    app.command(name, rich_help_panel=panel, epilog=f"Example:\n\n{shown}")(command)


_DESK: Final = "The desk: ask and act"
_add(_DESK, desk.explain, f"explain --customer {_UUID}", "explain - < number.txt")
_add(_DESK, desk.status, "status", "status --json | jq .queue", "status --prometheus > smsretry.prom")
_add(_DESK, desk.preview, "preview --hours 12")
_add(_DESK, levers.requeue, "requeue --code 30003 --since 2026-11-24", "requeue --code 30003 --yes --because 'Mended'")
_add(_DESK, levers.cancel, f"cancel --business {_UUID} --state waiting")
_add(_DESK, levers.resolve, f"resolve {_UUID}", f"resolve {_UUID} --send-again --because 'Not in the log'")
_add(_DESK, levers.prune, "prune --keep-days 180")

_RULES: Final = "Rules and consent"
_add(_RULES, rules.quiet_hours, "quiet-hours - < number.txt", "quiet-hours +13055550123 --at 2026-11-24T20:30-05:00")
_add(_RULES, rules.stop, "stop LA --because 'A hurricane'", "stop LA --lift")
_add(_RULES, rules.consent, "consent - --opt-out --source 'telephone, 24 November' < number.txt")

_RUNNING: Final = "Set up and run"
_add(_RUNNING, running.demo, "demo")
_add(_RUNNING, running.up, "up --port 4300")
_add(_RUNNING, running.migrate, "migrate --db-url postgresql://postgres@127.0.0.1:5432/app")
_add(_RUNNING, running.doctor, "doctor")
_add(_RUNNING, running.process, "process --limit 200")
