"""What became of each of the demo's texts, in a word and in tables."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Final
from uuid import UUID

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from smsretry.adapters.twilio.errors import code_meaning
from smsretry.local.stack import SENDER, Stack
from smsretry.privacy import masked_sender

_ROWS: Final = """
    select b.name as business, smsretry.shown_sender(s.sent_by) as own_sender,
           exists (select from smsretry.stops c where c.kind = 'sender' and c.subject = s.id::text) as is_stopped,
           q.id, q.status, q.reason, q.scheduled_for, q.in_doubt_since, q.attempt_count, q.why, q.last_error,
           (select a.error_code from sms_send_attempts a
            where a.retry_id = q.id order by a.begun_at desc limit 1) as code,
           exists (select 1 from sms_send_attempts a
                   where a.retry_id = q.id and a.outcome = 'accepted' and a.settled_by = 'reconcile') as found
    from sms_retry_queue q join businesses b on b.id = q.business_id
    left join smsretry.business_senders e on e.business_id = b.id
    left join smsretry.senders s on s.id = e.sender_id
    order by own_sender nulls first, q.status = 'completed' desc, q.status, q.in_doubt_since is not null, q.reason,
             q.scheduled_for, q.id
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
    if row["is_stopped"] or row["scheduled_for"] <= now:
        return "waits"
    kind = (
        "[cyan]deferred[/]" if row["reason"] == "quiet_hours" else "[magenta]retry[/]"
    )
    day = "%a " if row["scheduled_for"].date() != now.date() else ""
    return f"{kind} to {row['scheduled_for'].astimezone(UTC):{day}%H:%M}"


def _explanation(row: Mapping[str, Any]) -> str:
    if row["status"] == "completed":
        return (
            "Was in doubt; found in Twilio's list"
            if row["found"]
            else "Accepted by Twilio"
        )
    if row["why"]:
        return str(row["why"])
    what_to_do = (
        f". {code_meaning(row['code']).to_do}"
        if row["is_stopped"] and row["code"]
        else ""
    )
    return f"{row['last_error'] or ''}{what_to_do}"


def tables(
    stack: Stack,
    names: Mapping[UUID, str],
    moments: Sequence[tuple[datetime, Mapping[UUID, str]]],
    *,
    only: Sequence[str] | None = None,
) -> Group:
    """A table for each business, with its sender; a line for each text, or for those customers in that order.

    They fit 80 columns. `moments`: when each run was, and the fates after it.
    """
    with stack.connect() as connection:
        rows = connection.execute(_ROWS).fetchall()
    visible = [row for row in rows if only is None or names[row["id"]] in only]
    if only is not None:
        visible.sort(key=lambda row: only.index(names[row["id"]]))
    share, hint = (
        (f"{len(visible)} of ", "; --all shows every text") if only else ("", "")
    )
    runs = [
        (
            f"Run at {moment:%a %H:%M}",
            max(len(Text.from_markup(after[row["id"]]).plain) for row in visible),
        )
        for moment, after in moments
    ]
    parts: list[RenderableType] = []
    for (business, sender), texts in groupby(
        visible, key=lambda row: (row["business"], row["own_sender"])
    ):
        table = _empty_table(runs, headed=not parts)
        for row in texts:
            fates_then = [after[row["id"]] for _, after in moments]
            table.add_row(
                names[row["id"]],
                *fates_then,
                str(row["attempt_count"]),
                _explanation(row),
            )
        parts += ["", f"[bold]{business}[/], from {_sender(sender)}", table]
    return Group(
        f"What became of {share}the {len(rows)} texts (times in UTC{hint})", *parts[1:]
    )


def _empty_table(runs: Sequence[tuple[str, int]], *, headed: bool) -> Table:
    """Columns as wide as those of the others, so that the headings of the first stand above all."""
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), show_header=headed
    )
    table.add_column("Customer", width=len("Customer"))
    for run, widest in runs:
        table.add_column(run, width=max(widest, len(run)))
    table.add_column("Sends", justify="right", width=len("Sends"))
    table.add_column("Why")
    return table


def _sender(sender: str | None) -> str:
    return (
        f"its own sender {sender}"
        if sender
        else f"the default sender {masked_sender(SENDER)}"
    )
