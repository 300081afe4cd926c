"""A sender's rate is one for all machines: each begin takes its turn from one moment at which the sender is free.

The database's clock stands still, so that nothing depends on how fast this machine is.
"""

from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest

from smsretry.retry.models import SenderId
from tests.integration.worker.senders import (
    account,
    add_texts,
    begin_soon,
    by_business,
    claim,
    give_sender,
    shops,
)
from tests.support.builders import send
from tests.support.records import columns
from tests.support.shop import Shop


@pytest.fixture(autouse=True)
def _clock_stopped(shop: Shop) -> Iterator[None]:
    with shop.clock_stopped():
        yield


def test_texts_leave_one_after_the_other_at_their_sender_s_rate(shop: Shop) -> None:
    """The one whose turn is more than two seconds away goes back until then."""
    [other] = shops(shop.connection, 1)
    give_sender(shop.connection, 1, [other], rate=2)
    add_texts(shop.connection, other, 8)
    claims = [one for _ in range(8) for one in claim(shop.queue, 1)]
    begun = [begin_soon(shop.queue, one) for one in claims]
    leaves = [
        begun_answer.until - begun_answer.decided_at
        for begun_answer in begun
        if begun_answer.until
    ]
    assert leaves == [
        timedelta(seconds=seconds) for seconds in (0, 0.5, 1, 1.5, 2, 2.5, 2.5, 2.5)
    ]
    assert [answer.answer for answer in begun] == ["go"] * 5 + ["sender_rate"] * 3


def test_a_begin_that_is_repeated_keeps_its_slot(shop: Shop) -> None:
    """Its first answer was lost. The text leaves when it would have left, and not above the sender's rate."""
    [other] = shops(shop.connection, 1)
    give_sender(shop.connection, 1, [other], rate=2)
    add_texts(shop.connection, other, 2)
    [first], [second] = (claim(shop.queue, 1) for _ in range(2))
    begin_soon(shop.queue, first)
    attempt = uuid4()
    decision = send(second.claimed_at + timedelta(hours=1))
    slots = [shop.queue.begin(second, attempt, decision).until for _ in range(2)]
    assert slots[0] == slots[1] is not None


def test_a_long_text_takes_the_time_and_the_day_of_each_of_its_segments(
    shop: Shop,
) -> None:
    """Carriers count segments, whatever the number of texts."""
    [other] = shops(shop.connection, 1)
    give_sender(shop.connection, 1, [other], rate=6, cap=8)
    add_texts(shop.connection, other, 3)
    shop.sql("update send_logs set subject = repeat('a', 400)")
    begun = [begin_soon(shop.queue, text) for text in claim(shop.queue)]
    assert [text.answer for text in begun] == ["go", "go", "day_spent"]
    assert begun[1].until == begun[1].decided_at + timedelta(seconds=0.5)


def test_the_report_adds_up_what_each_business_sent_in_a_month(
    shop: Shop,
) -> None:
    """Segments, as Twilio bills them."""
    add_texts(shop.connection, shop.id, 2)
    shop.sql("update send_logs set subject = repeat('a', 400)")
    assert shop.run() == ["Sent"] * 2
    [month] = shop.value("select sms_report()")
    assert month["month"] == f"{shop.now():%Y-%m}"
    assert columns(month, "sent", "segments") == (2, 6)


def test_a_turn_comes_no_sooner_than_the_answer_and_no_clock_that_was_ahead_keeps_it(
    shop: Shop,
) -> None:
    """Where the database is far away, no slot is reserved in vain. More than an hour away is nobody's slot."""
    [other] = shops(shop.connection, 1)
    give_sender(shop.connection, 1, [other], rate=1)
    add_texts(shop.connection, other, 2)
    [one] = claim(shop.queue, 1)
    begun = begin_soon(shop.queue, one, answer_seconds=0.4)
    assert begun.until == begun.decided_at + timedelta(seconds=0.4)
    shop.sql(
        "update smsretry.senders set free_at = smsretry.clock() + interval '2 days'"
    )
    shop.sql("select start_sms_run(gen_random_uuid())")
    [one] = claim(shop.queue, 1)
    begun = begin_soon(shop.queue, one)
    assert begun.until == begun.decided_at


def test_a_claim_takes_half_a_second_s_worth_of_each_sender(shop: Shop) -> None:
    """One text at least, and none of a sender whose slots are reserved: it says when that is over."""
    slow, quick, free = shops(shop.connection, 3)
    give_sender(shop.connection, 1, [slow], rate=0.5)
    give_sender(shop.connection, 2, [quick], rate=8)
    for each in (slow, quick, free):
        add_texts(shop.connection, each, 20)
    claims = claim(shop.queue)
    assert by_business(claims) == {slow: 1, quick: 4, free: 20}
    assert {begin_soon(shop.queue, one).answer for one in claims} == {"go"}
    batch = shop.queue.claim_texts(50)
    assert not batch.texts
    assert batch.next_in == pytest.approx(0.4), "a tenth of a second before its turn"


def test_the_environment_s_sender_is_a_row_like_any_other(shop: Shop) -> None:
    """Its rate holds for all machines, whichever of them was told."""
    shop.queue.start_run(uuid4(), 10)
    shop.sql("update smsretry.senders set segments_per_second = 4")
    [other] = shops(shop.connection, 1)
    add_texts(shop.connection, other, 10)
    claims = claim(shop.queue)
    assert [one.sender.sent_by for one in claims] == [shop.provider.default.sent_by] * 2
    shop.sql(
        "update smsretry.senders set free_at = smsretry.clock() + interval '1 second'"
    )
    begun = begin_soon(shop.queue, claims[0])
    assert begun.until == begun.decided_at + timedelta(seconds=1)


def test_a_provider_that_asks_to_go_slower_is_obeyed_by_all_machines(
    shop: Shop,
) -> None:
    """Nothing of that sender is claimed until then, a quarter of an hour at most, and no other's text waits."""
    slow, other = shops(shop.connection, 2)
    sent_by = give_sender(shop.connection, 1, [slow])
    for each in (slow, other):
        add_texts(shop.connection, each, 2)
    shop.queue.slow_down(SenderId(account(1), sent_by), 60)
    batch = shop.queue.claim_texts(50)
    assert by_business(list(batch.texts)) == {other: 2}
    assert batch.next_in == pytest.approx(60, abs=0.2)
    shop.queue.slow_down(SenderId(account(1), sent_by), 86400)
    assert shop.queue.claim_texts(50).next_in == pytest.approx(900, abs=0.2)
