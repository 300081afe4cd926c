"""A claim is fair between businesses however much one of them owes, and cheap however many there are."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.stack import Stack
from smsretry.sending.pipeline import process_sms_retry_item
from tests.conftest import Business


def _flood(business: Business, texts: int, *, minutes: int = 5, message_class: str = "marketing") -> None:
    """Texts of one business, due so long ago."""
    business.connection.execute(
        """with l as (insert into send_logs (business_id, customer_id, channel, subject)
                      select %(b)s, %(c)s, 'sms', 'Hello' from generate_series(1, %(n)s) returning id)
           insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for, message_class)
           select %(b)s, l.id, %(c)s, %(at)s - make_interval(mins => %(m)s), %(k)s from l""",
        {
            "b": business.id,
            "c": business.customer(),
            "n": texts,
            "at": business.now(),
            "m": minutes,
            "k": message_class,
        },
    )


def _others(stack: Stack, connection: psycopg.Connection[dict[str, Any]], businesses: int) -> list[UUID]:
    """So many businesses with one text each, due now; returns their ids."""
    made = []
    for _ in range(businesses):
        business = Business(connection, stack.now, id=uuid4()).open()
        business.due_text()
        made.append(business.id)
    return made


@pytest.mark.parametrize("flood", [100, 1000])
def test_a_flood_of_one_business_delays_nobody_else_s_text(
    stack: Stack, business: Business, queue: SupabaseQueue, flood: int
) -> None:
    """Fewer than a claim looks at, and more than it does."""
    _flood(business, flood)
    others = _others(stack, business.connection, 30)
    claimed = [claim.business_id for claim in queue.claim_due(50)]
    assert set(others) < set(claimed)
    assert len(claimed) == 50


def test_where_businesses_are_too_many_to_walk_each_has_its_turn(
    stack: Stack, business: Business, queue: SupabaseQueue
) -> None:
    """They wait for a later hour but for one; claims start their walk elsewhere each time."""
    business.connection.execute(
        """with b as (insert into businesses (user_id, name) select gen_random_uuid(), 'x' from generate_series(1, 1500)
                      returning id)
           insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for)
           select b.id, gen_random_uuid(), gen_random_uuid(), smsretry.clock() + interval '1 hour' from b"""
    )
    (other,) = _others(stack, business.connection, 1)
    _flood(business, 3000)
    claims = 1
    while other not in {claim.business_id for claim in queue.claim_due(50)}:
        claims += 1
        assert claims < 20


def test_a_business_s_transactional_texts_go_before_its_marketing(business: Business, queue: SupabaseQueue) -> None:
    """Although they came later."""
    _flood(business, 1000)
    _flood(business, 5, minutes=0, message_class="transactional")
    classes = [claim.message_class for claim in queue.claim_due(6)]
    assert sorted(classes) == ["marketing"] + ["transactional"] * 5


@pytest.mark.parametrize("flood", [100, 1000])
def test_what_closes_within_the_hour_goes_before_the_rest_of_its_business(
    business: Business, queue: SupabaseQueue, flood: int
) -> None:
    """What closes first goes first, although it came last; what closes later waits in line."""
    _flood(business, flood)
    for minutes, texts in ((50, 3), (20, 2), (180, 4)):
        _flood(business, texts, minutes=0)
        business.connection.execute(
            """update sms_retry_queue set window_closes_at = smsretry.clock() + make_interval(mins => %s)
               where scheduled_for > smsretry.clock() - interval '1 minute' and window_closes_at is null""",
            [minutes],
        )
    closing = business.connection.execute(
        """select id from sms_retry_queue where window_closes_at < smsretry.clock() + interval '1 hour'
           order by window_closes_at"""
    ).fetchall()
    first = {claim.id for claim in queue.claim_due(2)}
    assert first == {row["id"] for row in closing[:2]}
    assert {claim.id for claim in queue.claim_due(4)} > {row["id"] for row in closing[2:]}


def test_a_deferred_text_knows_when_its_window_closes(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """In New York it opens at 8 and closes at 21."""
    stack.set_clock(datetime(2027, 1, 12, 10, tzinfo=UTC))
    row = business.due_text()
    (claim,) = queue.claim_due(50)
    assert process_sms_retry_item(claim, queue=queue, sender=sender).fate == "Deferred"
    assert business.row(row)["window_closes_at"] == datetime(2027, 1, 13, 2, tzinfo=UTC)


def test_how_long_until_the_next_text_is_due_is_told(stack: Stack, business: Business) -> None:
    """Nothing while none waits, and zero once one is due."""

    def ask() -> object:
        found = business.connection.execute("select next_sms_due() as within").fetchone()
        assert found is not None
        return None if found["within"] is None else round(found["within"])

    assert ask() is None
    customer = business.customer()
    business.connection.execute(
        """insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for)
           values (%s, %s, %s, smsretry.clock() + interval '40 seconds')""",
        [business.id, business.send_log(customer), customer],
    )
    assert ask() == 40
    business.due_text()
    assert ask() == 0
