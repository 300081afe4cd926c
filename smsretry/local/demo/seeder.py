"""Writes the demo's rows as the application would, from a business's customers."""

from typing import Any
from uuid import UUID

import psycopg

from smsretry.local.business import Business
from smsretry.local.demo.people import BUSINESS_ZONE, Special
from smsretry.local.stack import Stack


def name_customers(connection: psycopg.Connection[dict[str, Any]]) -> None:
    """Give customers a name, as an application's have, for whoever looks for one. smsretry does not read it."""
    connection.execute("alter table customers add column if not exists name text")


def business_named(name: str, stack: Stack, connection: psycopg.Connection[dict[str, Any]]) -> Business:
    """The business of that name, made if there is none."""
    found = connection.execute("select id, user_id from businesses where name = %s", [name]).fetchone()
    business = Business(connection, stack.now, **(found or {}))
    return business if found else business.open(BUSINESS_ZONE, name=name)


def queue_text(business: Business, customer: Special, zone: str | None = BUSINESS_ZONE) -> UUID:
    """Queue one text, after `name_customers`; returns the row's id."""
    created = business.now() - customer.queued_ago
    customer_id = business.customer(
        phone=customer.phone, timezone=zone, consent=customer.consent, name=customer.name, sms_consent_at=created
    )
    log_id = business.send_log(customer_id, body=customer.body.format(name=customer.name.split()[0]))
    row = business.queue_row(log_id, customer_id, due=-customer.queued_ago, attempts=customer.attempts)
    business.connection.execute(
        "update sms_retry_queue set reason = 'twilio_error', created_at = %s where id = %s", [created, row]
    )
    return row
