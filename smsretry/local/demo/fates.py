"""What became of each of the demo's texts, in a word and in a table."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from rich import box
from rich.table import Table

from smsretry.local.stack import Stack

_ROWS: Final = """
    select q.id, q.status, q.reason, q.scheduled_for, q.in_doubt_since, q.attempt_count, q.why, q.last_error,
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
        return "waits"
    kind = "[cyan]deferred[/]" if row["reason"] == "quiet_hours" else "[magenta]retry[/]"
    day = "%a " if row["scheduled_for"].date() != now.date() else ""
    return f"{kind} to {row['scheduled_for'].astimezone(UTC):{day}%H:%M}"


def _why(row: Mapping[str, Any]) -> str:
    if row["status"] == "completed":
        return "Was in doubt; found in Twilio's list" if row["found"] else "Accepted by Twilio"
    return str(row["why"] or row["last_error"] or "")


def table(
    stack: Stack,
    names: Mapping[UUID, str],
    moments: list[tuple[datetime, dict[UUID, str]]],
    *,
    only: Sequence[str] | None = None,
) -> Table:
    """A line for each text, or for those customers in that order. `moments`: when each run was, and the fates after it.

    It fits 80 columns.
    """
    with stack.connect() as connection:
        rows = connection.execute(_ROWS).fetchall()
    if only is not None:
        shown = [row for row in rows if names[row["id"]] in only]
        shown.sort(key=lambda row: only.index(names[row["id"]]))
        title = f"What became of {len(shown)} of the {len(rows)} texts (times in UTC)"
    else:
        shown, title = rows, f"What became of the {len(rows)} texts (times in UTC)"
    told = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for heading in ("Customer", *(f"Run at {moment:%a %H:%M}" for moment, _ in moments)):
        told.add_column(heading)
    told.add_column("Sends", justify="right")
    told.add_column("Why")
    for row in shown:
        after_runs = [after.get(row["id"], "") for _, after in moments]
        told.add_row(names[row["id"]], *after_runs, str(row["attempt_count"]), _why(row))
    return told
