"""What became of each of the demo's texts, in a word and in a table."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from rich.table import Table

from smsretry.local.stack import Stack

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


def fates(stack: Stack) -> dict[UUID, str]:
    """A word for each row, as it stands now."""
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


def table(stack: Stack, names: Mapping[UUID, str], moments: list[tuple[datetime, dict[UUID, str]]]) -> Table:
    """A line for each text. `moments`: when each run was, and the fates after it."""
    shown = Table(title="What became of each text (times in UTC)", title_justify="left")
    for heading in ("Customer", "Zone", *(f"Run at {moment:%a %H:%M}" for moment, _ in moments), "Sends", "Why"):
        shown.add_column(heading)
    with stack.connect() as connection:
        for row in connection.execute(_ROWS):
            after_runs = [after.get(row["id"], "") for _, after in moments]
            shown.add_row(names[row["id"]], row["zone"], *after_runs, str(row["attempt_count"]), _why(row))
    return shown
