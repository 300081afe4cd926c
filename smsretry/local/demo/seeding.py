"""Puts the demo's texts into the database, as the application and a worker that died would have."""

from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.local.business import Business
from smsretry.local.demo.clock import move_to_morning
from smsretry.local.demo.people import (
    BUSINESS,
    BUSINESS_ZONE,
    DEAD_AFTER_BEGIN,
    DEAD_BEFORE_BEGIN,
    DELETED,
    SPECIAL,
    Special,
    people,
)
from smsretry.local.demo.senders import OWN_SENDERS, give_sender, open_accounts
from smsretry.local.stack import Stack
from smsretry.retry.decision import Send

_LEASE: Final = timedelta(minutes=11)
"""Longer than stale_minutes: what a dead worker held is recovered by the next run."""


def seed(stack: Stack) -> dict[UUID, str]:
    """Move the clock to 9:30 on a weekday morning in New York and queue everything; returns row → customer."""
    move_to_morning(stack, before=_LEASE)
    open_accounts(stack)
    with stack.connect() as connection:
        name_customers(connection)
        dental = business_named(BUSINESS, stack, connection)
        dead = {
            customer.name: queue_text(dental, customer)
            for customer in (DEAD_BEFORE_BEGIN, DEAD_AFTER_BEGIN)
        }
        _die_holding_claims(stack, begun=dead[DEAD_AFTER_BEGIN.name])
        names = {row: name for name, row in dead.items()}
        for customer, zone in people():
            names[queue_text(dental, customer, zone)] = customer.name
        for customer in (*SPECIAL, DELETED):
            row = queue_text(dental, customer)
            names[row] = customer.name
            if customer.fault and customer.phone:
                stack.twilio.fail(customer.fault, to=customer.phone)
        connection.execute(  # the row queued last is the deleted one's
            "delete from send_logs where id = (select send_log_id from sms_retry_queue where id = %s)",
            [row],
        )
        connection.execute(
            # One is of no more use. It is due since a moment ago, so that the page's first minute shows no old queue.
            """update sms_retry_queue
               set expires_at = created_at + interval '48 hours',
                   scheduled_for = smsretry.clock() - interval '10 minutes'
               where created_at < smsretry.clock() - interval '48 hours'"""
        )
        for sender in OWN_SENDERS:
            theirs = business_named(sender.business, stack, connection)
            give_sender(theirs, sender)
            names |= {
                queue_text(theirs, customer): customer.name
                for customer in sender.customers
            }
    return names


def _die_holding_claims(stack: Stack, *, begun: UUID) -> None:
    """A worker claims two rows, begins one, and is never heard of again."""
    with SupabaseQueue(stack.settings()) as queue:
        claims = {claim.id: claim for claim in queue.claim_texts(2).texts}
        closes = stack.now() + timedelta(hours=1)
        decision = Send(
            closes, closes, rule="08:00–21:00 in America/New_York, area code 212"
        )
        queue.begin(claims[begun], uuid4(), decision)
    stack.move_clock(_LEASE)


def name_customers(connection: psycopg.Connection[dict[str, Any]]) -> None:
    """Give customers a name, as an application's have, for whoever looks for one. smsretry does not read it."""
    connection.execute("alter table customers add column if not exists name text")


def business_named(
    name: str, stack: Stack, connection: psycopg.Connection[dict[str, Any]]
) -> Business:
    """The business of that name, made if there is none."""
    row = connection.execute(
        "select id, user_id from businesses where name = %s", [name]
    ).fetchone()
    business = Business(connection, stack.now, **(row or {}))
    return business if row else business.open(BUSINESS_ZONE, name=name)


def queue_text(
    business: Business, customer: Special, zone: str | None = BUSINESS_ZONE
) -> UUID:
    """Queue one text, after `name_customers`; returns the row's id."""
    created = business.now() - customer.queued_ago
    customer_id = business.customer(
        phone=customer.phone,
        timezone=zone,
        consent=customer.consent,
        name=customer.name,
        sms_consent_at=created,
    )
    log_id = business.send_log(
        customer_id, body=customer.body.format(name=customer.name.split()[0])
    )
    row = business.queue_row(
        log_id, customer_id, due=-customer.queued_ago, attempts=customer.attempts
    )
    business.connection.execute(
        "update sms_retry_queue set reason = 'twilio_error', created_at = %s where id = %s",
        [created, row],
    )
    return row
