"""Turns: who was served longest ago goes first, whatever anybody writes into their rows.

For texts it holds however much one business owes and however many there are. Of the other kinds of work, the four times
as many that have waited longest are looked at.
"""

from collections import Counter
from itertools import chain
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smsretry.testing.stack import SmsStack
from tests.integration.worker.senders import add_texts, give_sender, shops
from tests.support.records import Connection
from tests.support.shop import Shop

_WAITED = "coalesce(%(at)s, smsretry.clock() - make_interval(mins => %(m)s))"
_TEXTS = f"""
insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for, attempt_id, in_doubt_since)
select %(b)s, gen_random_uuid(), gen_random_uuid(), {_WAITED},
       case when %(doubt)s then gen_random_uuid() end, case when %(doubt)s then smsretry.clock() - interval '1 hour' end
from generate_series(1, %(n)s)
"""
_SCHEDULED = f"""
insert into scheduled_sends (business_id, body, scheduled_for)
select %(b)s, 'Hello', {_WAITED} from generate_series(1, %(n)s)
"""
_OPEN = f"""
with q as (
    insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for, status)
    select %(b)s, gen_random_uuid(), gen_random_uuid(), smsretry.clock(), 'completed'
    from generate_series(1, %(n)s) returning id
)
insert into sms_send_attempts (id, retry_id, business_id, attempt_number, claim_no, begun_at, finished_at, outcome,
                               settled_by, twilio_sid, delivery_ask_at)
select gen_random_uuid(), q.id, %(b)s, 1, 1, smsretry.clock() - interval '1 hour', smsretry.clock() - interval '1 hour',
       'accepted', 'response', 'SM' || md5(q.id::text), {_WAITED}
from q
"""
WORK = {
    "texts": (_TEXTS, "select * from claim_due_sms_retries(%s)"),
    "texts in doubt": (
        _TEXTS,
        "select * from jsonb_to_recordset(claim_sms_texts(%s) -> 'texts') as t (business_id uuid)",
    ),
    "scheduled sends": (_SCHEDULED, "select * from queue_scheduled_sms(%s)"),
    "deliveries": (_OPEN, "select * from claim_sms_deliveries(%s)"),
}
"""How a business comes to have some of it, and how it is claimed."""


def add(
    connection: Connection,
    business: UUID,
    texts: int,
    *,
    kind: str = "texts",
    minutes: int = 1,
    at: str | None = None,
) -> None:
    """The business has so much work of this kind, which has waited for so long."""
    known = {
        "b": business,
        "n": texts,
        "m": minutes,
        "at": at,
        "doubt": kind == "texts in doubt",
    }
    connection.execute(WORK[kind][0].encode(), known)


def claimed(connection: Connection, limit: int, kind: str = "texts") -> list[UUID]:
    """Whose work a claim takes, in no order."""
    return [
        row["business_id"]
        for row in connection.execute(WORK[kind][1].encode(), [limit]).fetchall()
    ]


def test_a_newcomer_waits_for_one_round_however_many_have_older_texts(
    shop: Shop,
) -> None:
    """Sixty-one businesses of twenty older texts each, and claims of five."""
    for other in shops(shop.connection, 61):
        add(shop.connection, other, 20, minutes=30)
    claimed(shop.connection, 5)
    add(shop.connection, shop.id, 1, minutes=0)
    assert shop.id in chain.from_iterable(
        claimed(shop.connection, 5) for _ in range(14)
    )


def test_a_time_long_ago_buys_no_turn_and_a_flood_delays_nobody(shop: Shop) -> None:
    """A tenant writes the year 2000 into a thousand rows, more than a claim looks at."""
    [flood, *others] = shops(shop.connection, 31)
    add(shop.connection, flood, 1000, at="2000-01-01 00:00+00")
    add(shop.connection, shop.id, 3, minutes=0)
    served = Counter(
        chain.from_iterable(claimed(shop.connection, limit) for limit in (1, 1, 4))
    )
    assert served[shop.id] == 3
    for other in others:
        add(shop.connection, other, 1, minutes=0)
    assert set(others) < set(claimed(shop.connection, 50))


