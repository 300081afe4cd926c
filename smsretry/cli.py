"""The `smsretry` command. What needs the embedded stack is imported when asked for: it is an extra."""

import signal
import sys
from pathlib import Path
from time import monotonic
from typing import Annotated, Final, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from smsretry.adapters.supabase_queue import SupabaseQueue
from smsretry.adapters.twilio_sender import TwilioSender
from smsretry.doctor import examine
from smsretry.errors import SmsRetryError
from smsretry.gate import Gate, stopped_by
from smsretry.migrate import migrate as apply_migrations
from smsretry.models import ItemResult, RunSummary
from smsretry.pipeline import ItemError, process_due
from smsretry.settings import load_settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    help="See every text through, exactly once.",
)
_console: Final = Console(highlight=False)
_DataDir = Annotated[Path, typer.Option(help="Where the embedded stack keeps its data.")]
_HERE: Final = Path(".smsretry")


def main() -> None:
    """Run the command; an error of ours is shown as its message, without a traceback."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app()
    except SmsRetryError as error:
        Console(stderr=True, highlight=False).print(f"[red]Error:[/] {error}")
        sys.exit(1)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt  # SIGTERM stops the stack in order, as Ctrl-C does


@app.command()
def demo(data_dir: _DataDir = _HERE) -> None:
    """Show the whole system at work: a business's texts through the real flow, every outcome, on real parts."""
    from smsretry.local.demo import run_demo

    started = monotonic()
    run_demo(data_dir, _console)
    _console.print(f"\nDone in {monotonic() - started:.0f} s. `smsretry up` shows these runs in Prefect's UI.")


@app.command()
def up(
    data_dir: _DataDir = _HERE,
    port: Annotated[int | None, typer.Option(help="Port of the Prefect UI; 4200 or a free one by default.")] = None,
    empty: Annotated[bool, typer.Option("--empty", help="Do not put the demo's texts into an empty database.")] = False,
) -> None:
    """Run everything here until Ctrl-C: the stack, a Prefect server with its UI, the deployment on its schedule."""
    from smsretry.local.up import run_up

    try:
        run_up(data_dir, port=port, empty=empty, console=_console)
    except KeyboardInterrupt:
        _console.print("Stopped.")


@app.command()
def migrate(
    db_url: Annotated[str, typer.Option(help="postgresql://owner@host:5432/name", envvar="DATABASE_URL")],
    again: Annotated[
        bool, typer.Option("--again", help="Also what was applied before: mends what was dropped.")
    ] = False,
) -> None:
    """Create or update the tables and functions in a database. Safe to repeat; mixes with `supabase db push`."""
    applied = apply_migrations(db_url, again=again, warn=lambda text: _console.print(f"[yellow]warning:[/] {text}"))
    for migration in applied:
        _console.print(f"applied {migration.version}_{migration.name}")
    if not applied:
        _console.print("Nothing to do: the database has every migration.")


@app.command()
def process(
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many due texts to take at most.")] = 50,
    stale_minutes: Annotated[
        int, typer.Option(min=1, max=1440, help="When a silent worker's texts are taken back.")
    ] = 10,
) -> None:
    """Recover, claim and process once against the configured services, without Prefect."""
    started = monotonic()
    settings = load_settings()
    with SupabaseQueue(settings) as queue, TwilioSender(settings) as sender:
        recovered = queue.recover(stale_minutes)
        gate = Gate()
        with stopped_by(gate, signal.SIGINT, signal.SIGTERM):
            items = list(process_due(queue, sender, gate, limit=limit, in_doubt=settings.in_doubt))
    table = Table("Row", "Came to", "Why")
    for item in items:
        table.add_row(*_line(item))
    if items:
        _console.print(table)
    results = [item for item in items if isinstance(item, ItemResult)]
    errors = len(items) - len(results)
    _console.print(
        str(RunSummary.of(recovered=recovered, results=results, errors=errors, duration_seconds=monotonic() - started))
    )
    if gate.shut_because:
        _console.print(f"[yellow]Stopped sending:[/] {gate.shut_because}")
    if errors or gate.circuit:
        raise typer.Exit(1)


def _line(item: ItemResult | ItemError) -> tuple[str, str, str]:
    match item:
        case ItemResult():
            return str(item.retry_id), item.fate, str(item)
        case ItemError(retry_id, error):
            return str(retry_id), "[red]Error[/]", str(error)


@app.command()
def doctor() -> None:
    """Check every setting, connection, function and grant, the zone data, and Twilio's account: ok, or what to do."""
    bad = 0
    for finding in examine():
        bad += not finding.ok
        _console.print("[green]ok[/]  " if finding.ok else "[red]bad[/] ", finding.subject, end="")
        _console.print("" if finding.ok else f": {finding.advice}", soft_wrap=True)
    if bad:
        raise typer.Exit(1)


if __name__ == "__main__":
    main()
