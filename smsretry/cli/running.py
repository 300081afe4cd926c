"""Commands that run things: the demo, the stack, migrations, one run, the check of the set-up."""

import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Final

import typer

from smsretry.cli.parsing import Json, flag
from smsretry.cli.printing import print_json, print_note, print_text
from smsretry.retry.profile import MOST_TEXTS, STALE_MINUTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from smsretry.retry.models import ItemResult
    from smsretry.sending.scheduled import Queueing
    from smsretry.sending.summary import RunSummary

_COLORS: Final = {"bad": "red", "warn": "yellow", "ok": "green"}
"""The colors of the doctor's findings, by their words."""
_DATA_DIR: Final = Path(".smsretry")


def demo(
    every_row: Annotated[
        bool, flag("--all", "Show every text, not one of each kind.")
    ] = False,
) -> None:
    """Show the whole system at work: three businesses' texts through the real flow, every outcome, on real parts."""
    from rich.console import Console

    from smsretry.local import commands

    console = Console(highlight=False)
    started = monotonic()
    commands.demo(every_row=every_row, console=console)
    console.print(f"\nDone in {monotonic() - started:.0f} s. Try next:")
    console.print(
        "  smsretry up --open                   the same, live, in Prefect's UI"
    )
    console.print(
        "  smsretry quiet-hours +12125550161    may a text go there now, by your clock?"
    )


def up(
    data_dir: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Where the embedded stack keeps its data."),
    ] = _DATA_DIR,
    port: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=65535,
            help="Port of the Prefect UI; 4200 or a free one.",
        ),
    ] = None,
    empty: Annotated[
        bool, flag("--empty", "Neither the demo's texts nor new ones.")
    ] = False,
    rate: Annotated[
        float, typer.Option(metavar="N", min=0, max=600, help="New texts a minute.")
    ] = 6,
    browse: Annotated[bool, flag("--open", "Open the UI in a browser.")] = False,
) -> None:
    """Run everything here until Ctrl-C: the stack, a Prefect server with its UI, the deployments on their schedules."""
    from rich.console import Console

    from smsretry.local import commands

    commands.up(
        data_dir,
        port=port,
        empty=empty,
        rate=rate,
        browse=browse,
        console=Console(highlight=False),
    )


def migrate(
    db_url: Annotated[
        str,
        typer.Option(
            help="postgresql://owner@host:5432/name",
            envvar="DATABASE_URL",
            metavar="URL",
        ),
    ],
    again: Annotated[
        bool,
        flag(
            "--again",
            "Apply the whole schema again; restores what was dropped or changed.",
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        flag(
            "--dry-run",
            "Say what it would apply and what does not fit. Locks and changes nothing.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Create or update the tables and functions in a database. Safe to repeat; mixes with `supabase db push`."""
    from smsretry.adapters.migrations.migrate import migrate as apply_migrations

    newly_applied = apply_migrations(
        db_url,
        again=again,
        dry_run=dry_run,
        warn=lambda text: print_note(text, word="warning:"),
    )
    applied = [f"{migration.version}_{migration.name}" for migration in newly_applied]
    if as_json:
        print_json({"to_apply" if dry_run else "applied": applied, "again": again})
        return
    verb = "would apply" if dry_run else "applied"
    for name in applied:
        print_text(f"{verb} {name}")
    if again:
        print_text(f"{verb} the whole schema again")
    if not (applied or again):
        print_text("Nothing to do: the database has every migration.")
    elif dry_run:
        print_text("Nothing was changed.")


def process(
    limit: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            max=MOST_TEXTS,
            help="How many due texts to take at most.",
        ),
    ] = MOST_TEXTS,
    drain_seconds: Annotated[
        int,
        typer.Option(
            metavar="SECONDS",
            min=0,
            max=3600,
            help="How long to wait for what comes due; 0: not at all.",
        ),
    ] = 0,
    stale_minutes: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            max=1440,
            help="Minutes of silence before a worker's texts are taken back.",
        ),
    ] = STALE_MINUTES,
    as_json: Json = False,
) -> None:
    """One run without Prefect: queue scheduled sends, send until nothing is due, look after accepted texts.

    Ctrl-C lets no further send begin; sends under way end, and the numbers are printed.
    """
    from smsretry.sending.delivering import sync_deliveries
    from smsretry.sending.run import Run, run_once
    from smsretry.sending.scheduled import queue_scheduled_sends
    from smsretry.sending.summary import DeliverySummary
    from smsretry.wiring import services

    with services() as connected:
        queueing = queue_scheduled_sends(connected.queue)
        run = Run(connected)
        with run.stopped_by(signal.SIGINT, signal.SIGTERM):
            items, summary = run_once(
                run, limit=limit, seconds=drain_seconds, stale_minutes=stale_minutes
            )
        _print_sends(queueing, items, summary, as_json=as_json)
        deliveries = DeliverySummary([])
        if not summary.why_stopped:
            deliveries = sync_deliveries(connected)
    if as_json:
        print_json(
            {
                "run_id": run.id,
                "scheduled_sends": queueing.sends,
                "scheduled_sends_stopped": queueing.why_stopped,
                "items": items,
                "summary": summary,
                "deliveries": deliveries.counts,
                "deliveries_stopped": deliveries.why_stopped,
            }
        )
    elif deliveries.followed or deliveries.why_stopped:
        print_text(f"deliveries: {deliveries}")
    if run.asked_to_stop:
        raise typer.Exit(128 + run.asked_to_stop)
    is_any_held = any(item.fate == "Held" for item in items)
    is_stopped = queueing.why_stopped or summary.why_stopped
    needs_attention = summary.needs_attention or deliveries.needs_attention
    if is_any_held or is_stopped or summary.stopped_senders or needs_attention:
        raise typer.Exit(1)


def _print_sends(
    queueing: "Queueing",
    items: "Sequence[ItemResult]",
    summary: "RunSummary",
    *,
    as_json: bool,
) -> None:
    """Print what became of scheduled sends and texts. For JSON, only the note to standard error."""
    if queueing.why_stopped:
        # What waited in the queue went out all the same.
        print_note(
            f"Scheduled sends were not queued: {queueing.why_stopped}",
            word="warning:",
        )
    if as_json:
        return
    if queueing.sends:
        print_text(f"scheduled sends: {queueing.numbers}")
    for item in items:
        color = "red" if item.fate in ("Error", "Failed") else None
        text = f"row {item.retry_id}: {item}"
        print_text(text, word=item.fate, color=color, hang=15)
    print_text(str(summary))


def doctor(as_json: Json = False) -> None:
    """Check settings, database, queue, zone data, provider, Prefect: ok, or what to do. Changes and sends nothing."""
    from smsretry.doctor import examine

    findings = []
    for finding in examine(now=now, environment=os.environ):
        findings.append(finding)
        if not as_json:
            word = finding.word
            print_text(str(finding), word=word, color=_COLORS[word], hang=5)
    bad = sum(not finding.ok for finding in findings)
    if as_json:
        print_json({"bad": bad, "findings": findings})
    if bad:
        raise typer.Exit(1)


def now() -> datetime:
    """The operator's clock, for questions that decide nothing."""
    return datetime.now(UTC)  # noqa: TID251 - no text is due, stale or expired by it