@settings(max_examples=6)
@given(
    others=st.lists(st.integers(0, 30), min_size=1, max_size=6),
    limits=st.lists(st.integers(1, 9), min_size=4, max_size=20),
)
def test_in_any_stretch_of_claims_nobody_gets_more_than_a_round_more_than_a_business_that_is_always_due(
    sms_session: SmsStack, others: list[int], limits: list[int]
) -> None:
    """However much the others have, and whatever the sizes of the claims: one text at each of its two ends."""
    with sms_session.empty().connect() as connection:
        always, *rest = shops(connection, len(others) + 1)
        add(connection, always, 200)
        for other, texts in zip(rest, others, strict=True):
            add(connection, other, texts)
        claims = [Counter(claimed(connection, limit)) for limit in limits]
    assert [claim.total() for claim in claims] == limits
    for first in range(len(claims)):
        served = Counter[UUID]()
        for claim in claims[first:]:
            served += claim
            assert all(served[other] <= served[always] + 2 for other in rest)


@pytest.mark.parametrize("kind", WORK)
def test_a_round_serves_each_as_often_as_any_other(shop: Shop, kind: str) -> None:
    """Claims of seven, of nine businesses that came one after the other: after three each has had two or three."""
    nine = shops(shop.connection, 9)
    for n, one in enumerate(nine):
        add(shop.connection, one, 3, kind=kind, minutes=30 - n)
    served = Counter(
        chain.from_iterable(claimed(shop.connection, 7, kind) for _ in range(3))
    )
    assert {served[one] for one in nine} == {2, 3}


def test_claimers_at_once_wait_for_nobody_and_serve_everybody(shop: Shop) -> None:
    """Each goes round for itself: what one has not committed holds no other up."""
    eight = shops(shop.connection, 8)
    for one in eight:
        add(shop.connection, one, 10)
    with shop.stack.connect() as first_connection, shop.stack.connect() as second:
        for claimer in (first_connection, second):
            claimer.autocommit = False
            claimer.execute("set local lock_timeout = '2s'")
        served = Counter(
            chain.from_iterable(
                claimed(claimer, 4)
                for claimer in (first_connection, second, first_connection, second)
            )
        )
        assert max(served.values()) - min(served[one] for one in eight) <= 1
        first_connection.rollback()
        second.commit()
    assert len(claimed(shop.connection, 72)) == 72


def test_each_business_has_its_turn_where_there_are_too_many_to_look_at(
    shop: Shop,
) -> None:
    """They wait for a later hour but for one; claims start their walk elsewhere each time."""
    for later in shops(shop.connection, 1500):
        add(shop.connection, later, 1, minutes=-60)
    [other] = shops(shop.connection, 1)
    add(shop.connection, other, 1)
    add(shop.connection, shop.id, 3000, minutes=5)
    claims = 1
    while other not in claimed(shop.connection, 50):
        claims += 1
        assert claims < 20


def test_who_shares_a_slow_sender_takes_turns_whoever_else_is_served(
    shop: Shop,
) -> None:
    """It has room for one text a claim. Businesses without a limit are between them, and each is served as often."""
    many = shops(shop.connection, 45)
    sharing, free = many[::3], [one for n, one in enumerate(many) if n % 3]
    give_sender(shop.connection, 1, sharing, rate=2)
    for one in many:
        add_texts(shop.connection, one, 20)
    served = Counter(
        claim.business_id for _ in sharing for claim in shop.queue.claim_texts(11).texts
    )
    assert {served[one] for one in sharing} == {1}
    assert max(served[one] for one in free) - min(served[one] for one in free) <= 1


def test_a_business_s_transactional_texts_go_before_its_marketing(shop: Shop) -> None:
    """Although they came later."""
    add(shop.connection, shop.id, 1000, minutes=5)
    add_texts(shop.connection, shop.id, 5, message_class="transactional")
    classes = [
        row["message_class"]
        for row in shop.sql("select message_class from claim_due_sms_retries(6)")
    ]
    assert sorted(classes) == ["marketing"] + ["transactional"] * 5


def test_a_claim_says_how_long_until_the_next_text_is_due(shop: Shop) -> None:
    """By each claim: a run waits for it."""
    with shop.clock_stopped():
        assert shop.queue.claim_texts(50).next_in is None
        add(shop.connection, shop.id, 1, minutes=-2)
        assert shop.queue.claim_texts(50).next_in == 120
