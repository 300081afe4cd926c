"""Twilio's ledger against the database: what was lost, doubled, stuck or sent when it should not have been.

It shares no rule with the production code: wall clocks are read with plain zoneinfo, the states with plain SQL.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from smsretry.local.stack import Stack
from smsretry.local.twilio.ledger import Entry
from tests.faults.texts import PlannedText


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What must be zero. `informative` counts are not among them."""

    lost: int
    """Neither accepted by Twilio nor ended with a reason, or completed and unknown to Twilio."""
    doubled: int
    """Messages beyond a text's first."""
    stuck: int
    """Texts still pending or processing."""
    out_of_hours: int
    """Accepted before 08:00 or from 21:00 on, on a clock that counts for the recipient."""
    after_opt_out: int
    """Accepted after the opt-out, or without consent."""
    over_cap: int
    """Texts with more counted attempts than allowed."""
    misreported: int
    """Accepted by Twilio, and failed or cancelled in the database."""
    unsettled: int
    """Attempts of ended texts without outcome, and accepted ones whose SID is not Twilio's for that text."""
    extra_rows: int
    """Queue rows beyond a text's first."""

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not any(asdict(self).values())

    def __str__(self) -> str:
        return "\n".join(f"{name.replace('_', ' '):<14}{count:>8}" for name, count in asdict(self).items())


def compare(stack: Stack, texts: Sequence[PlannedText]) -> Verdict:
    """Judge a run that has ended."""
    with stack.connect() as connection:
        rows = connection.execute("select * from sms_retry_queue").fetchall()
        attempts = connection.execute("select * from sms_send_attempts").fetchall()
    entries: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in stack.twilio.ledger.entries():
        entries[entry.body].append(entry)
    rows_of: defaultdict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        rows_of[row["send_log_id"]].append(row)
    by_retry = {row["id"]: text for text in texts for row in rows_of[text.send_log_id]}
    states = Counter[str]()
    for text in texts:
        sent, own = entries[text.body], rows_of[text.send_log_id]
        states["lost"] += _is_lost(sent, own)
        states["doubled"] += max(len(sent) - 1, 0)
        states["stuck"] += any(row["status"] in ("pending", "processing") for row in own)
        states["out_of_hours"] += sum(not _is_day(entry.accepted_at, text.clocks) for entry in sent)
        states["after_opt_out"] += sum(_is_unwanted(entry, text) for entry in sent)
        states["over_cap"] += any(row["attempt_count"] > row["max_attempts"] for row in own)
        states["misreported"] += bool(sent) and any(row["status"] in ("failed", "cancelled") for row in own)
        states["extra_rows"] += max(len(own) - 1, 0)
        del entries[text.body]
    assert not entries, "Twilio accepted a text that nobody planned"
    return Verdict(
        lost=states["lost"],
        doubled=states["doubled"],
        stuck=states["stuck"],
        out_of_hours=states["out_of_hours"],
        after_opt_out=states["after_opt_out"],
        over_cap=states["over_cap"],
        misreported=states["misreported"],
        unsettled=sum(_is_unsettled(stack, attempt, by_retry[attempt["retry_id"]]) for attempt in attempts),
        extra_rows=states["extra_rows"],
    )


def _is_lost(sent: Sequence[Entry], rows: Sequence[dict[str, Any]]) -> bool:
    if not rows:
        return True
    if any(row["status"] == "completed" for row in rows):
        return not sent
    if any(row["status"] in ("pending", "processing") for row in rows):
        return False  # stuck, and counted as that
    return not sent and not all(row["last_error"] for row in rows)


def _is_day(at: datetime, clocks: Sequence[str]) -> bool:
    return all(time(8) <= at.astimezone(ZoneInfo(clock)).time() < time(21) for clock in clocks)


def _is_unwanted(entry: Entry, text: PlannedText) -> bool:
    never = text.kind != "ordinary"
    return never or (text.opted_out_at is not None and entry.accepted_at > text.opted_out_at)


def _is_unsettled(stack: Stack, attempt: dict[str, Any], text: PlannedText) -> bool:
    if attempt["outcome"] is None:
        return True
    if attempt["outcome"] != "accepted":
        return False
    entry = stack.twilio.ledger.find(attempt["twilio_sid"])
    return entry is None or (entry.to, entry.body) != (text.phone, text.body)
