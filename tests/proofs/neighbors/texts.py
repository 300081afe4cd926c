"""The texts of a run: whose they are, and how each of them may end."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid5

import psycopg

from tests.support.platform import Address

_NAMESPACE: Final = UUID("3c0f7f0a-6d0b-4c55-8a53-5d1f6c0e9b27")
WELL_BEHAVED: Final = "well-behaved"
NEW_YORK: Final = "America/New_York"

Connection = psycopg.Connection[dict[str, Any]]


@dataclass(slots=True, kw_only=True)
class Text:
    """One text, as its owner meant it."""

    owner: str
    """The neighbor's name."""
    business_id: UUID
    customer_id: UUID
    send_log_id: UUID
    retry_id: UUID
    phone: str | None
    body: str | None
    due_at: datetime
    may_end: tuple[str, ...] = ("completed",)
    """Patterns of `status: reason`: each is a true end for this text, or a true reason to wait."""
    zone: str | None = NEW_YORK
    from_application: int = 0
    """Messages of the same words that the application sent by itself, as texts of its own."""
    other_words: str | None = None
    """What its body was changed to before its send: it may go out with either."""
    sent_from: Address | None = None
    """What it must go out from, if its business says so: an account, and a sender of it."""
    refused_by_carriers: int = 0
    """Messages that Twilio took and no carrier did, as it then said: each may be followed by another."""
    unwanted: bool = False
    """It must never go out."""
    queued: dict[str, Any] = field(default_factory=dict)
    """Columns of its row in the queue, beyond what every row has."""

    @property
    def good(self) -> bool:
        """Whether it belongs to a well-behaved business."""
        return self.owner == WELL_BEHAVED

    @property
    def name(self) -> str:
        """What to call it in a finding: no phone number."""
        return f"{self.owner} {self.retry_id}"


def new_id(*parts: object) -> UUID:
    """An id that the parts alone decide."""
    return uuid5(_NAMESPACE, "/".join(map(str, parts)))


def open_business(connection: Connection, business_id: UUID, *, zone: str | None = NEW_YORK) -> None:
    """Write a business; its owner has its id."""
    connection.execute(
        "insert into businesses (id, user_id, name, timezone) values (%s, %s, 'Business', %s)",
        [business_id, business_id, zone],
    )


def write(connection: Connection, texts: Iterable[Text]) -> None:
    """Write customers, send logs and rows, as the application does."""
    with connection.transaction():
        for text in texts:
            write_people(connection, text)
            enqueue(connection, text)


def write_people(connection: Connection, text: Text) -> None:
    """Write its customer and its send log, and no row in the queue yet."""
    connection.execute(
        """insert into customers (id, business_id, phone, timezone, sms_consent_status)
           values (%s, %s, %s, %s, 'opted_in') on conflict do nothing""",
        [text.customer_id, text.business_id, text.phone, text.zone],
    )
    connection.execute(
        """insert into send_logs (id, business_id, customer_id, channel, subject)
           values (%s, %s, %s, 'sms', %s) on conflict do nothing""",
        [text.send_log_id, text.business_id, text.customer_id, text.body],
    )


def enqueue(connection: Connection, text: Text) -> None:
    """Write the row in the queue alone."""
    row = {
        "id": text.retry_id,
        "business_id": text.business_id,
        "send_log_id": text.send_log_id,
        "customer_id": text.customer_id,
        "scheduled_for": text.due_at,
        **text.queued,
    }
    names, places = ", ".join(row), ", ".join(["%s"] * len(row))
    connection.execute(f"insert into sms_retry_queue ({names}) values ({places})".encode(), [*row.values()])
