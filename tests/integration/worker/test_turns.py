"""Turns: who was served longest ago goes first, whatever anybody writes into their rows.

For texts it holds however much one business owes and however many there are. Of the other kinds of work, the four times
as many that have waited longest are looked at.
"""

from collections import Counter
from itertools import chain
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.local.stack import Stack
from smsretry.testing.stack import SmsStack
from tests.conftest import Business
from tests.support.claims import claim_due
from tests.support.shop import Shop

Connection = psycopg.Connection[dict[str, Any]]

_DUE: Final = """
insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for, message_class)
select %(b)s, gen_random_uuid(), gen_random_uuid(), coalesce(%(at)s, smsretry.clock() - make_interval(mins => %(m)s)),
       %(class)s
from generate_series(1, %(n)s)
"""
_DOUBTFUL: Final = """
insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for, attempt_id, in_doubt_since)
select %(b)s, gen_random_uuid(), gen_random_uuid(), coalesce(%(at)s, smsretry.clock() - make_interval(mins => %(m)s)),
       gen_random_uuid(), smsretry.clock() - interval '1 hour'
from generate_series(1, %(n)s)
"""
_SCHEDULED: Final = """
insert into scheduled_sends (business_id, body, scheduled_for)
select %(b)s, 'Hello', coalesce(%(at)s, smsretry.clock() - make_interval(mins => %(m)s))
from generate_series(1, %(n)s)
"""
_OPEN: Final = """
with q as (
    insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for, status)
    select %(b)s, gen_random_uuid(), gen_random_uuid(), smsretry.clock(), 'completed'
    from generate_series(1, %(n)s) returning id
)
insert into sms_send_attempts (id, retry_id, business_id, attempt_number, claim_no, begun_at, finished_at, outcome,
                               settled_by, twilio_sid, delivery_look_at)
select gen_random_uuid(), q.id, %(b)s, 1, 1, smsretry.clock() - interval '1 hour', smsretry.clock() - interval '1 hour',
       'accepted', 'response', 'SM' || md5(q.id::text),
       coalesce(%(at)s, smsretry.clock() - make_interval(mins => %(m)s))
from q
"""
WORK: Final = {
    "texts": (_DUE, "select * from claim_due_sms_retries(%s)"),
    "texts in doubt": (
        _DOUBTFUL,
        "select * from jsonb_to_recordset(claim_sms_texts(%s) -> 'texts') as t (business_id uuid)",
    ),
    "scheduled sends": (_SCHEDULED, "select * from queue_scheduled_sms(%s)"),
    "deliveries": (_OPEN, "select * from claim_sms_deliveries(%s)"),
}
"""How a business comes to have some of it, and how it is claimed."""
KINDS: Final = pytest.mark.parametrize("kind", WORK)


def _add(
    connection: Connection,
    kind: str,
    business: UUID,
    texts: int,
    *,
    minutes: int = 1,
    at: str | None = None,
    **more: Any,
) -> None:
    known = {"b": business, "n": texts, "m": minutes, "at": at, "class": "marketing"}
    connection.execute(WORK[kind][0].encode(), known | more)


def _claim(connection: Connection, kind: str, limit: int) -> list[UUID]:
    """Whose they are, in no order."""
    return [row["business_id"] for row in connection.execute(WORK[kind][1].encode(), [limit]).fetchall()]


def _businesses(connection: Connection, count: int) -> list[UUID]:
    made = connection.execute(
        """insert into businesses (user_id, name)
           select gen_random_uuid(), 'Shop' from generate_series(1, %s) returning id""",
        [count],
    )
    return [row["id"] for row in made]


def test_a_newcomer_waits_for_one_round_however_many_have_older_texts(business: Business) -> None:
    """Sixty-one businesses of twenty older texts each, and claims of five."""
    connection = business.connection
    for other in _businesses(connection, 61):
        _add(connection, "texts", other, 20, minutes=30)
    _claim(connection, "texts", 5)
    _add(connection, "texts", business.id, 1, minutes=0)
    assert business.id in chain.from_iterable(_claim(connection, "texts", 5) for _ in range(14))


