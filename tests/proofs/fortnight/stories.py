"""All that is on record of each text when the fortnight is over: in the database and at Twilio."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from smsretry.local.stack import Stack
from smsretry.local.twilio.ledger import Entry
from tests.proofs.fortnight.people import Text, Town
from tests.proofs.fortnight.simulation import Record

STOPPED: Final = 21610
"""Twilio's code for: this person has answered STOP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One text, its row, what was tried, and what Twilio accepted."""

    text: Text
    row: dict[str, Any]
    attempts: Sequence[dict[str, Any]]
    entries: Sequence[Entry]
    opted_out_at: datetime | None
    given_back: int

    @property
    def name(self) -> str:
        """What to call it in a finding: no phone number."""
        return f"{self.text.body} ({self.text.retry_id}, due {self.text.due_at:%a %d %b %H:%M:%S})"

    def begun_at(self, entry: Entry) -> datetime:
        """When the request for a message was begun."""
        begun = [attempt["begun_at"] for attempt in self.attempts if attempt["begun_at"] <= entry.accepted_at]
        return max(begun, default=entry.accepted_at)


def collect(stack: Stack, town: Town, record: Record) -> list[Story]:
    """One story a text, in the order of the texts."""
    with stack.connect() as connection:
        rows = {row["id"]: row for row in connection.execute("select * from sms_retry_queue")}
        attempts = connection.execute("select * from sms_send_attempts order by begun_at").fetchall()
    of_row: defaultdict[UUID, list[dict[str, Any]]] = defaultdict(list)
    for attempt in attempts:
        of_row[attempt["retry_id"]].append(attempt)
    entries: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in stack.twilio.ledger.entries():
        entries[entry.body].append(entry)
    opted_out = record.opted_out | _stopped(town, attempts, record.opted_out)
    found = [
        Story(
            text=text,
            row=rows[text.retry_id],
            attempts=of_row[text.retry_id],
            entries=entries.pop(text.body, ()),
            opted_out_at=opted_out.get(text.customer.id),
            given_back=record.given_back[text.retry_id],
        )
        for text in town.texts
    ]
    assert not entries, "Twilio accepted a text that nobody planned"
    return found


def _stopped(town: Town, attempts: Iterable[dict[str, Any]], known: dict[UUID, datetime]) -> dict[UUID, datetime]:
    """Since when Twilio's answer to a send has told the queue that somebody wants no more texts."""
    texts = {text.retry_id: text for text in town.texts}
    since: dict[UUID, datetime] = {}
    for attempt in attempts:
        if attempt["error_code"] == STOPPED:
            one = texts[attempt["retry_id"]].customer
            for customer in town.customers:
                if (customer.phone, customer.business.id) == (one.phone, one.business.id):
                    told = min(attempt["finished_at"], known.get(customer.id, attempt["finished_at"]))
                    since[customer.id] = min(told, since.get(customer.id, told))
    return since
