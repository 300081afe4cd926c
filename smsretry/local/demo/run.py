"""The demo: a business's texts through the real flow, twice, with the clock moved on in between."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import httpx
from rich.console import Console
from rich.table import Table

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.errors import SmsRetryError
from smsretry.local.demo.people import (
    BUSINESS_ZONE,
    DEAD_AFTER_BEGIN,
    DEAD_BEFORE_BEGIN,
    DELETED,
    SPECIAL,
    Seeder,
    Special,
    people,
)
from smsretry.local.postgres.server import EmbeddedPostgres
from smsretry.local.prefect_server import PrefectServer
from smsretry.local.stack import Stack
from smsretry.retry.decision import Send

ROOT: Final = Path(__file__).resolve().parents[3]
"""The project: flows/ and prefect.yaml are there."""
_LEASE: Final = timedelta(minutes=11)
"""Longer than stale_minutes: what a dead worker held is recovered by the next run."""


def clear(data_dir: Path) -> None:
    """Remove an earlier demo's data.

    Raises:
        SmsRetryError: the directory holds something that is not ours.
    """
    ours = {"postgres", "prefect"}
    if data_dir.exists() and not {path.name for path in data_dir.iterdir()} <= ours:
        raise SmsRetryError(f"{data_dir} holds other things than a stack's data: give another --data-dir.")
    EmbeddedPostgres(data_dir / "postgres").remove()
    shutil.rmtree(data_dir, ignore_errors=True)


def seed(stack: Stack) -> dict[UUID, str]:
    """Move the clock to 9:30 on a weekday morning in New York and queue everything; returns row → customer."""
    _move_to_morning(stack)
    with stack.connect() as connection:
        names: dict[UUID, str] = {}
        early = Seeder(connection, stack.now())
        for name in (DEAD_BEFORE_BEGIN, DEAD_AFTER_BEGIN):
            names[early.text(Special(name, f"+1212555017{len(names) + 3}"))] = name
        _die_holding_claims(stack, {name: row for row, name in names.items()})
        seeder = Seeder(connection, stack.now())
        for customer, zone in people():
            names[seeder.text(customer, zone)] = customer.name
        for customer in SPECIAL:
            names[seeder.text(customer)] = customer.name
            if customer.fault and customer.phone:
                stack.twilio.fail(customer.fault, to=customer.phone)
        deleted = seeder.text(Special(DELETED, "+12125550175"))
        names[deleted] = DELETED
        connection.execute(
            "delete from send_logs where id = (select send_log_id from sms_retry_queue where id = %s)", [deleted]
        )
        connection.execute(
            """update sms_retry_queue set expires_at = created_at + interval '48 hours'
               where created_at < smsretry.clock() - interval '48 hours'"""
        )
    return names


def _move_to_morning(stack: Stack) -> None:
    local = stack.now().astimezone(ZoneInfo(BUSINESS_ZONE))
    morning = local.replace(hour=9, minute=30, second=0, microsecond=0) - _LEASE
    while morning < local or morning.weekday() > 4:
        morning += timedelta(days=1)
    stack.set_clock(morning)


def _die_holding_claims(stack: Stack, rows: Mapping[str, UUID]) -> None:
    """A worker claims two rows, begins one, and is never heard of again."""
    with SupabaseQueue(stack.settings()) as queue:
        held = {claim.id: claim for claim in queue.claim_due(limit=2)}
        closes = stack.now() + timedelta(hours=1)
        decision = Send(closes, closes, rule="08:00–21:00 in America/New_York, the customer's zone")
        queue.begin(held[rows[DEAD_AFTER_BEGIN]], uuid4(), decision, first_send=False)
    stack.move_clock(_LEASE)


def run_flow(stack: Stack, server: PrefectServer) -> None:
    """One run of the real flow, in a process of its own, on the real Prefect server."""
    done = subprocess.run(
        [sys.executable, "-m", "flows.process_sms_retries"],
        cwd=ROOT,
        env={**os.environ, **server.environment(), **stack.environment(), "PREFECT_LOGGING_LEVEL": "WARNING"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SmsRetryError(f"The flow run failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def run_demo(data_dir: Path, console: Console) -> None:
    """Start everything, seed, run, move the clock four hours on, run again, and show what became of each text."""
    clear(data_dir)
    with ExitStack() as running:
        with console.status("Starting PostgreSQL, the RPC endpoint, the Twilio stand-in and a Prefect server …"):
            stack = running.enter_context(Stack(data_dir))
            server = running.enter_context(PrefectServer(data_dir / "prefect", stack.postgres))
        _show(stack, server, console)


def _show(stack: Stack, server: PrefectServer, console: Console) -> None:
    with console.status("Queueing texts …"):
        names = seed(stack)
    moments: list[tuple[datetime, dict[UUID, str]]] = []
    for pause in (timedelta(0), timedelta(hours=4)):
        stack.move_clock(pause)
        moment = stack.now()
        with console.status(f"Run {len(moments) + 1} of 2: {moment:%A %H:%M} UTC …"):
            run_flow(stack, server)
        moments.append((moment, _fates(stack)))
    console.print(_table(stack, names, moments))
    for number, run in enumerate(_flow_runs(server), start=1):
        console.print(f"Run {number}: {run['state']['message']}")
    accepted = stack.twilio.ledger.entries()
    console.print(f"Twilio's own ledger: {len(accepted)} texts to {len({text.to for text in accepted})} numbers")


def links(server: PrefectServer) -> list[str]:
    """Where the UI shows the runs so far."""
    return [f"{server.url}/runs/flow-run/{run['id']}" for run in _flow_runs(server)]


def _flow_runs(server: PrefectServer) -> list[dict[str, Any]]:
    answer = httpx.post(
        f"{server.url}/api/flow_runs/filter",
        json={"sort": "START_TIME_ASC", "flow_runs": {"state": {"type": {"any_": ["COMPLETED", "FAILED"]}}}},
    )
    runs: list[dict[str, Any]] = answer.raise_for_status().json()
    return runs


_ROWS: Final = """
    select q.id, q.status, q.reason, q.scheduled_for, q.in_doubt_since, q.attempt_count, q.why, q.last_error,
           coalesce(c.timezone, 'unknown') as zone,
           exists (select 1 from sms_send_attempts a
                   where a.retry_id = q.id and a.outcome = 'accepted' and a.settled_by = 'reconcile') as found
    from sms_retry_queue q left join customers c on c.id = q.customer_id
    order by q.status = 'completed' desc, q.status, q.in_doubt_since is not null, q.reason, q.scheduled_for, q.id
