"""The `smsretry` command. What needs the embedded stack is imported when asked for: it is an extra."""

import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Annotated, Final, NoReturn
from uuid import UUID

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from smsretry.adapters.supabase.migrate import migrate as apply_migrations
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.doctor import examine
from smsretry.errors import SmsRetryError
from smsretry.gate import stopped_by
from smsretry.quiet_hours.check import check_quiet_hours
from smsretry.quiet_hours.explain import explain
from smsretry.quiet_hours.hours import parse_week
from smsretry.quiet_hours.rules import US_STATES
from smsretry.retry.models import ItemResult
from smsretry.run import ItemFailed, Run, run_once
from smsretry.settings import load_settings
from smsretry.wiring import services
from smsretry.words import RuleSet

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    help="See every text through, exactly once.",
)
_console: Final = Console(highlight=False)
_DataDir = Annotated[Path, typer.Option(help="Where the embedded stack keeps its data.")]
_HERE: Final = Path(".smsretry")
_DemoDir = Annotated[Path | None, typer.Option("--data-dir", help="Keep the data here; else they are deleted.")]
_INSTANTS: Final = ["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M%z", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]


def main() -> None:
    """Run the command; an error of ours is shown as its message, without a traceback."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app()
    except SmsRetryError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[red]Error:[/] {escape(str(error))}")
        sys.exit(1)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt  # SIGTERM stops the stack in order, as Ctrl-C does


@app.command()
def demo(
    data_dir: _DemoDir = None,
    every_row: Annotated[bool, typer.Option("--all", help="Show every text, not one of each kind.")] = False,
) -> None:
    """Show the whole system at work: a business's texts through the real flow, every outcome, on real parts."""
    from smsretry.local import commands

    started = monotonic()
    commands.demo(data_dir, every_row=every_row, console=_console)
    _console.print(f"\nDone in {monotonic() - started:.0f} s. Try next:")
    _console.print("  smsretry up --open                   the same, live, in Prefect's UI")
    _console.print("  smsretry demo --all                  every text")
    _console.print("  smsretry quiet-hours +12125550161    may a text go there now?")


@app.command()
def up(
    data_dir: _DataDir = _HERE,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the Prefect UI; 4200 or a free one.")
    ] = None,
    empty: Annotated[bool, typer.Option("--empty", help="Neither the demo's texts nor new ones.")] = False,
    rate: Annotated[float, typer.Option(min=0, max=600, help="New texts a minute.")] = 6,
    browse: Annotated[bool, typer.Option("--open", help="Open the UI in a browser.")] = False,
) -> None:
    """Run everything here until Ctrl-C: the stack, a Prefect server with its UI, the deployment on its schedule."""
    from smsretry.local import commands

    commands.up(data_dir, port=port, empty=empty, rate=rate, browse=browse, console=_console)


@app.command()
def migrate(
    db_url: Annotated[str, typer.Option(help="postgresql://owner@host:5432/name", envvar="DATABASE_URL")],
    again: Annotated[
        bool, typer.Option("--again", help="Re-apply every migration; restores what was dropped.")
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
        int, typer.Option(min=1, max=1440, help="Minutes of silence before a worker's texts are taken back.")
    ] = 10,
) -> None:
    """Recover, claim and process once against the configured services, without Prefect."""
    with services() as connected:
        run = Run(connected)
        with stopped_by(run.gate, signal.SIGINT, signal.SIGTERM):
            items, summary = run_once(run, limit=limit, stale_minutes=stale_minutes)
    table = Table("Row", "Came to", "Why")
    for item in items:
        table.add_row(*_line(item))
    if items:
        _console.print(table)
    _console.print(str(summary))
    if summary.needs_somebody:
        raise typer.Exit(1)


def _line(item: ItemResult | ItemFailed) -> tuple[str, str, str]:
    match item:
        case ItemResult():
            return str(item.retry_id), item.fate, str(item)
        case ItemFailed(retry_id, why):
            return str(retry_id), "[red]Error[/]", why


@app.command()
def doctor() -> None:
    """Check every setting, connection, function and grant, the zone data, and Twilio's account: ok, or what to do."""
    bad = 0
    for finding in examine(today=_now().date()):
        bad += not finding.ok
        verdict = "[red]bad[/] " if not finding.ok else "[yellow]warn[/]" if finding.advice else "[green]ok[/]  "
        _console.print(verdict, finding.subject, end="")
        _console.print(f": {finding.advice}" if finding.advice else "", soft_wrap=True)
    if bad:
        raise typer.Exit(1)


