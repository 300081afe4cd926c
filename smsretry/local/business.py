"""A business whose rows are written as an application writes them, and read back: in tests, in the demo, in proofs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias
from uuid import UUID, uuid4

import psycopg
from psycopg import sql

PHONE: Final = "+12125550123"
"""A number in New York; like all here it is reserved for fiction."""
BODY: Final = "Hi Ann, thanks for visiting Maple Street Dental."
ZONE: Final = "America/New_York"

OwnColumns: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Values of columns that only the application's schema has and that need one, by table; a callable makes one."""


@dataclass
class Business:
    """Writes rows as the application does, and reads what became of them."""

    connection: psycopg.Connection[dict[str, Any]] = field(repr=False)
    now: Callable[[], datetime] = field(repr=False)
    user_id: UUID = field(default_factory=uuid4)
    """Its tenant's user, whose token sees its rows."""
    id: UUID = field(default_factory=uuid4)
    own_columns: OwnColumns = field(default_factory=dict, repr=False)

    def open(
        self, timezone: str | None = ZONE, *, name: str = "Maple Street Dental"
    ) -> "Business":
        """Insert the business."""
        self._insert(
            "businesses", id=self.id, user_id=self.user_id, name=name, timezone=timezone
        )
        return self

    def customer(
        self,
        *,
        phone: str | None = PHONE,
        timezone: str | None = ZONE,
        consent: str = "opted_in",
        **columns: Any,
    ) -> UUID:
        """Insert a customer, with values of more columns; returns the id."""
        defaults = {"phone": phone, "timezone": timezone, "sms_consent_status": consent}
        return self._insert("customers", business_id=self.id, **defaults, **columns)

    def send_log(self, customer_id: UUID, *, body: str | None = BODY) -> UUID:
        """Insert a text that was not sent yet; returns the send log's id."""
        return self._insert(
            "send_logs",
            business_id=self.id,
            customer_id=customer_id,
            channel="sms",
            subject=body,
        )

    def due_text(
        self,
        *,
        body: str | None = BODY,
        due: timedelta = timedelta(minutes=-1),
        attempts: int = 0,
        **customer: Any,
    ) -> UUID:
        """Insert a customer, a text and its queue row with the original columns only; returns the row's id."""
        customer_id = self.customer(**customer)
        return self.queue_row(
            self.send_log(customer_id, body=body),
            customer_id,
            due=due,
            attempts=attempts,
        )

    def queue_row(
        self,
        log_id: UUID,
        customer_id: UUID,
        *,
        due: timedelta = timedelta(minutes=-1),
        attempts: int = 0,
    ) -> UUID:
        """Insert a queue row as the application does; returns its id."""
        values = {
            "send_log_id": log_id,
            "customer_id": customer_id,
            "attempt_count": attempts,
        }
        return self._insert(
            "sms_retry_queue",
            business_id=self.id,
            scheduled_for=self.now() + due,
            **values,
        )

    def scheduled(
        self,
        *,
        due: timedelta = timedelta(minutes=1),
        body: str | None = BODY,
        **customer: Any,
    ) -> UUID:
        """Insert a customer and a scheduled send to it, as the application does; returns its id."""
        values = {
            "customer_id": self.customer(**customer),
            "body": body,
            "scheduled_for": self.now() + due,
        }
        return self._insert("scheduled_sends", business_id=self.id, **values)

    def scheduled_send(self, scheduled_id: UUID) -> dict[str, Any]:
        """The scheduled send."""
        return self._fetch_row(
            "select * from scheduled_sends where id = %s", scheduled_id
        )

    def text_of(self, scheduled_id: UUID) -> dict[str, Any]:
        """The queue row of a scheduled send."""
        return self._fetch_row(
            "select * from sms_retry_queue where send_log_id = %s", scheduled_id
        )

    def row(self, row_id: UUID) -> dict[str, Any]:
        """The queue row."""
        return self._fetch_row("select * from sms_retry_queue where id = %s", row_id)

    def log_of(self, row_id: UUID) -> dict[str, Any]:
        """The send log of a queue row."""
        return self._fetch_row(
            "select l.* from send_logs l join sms_retry_queue q on q.send_log_id = l.id where q.id = %s",
            row_id,
        )

    def attempts_of(self, row_id: UUID) -> list[dict[str, Any]]:
        """The attempts of a queue row, in order."""
        return self.connection.execute(
            "select * from sms_send_attempts where retry_id = %s order by begun_at",
            [row_id],
        ).fetchall()

    def _insert(self, table: str, **values: Any) -> UUID:
        own_values = self.own_columns.get(table, {})
        row: dict[str, Any] = {
            "id": uuid4(),
            **{
                column: value() if callable(value) else value
                for column, value in own_values.items()
            },
            **values,
        }
        statement = sql.SQL("insert into {} ({}) values ({})").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, row)),
            sql.SQL(", ").join([sql.Placeholder()] * len(row)),
        )
        self.connection.execute(statement, list(row.values()))
        inserted: UUID = row["id"]
        return inserted

    def _fetch_row(self, query: str, row_id: UUID) -> dict[str, Any]:
        row = self.connection.execute(query.encode(), [row_id]).fetchone()
        if row is None:
            raise LookupError(f"There is no row {row_id} any more: {query}")
        return row
