"""All that is on record of each text: in the database, and in the provider's own ledger."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from smsretry.local.stack import Stack
from smsretry.local.twilio.ledger import Entry
from tests.proofs.town.texts import Text
from tests.support.records import Connection

Row = Mapping[str, Any]
Address = tuple[str | None, str | None]
"""What a message goes out from: an account, and a number or messaging service of it."""
_ROWS = """
    select id, send_log_id, status, attempt_count, max_attempts, scheduled_for, updated_at, last_error, error_code, why,
           why_code, claimed_at, begun_at, attempt_id, in_doubt_since, held_since
    from sms_retry_queue
"""
UNDER_WAY = timedelta(seconds=15)
"""What is learned or said then may find a request under way, for as long as the pipeline lets one begin."""
ARRIVED = frozenset({"delivered", "read"})
FAILURES = frozenset({"undelivered", "failed", "canceled"})


@dataclass(frozen=True, slots=True)
class ReportedStatus:
    """The provider learned this of a message, at that time."""

    at: datetime
    status: str
    code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One that the provider accepted."""

    sid: str
    at: datetime
    to: str = ""
    address: Address = (None, None)
    valid_for: timedelta = timedelta(0)
    reports: tuple[ReportedStatus, ...] = ()

    def failure_before(self, moment: datetime) -> ReportedStatus | None:
        """What the provider had called it lost with, by then."""
        return next(
            (
                report
                for report in self.reports
                if report.status in FAILURES and report.at <= moment
            ),
            None,
        )

    @property
    def arrived_at(self) -> datetime | None:
        """When the provider learned that it is on the phone."""
        return next(
            (report.at for report in self.reports if report.status in ARRIVED), None
        )

    @property
    def last_word(self) -> tuple[str, int | None]:
        """Arrived; else lost, and why; else nobody knows."""
        words = [report for report in self.reports if report.status in ARRIVED] or [
            report for report in self.reports if report.status in FAILURES
        ]
        return (words[-1].status, words[-1].code) if words else ("unknown", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One text, and all that is on record of it."""

    name: str
    rows: Sequence[Row]
    """Of the queue."""
    attempts: Sequence[Row]
    """In the order in which they were begun."""
    log: Row | None
    messages: Sequence[Message]
    """In the order in which they were accepted. Not those that others sent in its words."""
    other_logs: frozenset[str] = frozenset()
    """SIDs of other texts' messages."""
    may_be_stopped: bool = True
    """Whether somebody may have said stop."""
    decided: frozenset[str] = frozenset()
    """What people or the application did to it: `sent` or `not sent` (a person said so), `cancelled`, `deleted`."""

    def begun_at(self, message: Message) -> datetime:
        """When the request for a message was begun: by our clock, but no longer before the provider's than may be."""
        begun: list[datetime] = [
            attempt["begun_at"]
            for attempt in self.attempts
            if attempt["begun_at"] <= message.at
        ]
        return max([*begun, message.at - UNDER_WAY])


@dataclass(frozen=True, slots=True)
class Book:
    """Everything, when nothing moves any more."""

    stories: Mapping[UUID, Story]
    """By retry id."""
    customers: Mapping[UUID, Row]
    sends: Mapping[UUID, Row]
    """Scheduled ones."""
    strays: Sequence[str]
    """Messages that are no text's."""

    def of(self, text: Text) -> Story:
        """What is on record of a text."""
        return self.stories[text.retry_id]

    @property
    def attempts(self) -> list[Row]:
        """Of all texts."""
        return [a for story in self.stories.values() for a in story.attempts]

    @property
    def numbers(self) -> dict[str, object]:
        """Texts by their ends and by why they ended or wait, requests by what they came to, and messages."""
        stories = self.stories.values()
        rows = [row for story in stories for row in story.rows]
        sent = (row["attempt_count"] for row in rows if row["status"] == "completed")
        return {
            "texts": len(stories),
            **Counter(row["status"] for row in rows),
            **Counter(f"  {row['why_code']}" for row in rows if row["why_code"]),
            "requests": len(self.attempts),
            **Counter(f"  {a['outcome']}, by {a['settled_by']}" for a in self.attempts),
            "most attempts of a sent text": max(sent, default=0),
            "messages": sum(len(story.messages) for story in stories),
            "texts sent again": sum(len(story.messages) > 1 for story in stories),
        }


def read_book(
    stack: Stack,
    texts: Sequence[Text],
    reports: Mapping[str, Sequence[ReportedStatus]] | None = None,
) -> Book:
    """Read both sides.

    Args:
        reports: what the provider learned of each message, by SID. None: what the ledger says at the end.
    """
    owners = {
        words: text.retry_id
        for text in texts
        for words in (text.body, text.other_words)
        if words
    }
    not_ours = set[str]().union(*(text.other_numbers for text in texts))
    messages = defaultdict[UUID | None, list[Message]](list)
    for entry in stack.twilio.ledger.entries():
        if entry.sid not in not_ours:
            messages[owners.get(entry.body)].append(message_of(entry, reports))
    with stack.connect() as connection:
        rows = _by(connection, _ROWS, "send_log_id")
        attempts = _by(
            connection,
            """select a.*, q.send_log_id from sms_send_attempts a join sms_retry_queue q on q.id = a.retry_id
               order by a.begun_at""",
            "send_log_id",
        )
        logs, customers, sends = (
            {
                row["id"]: row
                for row in connection.execute(f"select * from {table}".encode())
            }
            for table in ("send_logs", "customers", "scheduled_sends")
        )
    stories = {
        text.retry_id: Story(
            name=text.name,
            rows=rows[text.send_log_id],
            attempts=attempts[text.send_log_id],
            log=logs.get(text.send_log_id),
            messages=messages[text.retry_id],
            other_logs=frozenset(a["twilio_sid"] for a in attempts[text.send_log_id])
            - {message.sid for message in messages[text.retry_id]}
            - {None},
            may_be_stopped=text.may_be_stopped
            or text.stopped_at is not None
            or text.consent != "opted_in",
            decided=frozenset(text.decided),
        )
        for text in texts
    }
    log_ids = {text.send_log_id for text in texts}
    strays = [f"{message.sid}: nobody planned it" for message in messages[None]]
    strays += [
        f"{log}: begun, and nobody planned it" for log in attempts.keys() - log_ids
    ]
    return Book(stories, customers, sends, strays)


def message_of(
    entry: Entry, reports: Mapping[str, Sequence[ReportedStatus]] | None = None
) -> Message:
    """A message, as the ledger has it, and what became of it: there, or by these reports."""
    learned: Sequence[ReportedStatus] = (
        [
            ReportedStatus(
                entry.updated_at or entry.accepted_at, entry.status, entry.error_code
            )
        ]
        if entry.status
        else []
    )
    return Message(
        sid=entry.sid,
        at=entry.accepted_at,
        to=entry.to,
        address=(entry.account_sid, entry.sent_by),
        valid_for=entry.validity_period or timedelta(0),
        reports=tuple(learned if reports is None else reports.get(entry.sid, ())),
    )


def _by(
    connection: Connection, query: str, column: str
) -> defaultdict[UUID, list[Row]]:
    groups = defaultdict[UUID, list[Row]](list)
    for row in connection.execute(query.encode()):
        groups[row[column]].append(row)
    return groups
