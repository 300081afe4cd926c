"""Businesses with senders of their own, their texts, and the claims of a worker."""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.retry.answers import BeginAnswer
from smsretry.retry.models import Claim
from tests.support.builders import send
from tests.support.claims import claim_due
from tests.support.records import Connection


def service(number: int) -> str:
    """The SID of a messaging service."""
    return f"MG{number:032x}"


def account(number: int) -> str:
    """The SID of a subaccount."""
    return f"AC{number:032x}"


def shops(connection: Connection, count: int) -> list[UUID]:
    """So many businesses, in order of their ids."""
    rows = connection.execute(
        """insert into businesses (user_id, name, timezone)
           select gen_random_uuid(), 'Shop', 'America/New_York' from generate_series(1, %s) returning id""",
        [count],
    )
    return sorted(row["id"] for row in rows)


def give_sender(
    connection: Connection,
    number: int,
    businesses: Collection[UUID],
    *,
    rate: float | None = None,
    cap: int | None = None,
    message_class: str = "any",
    sent_by: str | None = None,
) -> str:
    """These businesses send from a sender of their own; returns its messaging service."""
    made = connection.execute(
        """insert into smsretry.senders (account, sent_by, segments_per_second, segments_per_day)
           values (%s, %s, %s, %s) returning id""",
        [account(number), sent_by or service(number), rate, cap],
    ).fetchone()
    assert made is not None
    for business in businesses:
        connection.execute(
            "insert into smsretry.business_senders (business_id, message_class, sender_id) values (%s, %s, %s)",
            [business, message_class, made["id"]],
        )
    return sent_by or service(number)


def add_texts(
    connection: Connection,
    business: UUID,
    count: int,
    *,
    message_class: str = "marketing",
    first: int = 1,
) -> None:
    """So many texts are due, each to a customer of its own, whose numbers count from the first."""
    connection.execute(
        """with c as (insert into customers (business_id, phone, timezone, sms_consent_status)
                      select %(b)s, '+1212' || (5550000 + n), 'America/New_York', 'opted_in'
                      from generate_series(%(f)s, %(f)s + %(n)s - 1) n returning id),
                l as (insert into send_logs (business_id, customer_id, channel, subject)
                      select %(b)s, c.id, 'sms', 'Hello' from c returning id, customer_id)
           insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for, message_class)
           select %(b)s, l.id, l.customer_id, smsretry.clock() - interval '1 minute', %(k)s from l""",
        {"b": business, "n": count, "k": message_class, "f": first},
    )


def claim(queue: SupabaseQueue, limit: int = 50, **options: Any) -> list[Claim]:
    """A worker's claim."""
    return claim_due(queue, limit, **options)


def begin_soon(
    queue: SupabaseQueue, claim: Claim, *, answer_seconds: float = 0.0
) -> BeginAnswer:
    """As a worker begins."""
    return queue.begin(
        claim,
        uuid4(),
        send(claim.claimed_at + timedelta(hours=1)),
        answer_seconds=answer_seconds,
    )


def by_business(claims: Sequence[Claim]) -> Counter[UUID]:
    """How many of each."""
    return Counter(claim.business_id for claim in claims)
