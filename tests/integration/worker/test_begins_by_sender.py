"""A send begins only from the sender that its claim named, and within that one's day."""

from collections import Counter
from datetime import timedelta
from uuid import uuid4

import pytest

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.stack import Stack
from smsretry.retry.answers import Begun
from smsretry.retry.decision import Fail
from smsretry.retry.models import Claim, SenderId
from smsretry.retry.outcome import Refusal, Rejected
from smsretry.retry.profile import EVERYBODY
from smsretry.sending.ports import Begin, Finish
from tests.conftest import Business
from tests.integration.worker.senders import DEFAULT, Connection, add_texts, claim, give_sender, shops
from tests.support.builders import run, send


def _begin(queue: SupabaseQueue, one: Claim) -> Begun:
    """As a worker does: from the sender that the claim names."""
    sender = SenderId(one.sender.account, one.sender.sent_by) if one.sender else DEFAULT
    decision = send(one.claimed_at + timedelta(hours=1))
    return queue.begin(Begin(claim=one, attempt_id=uuid4(), decision=decision, sender=sender, audience=EVERYBODY))


_CHANGES = {
    "gets one": ("", "insert into smsretry.business_senders select id, 'any', sender from shop"),
    "gets another": (
        "insert into smsretry.business_senders select id, 'any', sender from shop",
        "update smsretry.business_senders set sender_id = (select other from shop)",
    ),
    "gets one of its class": (
        "insert into smsretry.business_senders select id, 'any', sender from shop",
        "insert into smsretry.business_senders select id, 'marketing', other from shop",
    ),
    "loses its own": (
        "insert into smsretry.business_senders select id, 'any', sender from shop",
        "delete from smsretry.business_senders",
    ),
    "is paused": (
        "insert into smsretry.business_senders select id, 'any', sender from shop",
        "update smsretry.senders set paused_at = smsretry.clock(), paused_because = 'x'",
    ),
}


def _shop(connection: Connection) -> None:
    (shop,) = shops(connection, 1)
    add_texts(connection, shop, 1)
    connection.execute("drop table if exists shop")
    connection.execute(
        """create temporary table shop as
           select %s::uuid as id, gen_random_uuid() as sender, gen_random_uuid() as other""",
        [shop],
    )
    connection.execute(
        """insert into smsretry.senders (id, account, sent_by)
           select sender, 'ACaccount1', 'MGservice1' from shop union all
           select other, 'ACaccount2', 'MGservice2' from shop"""
    )


@pytest.mark.parametrize("name", _CHANGES)
def test_a_sender_that_is_changed_between_claim_and_begin_loses_and_doubles_nothing(
    business: Business, queue: SupabaseQueue, name: str
) -> None:
    """The text does not begin, and its next claim names the sender that it has now."""
    connection = business.connection
    _shop(connection)
    before, change = _CHANGES[name]
    if before:
        connection.execute(before.encode())
    (first,) = claim(queue)
    connection.execute(change.encode())
    assert _begin(queue, first).answer == "changed"
    assert not connection.execute("select from sms_send_attempts").fetchall()
    connection.execute("update smsretry.senders set paused_at = null, paused_because = null")
    connection.execute("update sms_retry_queue set status = 'pending' where begun_at is null")
    (second,) = claim(queue)
    assert second.id == first.id
    assert (second.sender != first.sender) is (name != "is paused")
    assert _begin(queue, second).answer == "go"


def test_what_was_begun_before_its_sender_changed_is_finished_as_it_was(
    business: Business, queue: SupabaseQueue
) -> None:
    """The attempt keeps the account and the sender that it went out from."""
    connection = business.connection
    _shop(connection)
    connection.execute("insert into smsretry.business_senders select id, 'any', sender from shop")
    (one,) = claim(queue)
    assert _begin(queue, one).answer == "go"
    connection.execute("delete from smsretry.business_senders")
    connection.execute("delete from smsretry.senders")
    kept = connection.execute("select sent_account, sent_by from sms_send_attempts").fetchall()
    assert kept == [{"sent_account": "ACaccount1", "sent_by": "MGservice1"}]


