"""A claim takes of each sender what it can send soon, so that no sender's texts wait for another's."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.local.stack import Stack
from smsretry.retry.models import SenderId
from tests.conftest import Business
from tests.integration.worker.senders import (
    DEFAULT,
    add_texts,
    by_business,
    claim,
    give_sender,
    shops,
)
from tests.support.builders import ACCOUNT, SENDER


def test_of_each_sender_a_claim_takes_a_second_s_worth(business: Business, queue: SupabaseQueue) -> None:
    """At least one text; of a sender without a rate as many as there is room for."""
    connection = business.connection
    slow, fast, any_rate = shops(connection, 3)
    give_sender(connection, 1, [slow], rate=0.2)
    give_sender(connection, 2, [fast], rate=10)
    give_sender(connection, 3, [any_rate])
    for shop in (slow, fast, any_rate):
        add_texts(connection, shop, 100)
    assert by_business(claim(queue)) == {slow: 1, fast: 10, any_rate: 39}


def test_a_flood_at_a_slow_sender_takes_no_text_of_a_fast_one_s_claim(business: Business, queue: SupabaseQueue) -> None:
    """Although the flood is older, and larger than a claim looks at."""
    connection = business.connection
    slow, fast = shops(connection, 2)
    give_sender(connection, 1, [slow], rate=1)
    give_sender(connection, 2, [fast], rate=100)
    add_texts(connection, slow, 1000)
    add_texts(connection, fast, 100)
    assert by_business(claim(queue)) == {slow: 1, fast: 49}


@pytest.mark.parametrize("others", [0, 300])
def test_a_sender_whose_time_is_given_away_is_passed_over(
    business: Business, queue: SupabaseQueue, others: int
) -> None:
    """Whether few texts are due or many; it is claimed from again shortly before it is free."""
    connection = business.connection
    busy, free = shops(connection, 2)
    sent_by = give_sender(connection, 1, [busy], rate=1)
    add_texts(connection, busy, 3 + others)
    add_texts(connection, free, 3)
    queue.lease(sent_by, 9, 1, 0)
    first = claim(queue)
    assert by_business(first) == {free: 3}
    assert all(one.others_wait for one in first)
    connection.execute("update smsretry.sender_time set free_at = smsretry.clock() + interval '0.4 seconds'")
    assert by_business(claim(queue)) == {busy: 1}


def test_a_rate_that_was_set_wrong_keeps_no_text_for_ever(business: Business, queue: SupabaseQueue) -> None:
    """More than an hour is given away: the next lease starts over, and so a claim comes that far."""
    connection = business.connection
    (shop,) = shops(connection, 1)
    queue.lease(give_sender(connection, 1, [shop], rate=20), 1, 1 / 10_800, 0)
    add_texts(connection, shop, 3)
    assert by_business(claim(queue)) == {shop: 3}


def test_a_sender_that_was_asked_to_go_slower_is_passed_over_without_a_rate(
    business: Business, queue: SupabaseQueue
) -> None:
    """For the longest that was asked; an environment's as well."""
    connection = business.connection
    slowed, other = shops(connection, 2)
    sent_by = give_sender(connection, 1, [slowed])
    add_texts(connection, slowed, 3)
    add_texts(connection, other, 3)
    for seconds in (2, 5, 1):
        connection.execute("select slow_sms_sender(%s, %s)", [sent_by, seconds])
    assert queue.next_due(default=DEFAULT) == 0
    assert by_business(claim(queue)) == {other: 3}
    due_in = queue.next_due(default=DEFAULT)
    assert due_in is not None
    assert 4 < due_in < 5
    add_texts(connection, other, 3)
    connection.execute("select slow_sms_sender(%s, 10)", [SENDER])
    assert claim(queue) == []
    later = queue.next_due(default=DEFAULT)
    assert later is not None
    assert due_in - 1 < later <= due_in


def test_an_idle_run_wakes_up_shortly_before_a_sender_is_free_and_claims_for_several(
    business: Business, queue: SupabaseQueue
) -> None:
    """So it neither spins nor oversleeps: who is free a little later is claimed from, too."""
    connection = business.connection
    one, two, later = shops(connection, 3)
    for number, (shop, seconds) in enumerate(((one, 2.0), (two, 2.3), (later, 2.9)), start=1):
        sent_by = give_sender(connection, number, [shop], rate=1)
        add_texts(connection, shop, 5)
        connection.execute(
            "insert into smsretry.sender_time values (%s, smsretry.clock() + make_interval(secs => %s))",
            [sent_by, seconds],
        )
    due_in = queue.next_due(default=DEFAULT)
    assert due_in is not None
    assert 0 < due_in < 2.0 - 0.5
    connection.execute("update smsretry.sender_time set free_at = free_at - make_interval(secs => %s)", [2.0 - 0.5])
    assert by_business(claim(queue)) == {one: 1, two: 1}


