"""Puts the demo's texts into the database, as the application and a worker that died would have."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import psycopg

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.local.demo.people import (
    BUSINESS_ZONE,
    DEAD_AFTER_BEGIN,
    DEAD_BEFORE_BEGIN,
    DELETED,
    SPECIAL,
    Special,
    people,
)
from smsretry.local.stack import Stack
from smsretry.retry.decision import Send

_LEASE: Final = timedelta(minutes=11)
"""Longer than stale_minutes: what a dead worker held is recovered by the next run."""


def seed(stack: Stack) -> dict[UUID, str]:
    """Move the clock to 9:30 on a weekday morning in New York and queue everything; returns row → customer."""
    _move_to_morning(stack)
    with stack.connect() as connection:
        names: dict[UUID, str] = {}
        early = Seeder(connection, stack.now())
        for name in (DEAD_BEFORE_BEGIN, DEAD_AFTER_BEGIN):
            names[early.text(Special(name, f"+1212555018{len(names)}"))] = name
        _die_holding_claims(stack, {name: row for row, name in names.items()})
        seeder = Seeder(connection, stack.now())
        for customer, zone in people():
            names[seeder.text(customer, zone)] = customer.name
        for customer in SPECIAL:
            names[seeder.text(customer)] = customer.name
            if customer.fault and customer.phone:
                stack.twilio.fail(customer.fault, to=customer.phone)
        deleted = seeder.text(Special(DELETED, "+12125550175"))
        names[deleted] = DELETED
        connection.execute(
            "delete from send_logs where id = (select send_log_id from sms_retry_queue where id = %s)", [deleted]
        )
        connection.execute(
            """update sms_retry_queue set expires_at = created_at + interval '48 hours'
               where created_at < smsretry.clock() - interval '48 hours'"""
        )
    return names


def _move_to_morning(stack: Stack) -> None:
    local = stack.now().astimezone(ZoneInfo(BUSINESS_ZONE))
    morning = local.replace(hour=9, minute=30, second=0, microsecond=0) - _LEASE
    while morning < local or morning.weekday() > 4:
        morning += timedelta(days=1)
    stack.set_clock(morning)


def _die_holding_claims(stack: Stack, rows: Mapping[str, UUID]) -> None:
    """A worker claims two rows, begins one, and is never heard of again."""
    with SupabaseQueue(stack.settings()) as queue:
        held = {claim.id: claim for claim in queue.claim_due(limit=2)}
        closes = stack.now() + timedelta(hours=1)
        decision = Send(closes, closes, rule="08:00–21:00 in America/New_York, the customer's zone")
        queue.begin(held[rows[DEAD_AFTER_BEGIN]], uuid4(), decision, sent_by="", first_send=False)
    stack.move_clock(_LEASE)


class Seeder:
    """Writes the business's rows as the application would: customer, send log, queue row with the original columns."""

    def __init__(self, connection: psycopg.Connection[dict[str, Any]], now: datetime) -> None:
        self._connection = connection
        self._now = now
        self._business = uuid4()
        connection.execute(
            "insert into businesses (id, user_id, name, timezone) values (%s, %s, 'Maple Street Dental', %s)",
            [self._business, uuid4(), BUSINESS_ZONE],
        )

    def text(self, customer: Special, zone: str | None = BUSINESS_ZONE) -> UUID:
        """Queue one text; returns the row's id."""
        customer_id, log_id, retry_id = uuid4(), uuid4(), uuid4()
        created = self._now - customer.queued_ago
        self._connection.execute(
            """insert into customers (id, business_id, phone, timezone, sms_consent_status, sms_consent_at)
               values (%s, %s, %s, %s, %s, %s)""",
            [customer_id, self._business, customer.phone, zone, customer.consent, created],
        )
        self._connection.execute(
            "insert into send_logs (id, business_id, customer_id, channel, subject) values (%s, %s, %s, 'sms', %s)",
            [log_id, self._business, customer_id, customer.body.format(name=customer.name)],
        )
        self._connection.execute(
            """insert into sms_retry_queue
                   (id, business_id, send_log_id, customer_id, status, attempt_count, scheduled_for, reason, created_at)
               values (%s, %s, %s, %s, 'pending', %s, %s, 'twilio_error', %s)""",
            [retry_id, self._business, log_id, customer_id, customer.attempts, created, created],
        )
        return retry_id