"""


_ENDED: Final = {
    "completed": "[green]sent[/]",
    "failed": "[red]failed[/]",
    "cancelled": "cancelled",
    "processing": "processing",
}


def _fates(stack: Stack) -> dict[UUID, str]:
    with stack.connect() as connection:
        return {row["id"]: _fate(row, stack.now()) for row in connection.execute(_ROWS)}


def _fate(row: Mapping[str, Any], now: datetime) -> str:
    if row["status"] != "pending":
        return _ENDED[row["status"]]
    if row["in_doubt_since"]:
        return "[yellow]in doubt[/]"
    if row["scheduled_for"] <= now:
        return "waits for the next run"
    kind = "[cyan]deferred[/]" if row["reason"] == "quiet_hours" else "[magenta]retry[/]"
    return f"{kind} to {row['scheduled_for']:%a %H:%M}"


def _why(row: Mapping[str, Any]) -> str:
    if row["status"] == "completed":
        return "Was in doubt; found in Twilio's list" if row["found"] else "Accepted by Twilio"
    return str(row["why"] or row["last_error"] or "")


def _table(stack: Stack, names: Mapping[UUID, str], moments: list[tuple[datetime, dict[UUID, str]]]) -> Table:
    table = Table(title="What became of each text (times in UTC)", title_justify="left")
    for heading in ("Customer", "Zone", *(f"Run at {moment:%a %H:%M}" for moment, _ in moments), "Sends", "Why"):
        table.add_column(heading)
    with stack.connect() as connection:
        for row in connection.execute(_ROWS):
            fates = [fates.get(row["id"], "") for _, fates in moments]
            table.add_row(names[row["id"]], row["zone"], *fates, str(row["attempt_count"]), _why(row))
    return table
