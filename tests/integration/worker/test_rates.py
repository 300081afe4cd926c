"""A sender's rate is one for all machines: each begin takes its turn from one moment at which the sender is free."""

from datetime import timedelta
from itertools import pairwise
from uuid import uuid4

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.local.stack import Stack
from smsretry.retry.answers import Begun
from smsretry.retry.models import Claim, SenderId
from smsretry.retry.profile import EVERYBODY
from smsretry.sending.ports import Begin
from tests.conftest import Business
from tests.integration.worker.senders import DEFAULT, account, add_texts, by_business, claim, give_sender, shops
from tests.support.builders import send


def begin(queue: SupabaseQueue, one: Claim, *, lead: float = 0.0) -> Begun:
    """As a worker does: from the sender that the claim names."""
    sender = SenderId(one.sender.account, one.sender.sent_by) if one.sender else DEFAULT
    decision = send(one.claimed_at + timedelta(hours=1))
    return queue.begin(
        Begin(claim=one, attempt_id=uuid4(), decision=decision, sender=sender, audience=EVERYBODY, lead=lead)
    )


def leaves_in(begun: Begun) -> float:
    """Seconds until the text leaves."""
    assert begun.reached_at
    return (begun.reached_at - begun.decided_at).total_seconds()


def test_texts_leave_one_after_the_other_at_their_sender_s_rate(business: Business, queue: SupabaseQueue) -> None:
    """The one whose turn is more than two seconds away goes back until then."""
    [shop] = shops(business.connection, 1)
    give_sender(business.connection, 1, [shop], rate=2)
    add_texts(business.connection, shop, 20)
    business.connection.execute(
        "update sms_retry_queue set status = 'processing', claimed_at = smsretry.clock(), claim_no = 1"
    )
    claims = business.connection.execute("select r.* from smsretry.claimed_retry r").fetchall()
    environment = {"stopped_states": (), "longest_body": 1600}
    answers = [begin(queue, Claim.model_validate(row | environment)) for row in claims]
    going = [answer.reached_at for answer in answers if answer.answer == "go" and answer.reached_at]
    assert len(going) >= 4
    assert {after - before for before, after in pairwise(going)} == {timedelta(seconds=0.5)}
    assert {answer.answer for answer in answers[len(going) :]} == {"busy"}
    assert {answer.reached_at for answer in answers[len(going) :]} == {going[-1] + timedelta(seconds=0.5)}


def test_a_turn_comes_no_sooner_than_the_answer(business: Business, queue: SupabaseQueue) -> None:
    """Where the database is far away, no moment of the sender is given away in vain."""
    [shop] = shops(business.connection, 1)
    give_sender(business.connection, 1, [shop], rate=1)
    add_texts(business.connection, shop, 1)
    [one] = claim(queue)
    assert leaves_in(begin(queue, one, lead=0.4)) == 0.4


def test_a_claim_takes_half_a_second_s_worth_of_each_sender(business: Business, queue: SupabaseQueue) -> None:
    """One text at least, and none of a sender whose time is given away: it says when that is over."""
    slow, quick, free = shops(business.connection, 3)
    give_sender(business.connection, 1, [slow], rate=0.5)
    give_sender(business.connection, 2, [quick], rate=8)
    for shop in (slow, quick, free):
        add_texts(business.connection, shop, 20)
    claims = claim(queue)
    assert by_business(claims) == {slow: 1, quick: 4, free: 20}
    for one in claims:
        assert begin(queue, one).answer == "go"
    batch = queue.claim_texts(50, default=DEFAULT)
    assert by_business(list(batch.texts)) == {}
    assert batch.next_in is not None
    assert 0 < batch.next_in < 0.5


def test_the_environment_s_sender_is_a_row_like_any_other(
    business: Business, queue: SupabaseQueue, stack: Stack
) -> None:
    """Its rate holds for all machines, whichever of them was told."""
    queue.start_run(uuid4(), 10, "all", default=DEFAULT)
    business.connection.execute("update smsretry.senders set segments_per_second = 4")
    [shop] = shops(business.connection, 1)
    add_texts(business.connection, shop, 10)
    claims = claim(queue)
    assert [one.sender and (one.sender.sent_by, one.sender.is_environments) for one in claims] == [
        (DEFAULT.sent_by, True)
    ] * 2
    with stack.connect() as other:
        other.execute("update smsretry.senders set free_at = smsretry.clock() + interval '1 second'")
    assert 0.5 < leaves_in(begin(queue, claims[0])) <= 1


def test_a_provider_that_asks_to_go_slower_is_heard_by_all_machines(business: Business, queue: SupabaseQueue) -> None:
    """Nothing of that sender is claimed until then, and no other's text waits."""
    slow, other = shops(business.connection, 2)
    sent_by = give_sender(business.connection, 1, [slow])
    for shop in (slow, other):
        add_texts(business.connection, shop, 2)
    queue.slow_down(SenderId(account(1), sent_by), 60)
    batch = queue.claim_texts(50, default=DEFAULT)
    assert by_business(list(batch.texts)) == {other: 2}
    assert batch.next_in is not None
    assert 59 < batch.next_in <= 60


def test_a_clock_that_was_ahead_keeps_no_sender_waiting(business: Business, queue: SupabaseQueue) -> None:
    """A moment that is more than an hour away was written by it."""
    [shop] = shops(business.connection, 1)
    give_sender(business.connection, 1, [shop], rate=1)
    business.connection.execute("update smsretry.senders set free_at = smsretry.clock() + interval '2 days'")
    add_texts(business.connection, shop, 1)
    [one] = claim(queue)
    assert leaves_in(begin(queue, one)) == 0
