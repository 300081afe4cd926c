"""A send begins only from the sender that its claim named, and within that one's day."""

from collections import Counter
from uuid import UUID

import pytest

from tests.integration.worker.senders import (
    add_texts,
    begin_soon,
    claim,
    give_sender,
    shops,
)
from tests.support.records import columns
from tests.support.shop import Shop

GETS = "insert into smsretry.business_senders select id, 'any', sender from shop"
CHANGES = {
    "gets one": ("", GETS),
    "gets another": (
        GETS,
        "update smsretry.business_senders set sender_id = (select other from shop)",
    ),
    "gets one of its class": (
        GETS,
        "insert into smsretry.business_senders select id, 'marketing', other from shop",
    ),
    "loses its own": (GETS, "delete from smsretry.business_senders"),
    "is paused": (
        GETS,
        "update smsretry.senders set paused_at = smsretry.clock(), why_paused = 'x'",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_sender_that_is_changed_between_claim_and_begin_loses_and_doubles_nothing(
    shop: Shop, name: str
) -> None:
    """The text does not begin, its next claim names the sender that it has now, and an attempt keeps its own."""
    [business] = shops(shop.connection, 1)
    add_texts(shop.connection, business, 1)
    shop.sql("drop table if exists shop")
    shop.sql(
        """create temporary table shop as
           select %s::uuid as id, gen_random_uuid() as sender, gen_random_uuid() as other""",
        business,
    )
    shop.sql(
        """insert into smsretry.senders (id, account, sent_by)
           select sender, 'ACaccount1', 'MGservice1' from shop union all
           select other, 'ACaccount2', 'MGservice2' from shop"""
    )
    before, change = CHANGES[name]
    if before:
        shop.sql(before)
    [first_claim] = claim(shop.queue)
    shop.sql(change)
    assert begin_soon(shop.queue, first_claim).answer == "data_changed"
    assert shop.value("select count(*) from sms_send_attempts") == 0
    shop.sql("update smsretry.senders set paused_at = null, why_paused = null")
    shop.sql("update sms_retry_queue set status = 'pending' where begun_at is null")
    [second] = claim(shop.queue)
    assert (second.id, second.sender != first_claim.sender) == (
        first_claim.id,
        name != "is paused",
    )
    assert begin_soon(shop.queue, second).answer == "go"
    shop.sql("delete from smsretry.business_senders; delete from smsretry.senders")
    [record] = shop.sql(
        "select sent_account as account, sent_by from sms_send_attempts"
    )
    assert record["sent_by"] == second.sender.sent_by


def one_sender(shop: Shop, texts: int, **limits: float) -> UUID:
    """A business that has so many due texts, from a sender of its own."""
    [business] = shops(shop.connection, 1)
    give_sender(shop.connection, 1, [business], **limits)  # type: ignore[arg-type]
    add_texts(shop.connection, business, texts)
    return business


def test_a_cap_a_day_lets_exactly_so_many_segments_out(shop: Shop) -> None:
    """The day turns over at midnight in California. What was refused does not count, nor make room in the next day."""
    business = one_sender(shop, 8, cap=3)
    claims = claim(shop.queue)
    answers = [begin_soon(shop.queue, one) for one in claims]
    assert [answer.answer for answer in answers] == ["go"] * 3 + ["day_spent"] * 5
    until = {answer.until and answer.until.isoformat() for answer in answers[3:]}
    assert until == {"2027-01-13T08:00:00+00:00"}
    refused = "select finish_sms_attempt(%s, %s, %s, 'rejected', 'failed', why => 'No such number')"
    shop.sql(
        refused,
        claims[0].id,
        claims[0].claim_no,
        shop.attempts_of(claims[0].id)[0]["id"],
    )
    add_texts(shop.connection, business, 3)
    assert [begin_soon(shop.queue, one).answer for one in claim(shop.queue)] == [
        "go",
        "day_spent",
        "day_spent",
    ]
    shop.later(days=1)
    add_texts(shop.connection, business, 4)
    *today, last_claim = claim(shop.queue)
    assert [begin_soon(shop.queue, one).answer for one in (*today, last_claim)] == [
        "go",
        "go",
        "go",
        "day_spent",
    ]
    shop.sql(
        refused,
        claims[1].id,
        claims[1].claim_no,
        shop.attempts_of(claims[1].id)[0]["id"],
    )
    assert begin_soon(shop.queue, last_claim).answer == "day_spent"


def test_a_text_that_is_too_long_for_what_is_left_of_a_day_leaves_it_to_shorter_ones(
    shop: Shop,
) -> None:
    """Nor is one that has more segments than a day takes kept for ever: it goes when the day is unused."""
    business = one_sender(shop, 6, cap=3)
    shop.sql(
        "update send_logs set subject = repeat('x', 700) where id in (select send_log_id from sms_retry_queue limit 1)"
    )
    long, *short = sorted(claim(shop.queue), key=lambda one: -len(one.body or ""))
    assert [begin_soon(shop.queue, one).answer for one in (short[0], long)] == [
        "go",
        "day_spent",
    ]
    add_texts(shop.connection, business, 1)
    [later] = claim(shop.queue)
    assert later.sender
    assert later.sender.spent_until is None
    answers = [begin_soon(shop.queue, one).answer for one in short[1:]]
    assert answers == ["go", "go", "day_spent", "day_spent"]
    shop.sql("update smsretry.senders set day_segments = 0")
    assert begin_soon(shop.queue, long).answer == "go"


def test_a_claim_of_a_sender_that_has_used_its_day_says_so(shop: Shop) -> None:
    """Whatever its rate, for its texts wait without it; until the day turns over or its cap is raised."""
    business = one_sender(shop, 2, cap=1, rate=1)
    for answer in ("go", "day_spent"):
        [one] = claim(shop.queue, 1)
        assert begin_soon(shop.queue, one).answer == answer
    add_texts(shop.connection, business, 5)
    spent_until = {
        one.sender and str(one.sender.spent_until) for one in claim(shop.queue)
    }
    assert spent_until == {"2027-01-13 08:00:00+00:00"}
    shop.sql("update smsretry.senders set segments_per_day = 2, free_at = null")
    shop.sql("update sms_retry_queue set status = 'pending' where begun_at is null")
    [one] = claim(shop.queue)
    assert one.sender
    assert one.sender.spent_until is None


def test_a_run_puts_off_what_its_sender_may_not_send_today_and_sends_it_tomorrow(
    shop: Shop,
) -> None:
    """At the next opening, each with the reason. The default sender is a row like any other, shared or not."""
    [other] = shops(shop.connection, 1)
    shop.sql(
        """with s as (insert into smsretry.senders (account, sent_by, segments_per_day) values (%s, %s, 2) returning id)
           insert into smsretry.business_senders select %s, 'any', id from s""",
        *[shop.provider.default.account, shop.provider.default.sent_by, shop.id],
    )
    rows = [shop.due_text(phone=f"+1212555{n:04}") for n in range(5)]
    add_texts(shop.connection, other, 1)
    assert Counter(shop.run()) == {"Deferred": 4, "Sent": 2}
    waiting = [row for row in map(shop.row, rows) if row["status"] == "pending"]
    assert {columns(row, "why_code", "attempt_count") for row in waiting} == {
        ("day_spent", 0)
    }
    assert {row["scheduled_for"].isoformat()[:13] for row in waiting} == {
        "2027-01-13T13"
    }
    shop.later(days=1)
    assert Counter(shop.run()) == {"Deferred": 2, "Sent": 2}
