"""Writes a business's rows as the application would: customer, send log, queue row with the original columns."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg

from smsretry.local.demo.people import BUSINESS_ZONE, Special


def name_customers(connection: psycopg.Connection[dict[str, Any]]) -> None:
    """Give customers a name, as an application's have, for whoever looks for one. smsretry does not read it."""
    connection.execute("alter table customers add column if not exists name text")


class Seeder:
    """One business, made if there is none of that name. `name_customers` comes first."""

    def __init__(self, connection: psycopg.Connection[dict[str, Any]], business: str) -> None:
        self._connection = connection
        found = connection.execute("select id from businesses where name = %s", [business]).fetchone()
        self.business: UUID = found["id"] if found else uuid4()
        if not found:
            connection.execute(
                "insert into businesses (id, user_id, name, timezone) values (%s, %s, %s, %s)",
                [self.business, uuid4(), business, BUSINESS_ZONE],
            )

    def text(self, customer: Special, zone: str | None = BUSINESS_ZONE, *, now: datetime) -> UUID:
        """Queue one text; returns the row's id."""
        customer_id, log_id, retry_id = uuid4(), uuid4(), uuid4()
        created = now - customer.queued_ago
        self._connection.execute(
            """insert into customers (id, business_id, name, phone, timezone, sms_consent_status, sms_consent_at)
               values (%s, %s, %s, %s, %s, %s, %s)""",
            [customer_id, self.business, customer.name, customer.phone, zone, customer.consent, created],
        )
        self._connection.execute(
            "insert into send_logs (id, business_id, customer_id, channel, subject) values (%s, %s, %s, 'sms', %s)",
            [log_id, self.business, customer_id, customer.body.format(name=customer.name.split()[0])],
        )
        self._connection.execute(
            """insert into sms_retry_queue
                   (id, business_id, send_log_id, customer_id, status, attempt_count, scheduled_for, reason)
               values (%s, %s, %s, %s, 'pending', %s, %s, 'twilio_error')""",
            [retry_id, self.business, log_id, customer_id, customer.attempts, created],
        )
        self._connection.execute("update sms_retry_queue set created_at = %s where id = %s", [created, retry_id])
        return retry_id