def test_nobody_is_slowed_for_longer_than_a_quarter_of_an_hour(business: Business) -> None:
    """An hour would count as a rate that was set wrong. What is no number of seconds is none."""
    connection = business.connection
    for seconds in (1e9, "infinity", -5, None, "nan"):
        connection.execute("select slow_sms_sender('x', %s::double precision)", [seconds])
    row = connection.execute(
        "select free_at - smsretry.clock() <= interval '15 minutes' as ok from smsretry.sender_time"
    )
    assert row.fetchall() == [{"ok": True}]


def test_senders_that_a_run_has_stopped_are_left_out(business: Business, queue: SupabaseQueue) -> None:
    """Nor do they count as others that wait: the run has tried them."""
    connection = business.connection
    stopped, other = shops(connection, 2)
    sent_by = give_sender(connection, 1, [stopped])
    add_texts(connection, stopped, 3)
    add_texts(connection, other, 1)
    assert by_business(taken := claim(queue, without=[sent_by])) == {other: 1}
    assert not any(one.others_wait for one in taken)
    add_texts(connection, other, 1)
    assert by_business(claim(queue, without=[SENDER])) == {stopped: 3}


def test_texts_of_a_paused_sender_are_claimed_whatever_its_rate(business: Business, queue: SupabaseQueue) -> None:
    """Its worker holds them, and says why; that takes no time of the sender."""
    connection = business.connection
    (shop,) = shops(connection, 1)
    sent_by = give_sender(connection, 1, [shop], rate=1)
    queue.lease(sent_by, 60, 1, 0)
    connection.execute("update smsretry.senders set paused_at = smsretry.clock(), paused_because = 'Suspended'")
    add_texts(connection, shop, 10)
    taken = claim(queue)
    assert {one.sender.paused_because for one in taken if one.sender} == {"Suspended"}
    assert len(taken) == 10


def test_each_class_of_a_business_goes_by_its_own_sender(business: Business, queue: SupabaseQueue) -> None:
    """A class's own outranks the one for any, and a slow one keeps back that class alone."""
    connection = business.connection
    (shop,) = shops(connection, 1)
    any_class = give_sender(connection, 1, [shop], rate=20)
    marketing = give_sender(connection, 2, [shop], rate=1, message_class="marketing")
    add_texts(connection, shop, 5)
    add_texts(connection, shop, 5, message_class="transactional")
    taken = claim(queue)
    assert Counter((one.message_class, one.sender and one.sender.sent_by) for one in taken) == {
        ("marketing", marketing): 1,
        ("transactional", any_class): 5,
    }
    queue.lease(marketing, 3, 1, 0)
    add_texts(connection, shop, 1, message_class="transactional")
    assert [one.message_class for one in claim(queue)] == ["transactional"]


@pytest.mark.parametrize("texts", [3, 60])
@pytest.mark.parametrize("own", [True, False], ids=["own", "environment's"])
def test_businesses_that_share_a_sender_share_its_rate_and_take_turns(
    business: Business, queue: SupabaseQueue, texts: int, own: bool
) -> None:
    """However many other texts are claimed meanwhile, and from wherever those turns go on."""
    connection = business.connection
    shared, others = shops(connection, 7), shops(connection, 40)
    sent_by = give_sender(connection, 1, shared, rate=3) if own else SENDER
    give_sender(connection, 2, others)
    queue.lease(sent_by, 1, 100, 0)  # its worker did, or else nothing is remembered
    for shop in shared:
        add_texts(connection, shop, texts)
    for shop in others:
        add_texts(connection, shop, texts)
    served = Counter[UUID]()
    for _ in range(7):
        taken = by_business(claim(queue, 11, segments_per_second=None if own else 3))
        mine = Counter({shop: taken[shop] for shop in shared if taken[shop]})
        assert mine.total() <= 3
        served += mine
        counts = [served[shop] for shop in shared]
        assert max(counts) - min(counts) <= 1
    assert served


def test_a_claim_says_of_each_sender_whether_others_with_it_wait(business: Business, queue: SupabaseQueue) -> None:
    """Of a sender that one business has, nobody else does, however many wait for others."""
    connection = business.connection
    alone, shared, default = shops(connection, 1), shops(connection, 3), shops(connection, 2)
    own = give_sender(connection, 1, alone, rate=1)
    give_sender(connection, 2, shared, rate=2)
    for shop in (*alone, *shared, *default):
        add_texts(connection, shop, 90)
    waits = {one.sender and one.sender.account[-1]: one.sender_others_wait for one in claim(queue, 50)}
    assert waits == {"1": False, "2": True, None: False}
    taken = claim(queue, 3)
    assert all(one.others_wait for one in taken)
    connection.execute("delete from sms_retry_queue where status = 'pending' and business_id <> all(%s)", [alone])
    queue.lease(own, 1, 100, 0)
    assert [one.sender_others_wait for one in claim(queue)] == [False]


