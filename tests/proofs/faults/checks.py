"""Twilio's ledger against the database: what was lost, doubled, stuck or sent when it should not have been.

It shares no rule with the production code: wall clocks are read with plain zoneinfo, the states with plain SQL.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, time
from typing import Any, Self
from uuid import UUID
from zoneinfo import ZoneInfo

from smsretry.local.stack import Stack
from smsretry.local.twilio.ledger import Entry
from tests.proofs.faults.accounts import judge_questions, judge_senders, read_begun
from tests.proofs.faults.arrivals import Message, has_no_text, judge_ends, judge_marks, judge_messages
from tests.proofs.faults.carrier import Carrier
from tests.proofs.faults.journeys import FAILURES
from tests.proofs.faults.moves import Movers
from tests.proofs.faults.texts import PlannedText
from tests.proofs.faults.wire import Asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What must be zero. `informative` counts are not among them. None: not asked, in a run without that."""

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
    without_text: int | None = None
    """Scheduled sends that neither became a text nor say why not."""
    retried_twice: int | None = None
    """Messages that follow fewer failures than there were messages before: one failure led to two of them."""
    arrived_twice: int | None = None
    """Messages accepted after Twilio had learned that an earlier one was delivered."""
    retried_for_good: int | None = None
    """Messages that follow a failure that does not pass."""
    retried_too_often: int | None = None
    """Messages beyond the configured retries."""
    wrong_in_the_end: int | None = None
    """Texts of which Twilio has another last word than the database, or whose delivery is still open."""
    wrongly_marked: int | None = None
    """Numbers that a failure should have marked and did not, or that none did and are marked."""
    wrong_sender: int | None = None
    """Sends from another sender than the business's when they began. Asked if businesses have senders of their own."""
    wrong_account: int | None = None
    """Looks for a text, and questions about a message, in another account than the one that it went out from."""

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not any(asdict(self).values())

    def __str__(self) -> str:
        asked = {name: count for name, count in asdict(self).items() if count is not None}
        return "\n".join(f"{name.replace('_', ' '):<24}{count:>8}" for name, count in asked.items())


def compare(
    stack: Stack,
    texts: Sequence[PlannedText],
    *,
    carrier: Carrier | None = None,
    scheduled: bool = False,
    movers: Movers | None = None,
    asked: Sequence[Asked] = (),
) -> tuple[Verdict, list[str]]:
    """Judge a run that has ended. Of texts that ended wrongly, also how.

    Args:
        carrier: what it reported of the messages. None: nothing was, and each text has one at most.
        scheduled: each text was a scheduled send at first.
        movers: who sent for whom. None: one sender did for everybody.
        asked: what Twilio was asked.
    """
    book = _Book.read(stack)
    states, wrong = Counter[str](), list[str]()
    for text in texts:
        sent, own = book.entries[text.body], book.rows[text.send_log_id]
        states["lost"] += _is_lost(sent, own)
        if carrier is None:
            states["doubled"] += max(len(sent) - 1, 0)
            states["misreported"] += bool(sent) and _is_given_up(own)
        elif sent:
            found, told = _judge_deliveries(text, book, carrier)
            states += found
            wrong += told
        states["without_text"] += scheduled and has_no_text(book.sends.get(text.send_log_id), own)
        states["stuck"] += any(row["status"] in ("pending", "processing") for row in own)
        states["out_of_hours"] += sum(not _is_day(entry.accepted_at, text.clocks) for entry in sent)
        states["after_opt_out"] += sum(_is_unwanted(entry, text) for entry in sent)
        states["over_cap"] += any(row["attempt_count"] > row["max_attempts"] for row in own)
        states["extra_rows"] += max(len(own) - 1, 0)
        states["unsettled"] += sum(_is_unsettled(stack, attempt, text) for attempt in book.attempts[text.send_log_id])
    if movers:
        found, told = judge_senders(book.entries, book.attempts, texts, movers, read_begun(stack))
        states += found
        found, more = judge_questions(asked, book.entries, book.attempts, texts)
        states += found
        wrong += [*told, *more]
    for text in texts:
        book.entries.pop(text.body, None)
    assert not book.entries, "Twilio accepted a text that nobody planned"
    assert book.attempts.keys() <= {text.send_log_id for text in texts}, "A text was begun that nobody planned"
    of_senders = {"wrong_sender", "wrong_account"}
    of_deliveries = {field.name for field in fields(Verdict) if field.default is None} - {"without_text"} - of_senders
    not_asked = (set() if carrier else of_deliveries) | (set() if scheduled else {"without_text"})
    not_asked |= set() if movers else of_senders
    counts = {field.name: states[field.name] for field in fields(Verdict) if field.name not in not_asked}
    return Verdict(**counts), wrong


@dataclass(frozen=True, slots=True)
class _Book:
    """What Twilio has, by body, and what the database has, by send log."""

    entries: defaultdict[str, list[Entry]]
    rows: defaultdict[UUID, list[dict[str, Any]]]
    attempts: defaultdict[UUID, list[dict[str, Any]]]
    """In the order in which they were begun."""
    logs: dict[UUID, dict[str, Any]]
    customers: dict[UUID, dict[str, Any]]
    sends: dict[UUID, dict[str, Any]]

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """Everything, when nothing moves any more."""
        entries = defaultdict[str, list[Entry]](list)
        for entry in stack.twilio.ledger.entries():
            entries[entry.body].append(entry)
        rows, attempts = (defaultdict[UUID, list[dict[str, Any]]](list) for _ in range(2))
        with stack.connect() as connection:
            for row in connection.execute("select * from sms_retry_queue"):
                rows[row["send_log_id"]].append(row)
            for attempt in connection.execute(
                """select a.*, q.send_log_id from sms_send_attempts a join sms_retry_queue q on q.id = a.retry_id
                   order by a.begun_at"""
            ):
                attempts[attempt["send_log_id"]].append(attempt)
            logs = {row["id"]: row for row in connection.execute("select * from send_logs")}
            customers = {row["id"]: row for row in connection.execute("select * from customers")}
            sends = {row["id"]: row for row in connection.execute("select * from scheduled_sends")}
        return cls(entries, rows, attempts, logs, customers, sends)


def _judge_deliveries(text: PlannedText, book: _Book, carrier: Carrier) -> tuple[Counter[str], list[str]]:
    """What is wrong with the messages of a text that Twilio took, and in words."""
    own, theirs, log = book.rows[text.send_log_id], book.attempts[text.send_log_id], book.logs[text.send_log_id]
    sent = book.entries[text.body]
    messages = [Message(entry.sid, entry.accepted_at, tuple(carrier.told[entry.sid])) for entry in sent]
    states = judge_messages(messages)
    lost = all(message.last_word[0] in FAILURES for message in messages)
    states["misreported"] = int(not lost and _is_given_up(own) and log["status"] != "delivered")
    ends = judge_ends(messages, theirs, own, log, what=f"text {text.number}")
    marks = judge_marks(messages, book.customers[text.customer_id], what=f"text {text.number}")
    states["wrong_in_the_end"], states["wrongly_marked"] = int(ends is not None), int(marks is not None)
    return states, [told for told in (ends, marks) if told]


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