def test_a_cap_a_day_lets_exactly_so_many_segments_out(business: Business, queue: SupabaseQueue) -> None:
    """The day turns over at midnight in California. What was refused does not count."""
    connection = business.connection
    (shop,) = shops(connection, 1)
    give_sender(connection, 1, [shop], cap=3)
    add_texts(connection, shop, 8)
    claims = claim(queue)
    answers = [_begin(queue, one) for one in claims]
    assert [answer.answer for answer in answers] == ["go"] * 3 + ["spent"] * 5
    assert {answer.reached_at and answer.reached_at.isoformat() for answer in answers[3:]} == {
        "2027-01-13T08:00:00+00:00"
    }
    refusal = Rejected(Refusal("permanent", "No such number"))
    attempt = business.attempts_of(claims[0].id)[0]["id"]
    assert queue.finish(
        Finish(claim=claims[0], attempt_id=attempt, outcome=refusal, decision=Fail("No such number"))
    ).applied
    add_texts(connection, shop, 3)
    assert [_begin(queue, one).answer for one in claim(queue)] == ["go", "spent", "spent"]


def test_a_text_that_is_too_long_for_what_is_left_of_a_day_leaves_it_to_shorter_ones(
    business: Business, queue: SupabaseQueue
) -> None:
    """Nor is one that has more segments than a day takes kept for ever: it goes when the day is unused."""
    connection = business.connection
    (shop,) = shops(connection, 1)
    give_sender(connection, 1, [shop], cap=3)
    add_texts(connection, shop, 6)
    connection.execute(
        "update send_logs set subject = repeat('x', 700) where id in (select send_log_id from sms_retry_queue limit 1)"
    )
    long, *short = sorted(claim(queue), key=lambda one: -len(one.body or ""))
    assert [_begin(queue, one).answer for one in (short[0], long)] == ["go", "spent"]
    add_texts(connection, shop, 1)
    [later] = claim(queue)
    assert later.sender
    assert later.sender.spent_until is None
    assert [_begin(queue, one).answer for one in short[1:]] == ["go", "go", "spent", "spent"]
    connection.execute("update smsretry.senders set day_segments = 0")
    assert _begin(queue, long).answer == "go"


def test_a_claim_of_a_sender_that_has_used_its_day_says_so(business: Business, queue: SupabaseQueue) -> None:
    """Whatever its rate, for its texts wait without it; until the day turns over or its cap is raised."""
    connection = business.connection
    (shop,) = shops(connection, 1)
    give_sender(connection, 1, [shop], cap=1, rate=1)
    add_texts(connection, shop, 2)
    (one,) = claim(queue, 1)
    assert _begin(queue, one).answer == "go"
    (one,) = claim(queue)
    assert _begin(queue, one).answer == "spent"
    add_texts(connection, shop, 5)
    told = {one.sender and str(one.sender.spent_until) for one in claim(queue)}
    assert told == {"2027-01-13 08:00:00+00:00"}
    connection.execute("update smsretry.senders set segments_per_day = 2")
    connection.execute("update sms_retry_queue set status = 'pending' where begun_at is null")
    connection.execute("update smsretry.senders set free_at = null")
    (one,) = claim(queue)
    assert one.sender
    assert one.sender.spent_until is None


def test_a_run_puts_off_what_its_sender_may_not_send_today_and_sends_it_tomorrow(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """At the next opening, each with the reason. The environment's sender is a row like any other, shared or not."""
    connection = business.connection
    (other,) = shops(connection, 1)
    own = connection.execute(
        """insert into smsretry.senders (account, sent_by, segments_per_day)
           values (%s, %s, 2) returning id""",
        [sender.default.account, sender.default.sent_by],
    ).fetchone()
    assert own
    connection.execute("insert into smsretry.business_senders values (%s, 'any', %s)", [business.id, own["id"]])
    rows = [business.due_text(phone=f"+1212555{n:04}") for n in range(5)]
    add_texts(connection, other, 1)
    assert Counter(run(queue, sender)) == {"Deferred": 4, "Sent": 2}
    waiting = [row for row in map(business.row, rows) if row["status"] == "pending"]
    assert {(row["why_code"], row["attempt_count"]) for row in waiting} == {("day_spent", 0)}
    assert {row["scheduled_for"].isoformat()[:13] for row in waiting} == {"2027-01-13T13"}
    stack.move_clock(timedelta(days=1))
    assert Counter(run(queue, sender)) == {"Deferred": 2, "Sent": 2}