@app.command(name="quiet-hours")
def quiet_hours(
    phone: Annotated[str, typer.Argument(help="The recipient's number, E.164; - reads it from standard input.")],
    zone: Annotated[str | None, typer.Option(help="The customer's time zone, as stored.")] = None,
    business_zone: Annotated[str | None, typer.Option(help="The business's time zone.")] = None,
    business_hours: Annotated[str | None, typer.Option(help="The business's sms_hours.")] = None,
    at: Annotated[datetime | None, typer.Option(formats=_INSTANTS, help="When; UTC by default, and now.")] = None,
    transactional: Annotated[bool, typer.Option("--transactional", help="Not marketing: no state's rule.")] = False,
    rules: Annotated[
        RuleSet, typer.Option(envvar="SMSRETRY_QUIET_HOURS_RULES", help="The profile: all rules, or 08:00–21:00.")
    ] = "us_states",
) -> None:
    """Explain whether a text may go out, by which rules, and when next; and draw the recipient's week."""
    moment = at or _now()
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    try:
        check = check_quiet_hours(
            zone,
            at=moment,
            phone=sys.stdin.readline().strip() if phone == "-" else phone,
            fallback=business_zone,
            rules=rules,
            message_class="transactional" if transactional else "marketing",
            own_window=parse_week(business_hours) if business_hours else None,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    for line in explain(check, at=moment):
        _console.print(line, soft_wrap=True)


@app.command()
def stop(
    state: Annotated[str, typer.Argument(help="Two letters, such as LA.")],
    because: Annotated[str | None, typer.Option(help="The declared emergency.")] = None,
    lift: Annotated[bool, typer.Option("--lift", help="Let texts go there again.")] = False,
) -> None:
    """Let no marketing text go to a US state, from the next run on, until the stop is lifted."""
    state = state.upper()
    if state not in US_STATES:
        raise typer.BadParameter(f"{state} is no US state; give two letters such as LA")
    if lift is (because is not None):
        raise typer.BadParameter("Say --because '…' to stop, or --lift")
    with SupabaseOperators(load_settings()) as operators:
        operators.set_state_stop(state, because)
    _console.print(f"Marketing texts to {state} {'go again' if lift else 'wait until the stop is lifted'}.")


@app.command()
def consent(
    phone: Annotated[str, typer.Argument(help="The number, E.164; - reads it from standard input.")],
    opt_out: Annotated[bool, typer.Option("--opt-out/--opt-in", help="They said stop, or they said yes.")],
    source: Annotated[str, typer.Option(help="Where that is known from, such as 'telephone 2026-11-24'.")],
    business: Annotated[UUID | None, typer.Option(help="Its id; without one, an opt-out is from all.")] = None,
) -> None:
    """Record that a person opted out, or in, by number; an opt-out cancels the texts that wait for them."""
    with SupabaseOperators(load_settings()) as operators:
        recorded = operators.record_consent(
            sys.stdin.readline().strip() if phone == "-" else phone,
            consent="opted_out" if opt_out else "opted_in",
            source=source,
            business_id=business,
        )
    _console.print(f"Customers with this number: {recorded.customers}; waiting texts cancelled: {recorded.cancelled}.")
    if not opt_out:
        _console.print("If they had texted STOP, Twilio still refuses: they must text START to your number.")


@app.command()
def resolve(
    retry_id: Annotated[UUID, typer.Argument(help="The row's id.")],
    went_out_as: Annotated[str | None, typer.Option(help="The SID of the message that was this text.")] = None,
    send_again: Annotated[bool, typer.Option("--send-again", help="It did not go out.")] = False,
) -> None:
    """Say what became of a text that is held in doubt: it went out as a message, or it is to be sent again."""
    if send_again is (went_out_as is not None):
        raise typer.BadParameter("Say --went-out-as SM…, or --send-again")
    with SupabaseOperators(load_settings()) as operators:
        answer = operators.resolve_doubt(retry_id, went_out_as)
    if answer == "not_in_doubt":
        _console.print("The row is not in doubt, or a worker is looking for it at this moment: try again in a minute.")
        raise typer.Exit(1)
    _console.print("It will be sent again, with every check." if send_again else f"Recorded as sent: {went_out_as}.")


def _now() -> datetime:
    """The operator's clock. Only questions that decide nothing are asked by it."""
    return datetime.now(UTC)  # noqa: TID251 - no text is due, stale or expired by it


if __name__ == "__main__":
    main()