def test_a_time_long_ago_buys_no_turn(business: Business) -> None:
    """A tenant writes the year 2000 into a thousand rows."""
    connection = business.connection
    (flood,) = _businesses(connection, 1)
    _add(connection, "texts", flood, 1000, at="2000-01-01 00:00+00")
    _add(connection, "texts", business.id, 3, minutes=0)
    claimed = Counter(chain.from_iterable(_claim(connection, "texts", limit) for limit in (1, 1, 4)))
    assert claimed[business.id] == 3


@settings(max_examples=10)
@given(
    others=st.lists(st.integers(0, 30), min_size=1, max_size=6),
    limits=st.lists(st.integers(1, 9), min_size=4, max_size=20),
)
def test_in_any_stretch_of_claims_nobody_gets_more_than_a_round_more_than_a_business_that_is_always_due(
    sms_session: SmsStack, others: list[int], limits: list[int]
) -> None:
    """However much the others have, and whatever the sizes of the claims: one text at each of its two ends."""
    with sms_session.empty().connect() as connection:
        always, *rest = _businesses(connection, len(others) + 1)
        _add(connection, "texts", always, 200)
        for other, texts in zip(rest, others, strict=True):
            _add(connection, "texts", other, texts)
        claims = [Counter(_claim(connection, "texts", limit)) for limit in limits]
    assert [claim.total() for claim in claims] == limits
    for first in range(len(claims)):
        served = Counter[UUID]()
        for claim in claims[first:]:
            served += claim
            assert all(served[other] <= served[always] + 2 for other in rest)


@KINDS
def test_a_round_serves_each_as_often_as_any_other(business: Business, kind: str) -> None:
    """Claims of seven, of seven businesses that came one after the other: each has had three after three claims."""
    connection = business.connection
    seven = _businesses(connection, 7)
    for n, one in enumerate(seven):
        _add(connection, kind, one, 4, minutes=30 - n)
    served = Counter(chain.from_iterable(_claim(connection, kind, 7) for _ in range(3)))
    assert served == dict.fromkeys(seven, 3)


def test_claimers_at_once_wait_for_nobody_and_serve_everybody(stack: Stack, business: Business) -> None:
    """Each goes round for itself: what one has not committed holds no other up."""
    connection = business.connection
    eight = _businesses(connection, 8)
    for one in eight:
        _add(connection, "texts", one, 10)
    with stack.connect() as first, stack.connect() as second:
        for claimer in (first, second):
            claimer.autocommit = False
            claimer.execute("set local lock_timeout = '2s'")
        served = Counter(
            _claim(first, "texts", 4)
            + _claim(second, "texts", 4)
            + _claim(first, "texts", 4)
            + _claim(second, "texts", 4)
        )
        assert max(served.values()) - min(served[one] for one in eight) <= 1
        first.rollback()
        second.commit()
    assert len(_claim(connection, "texts", 72)) == 72


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


def test_a_flood_of_one_business_delays_nobody_else_s_text(
    stack: Stack, business: Business, queue: SupabaseQueue
) -> None:
    """More than a claim looks at."""
    _flood(business, 1000)
    others = _others(stack, business.connection, 30)
    claimed = [claim.business_id for claim in claim_due(queue, 50)]
    assert set(others) < set(claimed)


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
    while other not in {claim.business_id for claim in claim_due(queue, 50)}:
        claims += 1
        assert claims < 20


def test_a_business_s_transactional_texts_go_before_its_marketing(business: Business, queue: SupabaseQueue) -> None:
    """Although they came later."""
    _flood(business, 1000)
    _flood(business, 5, minutes=0, message_class="transactional")
    classes = [claim.message_class for claim in claim_due(queue, 6)]
    assert sorted(classes) == ["marketing"] + ["transactional"] * 5


def test_how_long_until_the_next_text_is_due_is_told(shop: Shop) -> None:
    """By each claim: a run waits for it."""
    with shop.clock_stopped():
        assert shop.queue.claim_texts(50).next_in is None
        _add(shop.connection, "texts", shop.id, 1, minutes=-2)
        assert shop.queue.claim_texts(50).next_in == 120