def test_claims_at_once_share_out_what_a_thousand_senders_have(stack: Stack, business: Business) -> None:
    """None waits for another, and each text is taken once."""
    connection = business.connection
    connection.execute(
        """with s as (insert into smsretry.senders (account, sent_by, segments_per_second)
                      select 'ACaccount' || n, 'MGservice' || n, 1 + n % 3
                      from generate_series(1, 1000) n returning id),
                b as (insert into businesses (user_id, name) select s.id, 'Shop' from s, generate_series(1, 2)
                      returning id, user_id)
           insert into smsretry.business_senders (business_id, sender_id) select b.id, b.user_id from b"""
    )
    connection.execute(
        """insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for)
           select business_id, gen_random_uuid(), gen_random_uuid(), smsretry.clock() from smsretry.business_senders"""
    )
    connection.execute("insert into smsretry.sender_time select sent_by, smsretry.clock() from smsretry.senders")

    def drain(_: int) -> list[UUID]:
        with stack.connect() as one:
            one.execute("set lock_timeout = '60s'")
            ask = "select t ->> 'id' as id from claim_sms_texts(50, %s, %s) t"
            return [row["id"] for _ in range(6) for row in one.execute(ask.encode(), [SENDER, ACCOUNT])]

    with ThreadPoolExecutor(6) as pool:
        taken = [row for rows in pool.map(drain, range(6)) for row in rows]
    while rows := drain(0):
        taken += rows
    assert len(taken) == len(set(taken)) == 2000


def test_a_claim_that_is_not_done_keeps_no_other_waiting(stack: Stack, business: Business) -> None:
    """Nor a lease, until it is almost done."""
    connection = business.connection
    shared = shops(connection, 8)
    give_sender(connection, 1, shared, rate=2)
    for shop in shared:
        add_texts(connection, shop, 5)
    ask = b"select t ->> 'id' as id from claim_sms_texts(2, 'MGdefault0', 'ACdefault0') t"
    with stack.connect() as first, stack.connect() as second:
        connection.execute("insert into smsretry.sender_time select sent_by, smsretry.clock() from smsretry.senders")
        for one in (first, second):
            one.autocommit = False
            one.execute("set local lock_timeout = '1s'")
        connection.execute(ask)  # its environment is known by then
        taken = first.execute(ask).fetchall() + second.execute(ask).fetchall()
        assert len({row["id"] for row in taken}) == 4
        first.commit()
        second.commit()


@pytest.mark.parametrize("gone", ["assignment", "sender"])
def test_a_business_whose_sender_is_removed_goes_by_the_environment_s(
    business: Business, queue: SupabaseQueue, gone: str
) -> None:
    """At once; nothing remembers it."""
    connection = business.connection
    (shop,) = shops(connection, 1)
    give_sender(connection, 1, [shop], rate=1)
    add_texts(connection, shop, 4)
    assert [one.sender is not None for one in claim(queue)] == [True]
    connection.execute("delete from smsretry.business_senders")
    if gone == "sender":
        connection.execute("delete from smsretry.senders")
    assert [one.sender for one in claim(queue)] == [None] * 3


@pytest.mark.parametrize("value", ["'; drop table businesses", "MG" + "9" * 500, "", "\u202e"])
def test_whatever_a_worker_calls_its_sender_the_texts_are_claimed(
    business: Business, queue: SupabaseQueue, value: str
) -> None:
    """Its own words decide for nobody else."""
    connection = business.connection
    one, other = shops(connection, 2)
    give_sender(connection, 1, [one])
    add_texts(connection, one, 1)
    add_texts(connection, other, 1)
    ask = "select t ->> 'id' as id from claim_sms_texts(50, %s, %s, %s, %s) t"
    assert len(connection.execute(ask.encode(), [value, value, float("nan"), [value + "x", None]]).fetchall()) == 2


def test_a_sender_of_the_environment_that_is_a_business_s_own_as_well_is_one(
    business: Business, queue: SupabaseQueue
) -> None:
    """Its circuit is told to both."""
    connection = business.connection
    own, default = shops(connection, 2)
    give_sender(connection, 1, [own], sent_by=SENDER)
    add_texts(connection, own, 1)
    add_texts(connection, default, 1)
    queue.set_circuit("Refused", sender=SENDER)
    assert [one.circuit_opened_at is not None for one in claim(queue)] == [True, True]


def test_the_environment_s_sender_that_is_named_is_the_one_of_the_last_claims(
    stack: Stack, business: Business, queue: SupabaseQueue
) -> None:
    """Also when a setting is taken back."""
    other = SenderId(ACCOUNT, "MG" + "e" * 32)
    for default in (DEFAULT, other, DEFAULT):
        queue.claim_due(1, default=default)
        stack.move_clock(timedelta(hours=2))
    [told] = business.connection.execute("select sent_by from sms_senders(with_numbers => true)").fetchall()
    assert told["sent_by"] == SENDER
