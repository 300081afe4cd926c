"""Where the kinds of trouble happen, and what the application and the database do there."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from smsretry.local.stack import Stack
from tests.conftest import Business


@dataclass(frozen=True)
class Town:
    """A stack, and a business that texts."""

    stack: Stack
    business: Business

    def text_to(self, phone: str | None, *, attempts: int = 0, **customer: Any) -> UUID:
        """A text that is due; returns its customer."""
        business = self.business
        customer_id = business.customer(phone=phone, **customer)
        business.queue_row(business.send_log(customer_id), customer_id, due=timedelta(minutes=-1), attempts=attempts)
        return customer_id

    def run(self, query: str, *values: object) -> list[dict[str, Any]]:
        """What the application, or the database, says."""
        cursor = self.business.connection.execute(query.encode(), values)
        return cursor.fetchall() if cursor.description else []

    def with_business(self) -> "Town":
        """The same with another business."""
        return replace(self, business=Business(self.business.connection, self.business.now).open())

    def state_of(self, customer: UUID) -> str:
        """What became of their text."""
        [text] = self.run("select state from explain_sms(customer_id => %s)", customer)
        return str(text["state"])

    def is_due(self, customer: UUID) -> bool:
        """Whether the next run takes their text."""
        [text] = self.run("select next_at <= asked_at as due from explain_sms(customer_id => %s)", customer)
        return bool(text["due"])
