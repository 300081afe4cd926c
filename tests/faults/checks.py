"""Twilio's ledger against the database: what was lost, doubled, stuck or sent when it should not have been.

It shares no rule with the production code: wall clocks are read with plain zoneinfo, the states with plain SQL.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from smsretry.local.stack import Stack
from smsretry.local.twilio.ledger import Entry
from tests.faults.arrivals import ARRIVED, Message, has_no_text, judge_ends, judge_marks, judge_messages
from tests.faults.carrier import Carrier
from tests.faults.journeys import FAILURES
from tests.faults.texts import PlannedText


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What must be zero. `informative` counts are not among them."""

    lost: int
    """Neither accepted by Twilio nor ended with a reason, or completed and unknown to Twilio."""
    doubled: int
    """Messages beyond a text's first. With deliveries: those before which Twilio had called no other one lost."""
    stuck: int
    """Texts still pending or processing."""
    out_of_hours: int
    """Accepted before 08:00 or from 21:00 on, on a clock that counts for the recipient."""
    after_opt_out: int
    """Accepted after the opt-out, or without consent."""
    over_cap: int
    """Texts with more counted attempts than allowed."""
    misreported: int
    """Accepted by Twilio, and failed or cancelled in the database. With deliveries: and not called lost by Twilio."""
    unsettled: int
    """Attempts of ended texts without outcome, and accepted ones whose SID is not Twilio's for that text."""
    extra_rows: int
    """Queue rows beyond a text's first."""
    without_text: int = 0
    """Scheduled sends that neither became a text nor say why not."""
    retried_twice: int = 0
    """Messages that follow fewer failures than there were messages before: one failure led to two of them."""
    retried_though_arrived: int = 0
    """Messages accepted after the database had heard that an earlier one was delivered."""
    retried_for_good: int = 0
    """Messages that follow a failure that does not pass."""
    retried_too_often: int = 0
    """Messages beyond the configured retries."""
    wrong_in_the_end: int = 0
    """Texts of which Twilio has another last word than the database, or whose delivery is still open."""
    wrongly_marked: int = 0
    """Numbers that a failure should have marked and did not, or that none did and are marked."""

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not any(asdict(self).values())

    def __str__(self) -> str:
        return "\n".join(f"{name.replace('_', ' '):<24}{count:>8}" for name, count in asdict(self).items())


def compare(
    stack: Stack, texts: Sequence[PlannedText], *, carrier: Carrier | None = None, scheduled: bool = False
) -> tuple[Verdict, list[str]]:
    """Judge a run that has ended. Of texts that ended wrongly, also how.

    Args:
        carrier: what it reported of the messages. None: nothing was, and each text has one at most.
        scheduled: each text was a scheduled send at first.
    """
    with stack.connect() as connection:
        rows = connection.execute("select * from sms_retry_queue").fetchall()
        attempts = connection.execute("select * from sms_send_attempts order by begun_at").fetchall()
        logs = {row["id"]: row for row in connection.execute("select * from send_logs")}
        customers = {row["id"]: row for row in connection.execute("select * from customers")}
        sends = {row["id"]: row for row in connection.execute("select * from scheduled_sends")}
    entries: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in stack.twilio.ledger.entries():
        entries[entry.body].append(entry)
    rows_of: defaultdict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        rows_of[row["send_log_id"]].append(row)
    by_retry = {row["id"]: text for text in texts for row in rows_of[text.send_log_id]}
    attempts_of: defaultdict[Any, list[dict[str, Any]]] = defaultdict(list)
    for attempt in attempts:
        attempts_of[by_retry[attempt["retry_id"]].send_log_id].append(attempt)
    wrong: list[str] = []
    by_sid = {attempt["twilio_sid"]: attempt for attempt in attempts if attempt["twilio_sid"]}
    states = Counter[str]()
    for text in texts:
        sent, own = entries[text.body], rows_of[text.send_log_id]
        states["lost"] += _is_lost(sent, own)
        if carrier is None:
            states["doubled"] += max(len(sent) - 1, 0)
            states["misreported"] += bool(sent) and _is_given_up(own)
        else:
            messages = messages_of(sent, by_sid, carrier)
            states += judge_messages(messages)
            lost = all(message.last_word[0] in FAILURES for message in messages)
            states["misreported"] += not lost and _is_given_up(own) and logs[text.send_log_id]["status"] != "delivered"
            if sent:
                theirs, name = attempts_of[text.send_log_id], f"text {text.number}"
                ends = judge_ends(messages, theirs, own, logs[text.send_log_id], what=name)
                states["wrong_in_the_end"] += ends is not None
                marks = judge_marks(messages, customers[text.customer_id], what=name)
                states["wrongly_marked"] += marks is not None
                wrong += filter(None, (ends, marks))
        states["without_text"] += scheduled and has_no_text(sends.get(text.send_log_id), own)
        states["stuck"] += any(row["status"] in ("pending", "processing") for row in own)
        states["out_of_hours"] += sum(not _is_day(entry.accepted_at, text.clocks) for entry in sent)
        states["after_opt_out"] += sum(_is_unwanted(entry, text) for entry in sent)
        states["over_cap"] += any(row["attempt_count"] > row["max_attempts"] for row in own)
        states["extra_rows"] += max(len(own) - 1, 0)
        del entries[text.body]
    assert not entries, "Twilio accepted a text that nobody planned"
    states["unsettled"] = sum(_is_unsettled(stack, attempt, by_retry[attempt["retry_id"]]) for attempt in attempts)
    return Verdict(**{field.name: states[field.name] for field in fields(Verdict)}), wrong


def messages_of(sent: Sequence[Entry], attempts: Mapping[str, dict[str, Any]], carrier: Carrier) -> list[Message]:
    """The messages of one text, and when it was first known of each that it had arrived: by callback, or by a look."""
    messages = []
    for entry in sent:
        attempt = attempts.get(entry.sid, {})
        looked = attempt["delivery_at"] if attempt.get("delivery_status") in ARRIVED else None
        heard = min(filter(None, (carrier.arrival_heard.get(entry.sid), looked)), default=None)
        messages.append(Message(entry.sid, entry.accepted_at, tuple(carrier.told[entry.sid]), heard))
    return messages


def _is_given_up(rows: Sequence[dict[str, Any]]) -> bool:
    return any(row["status"] in ("failed", "cancelled") for row in rows)


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
