"""What carriers do not take of a sender costs no text: it waits, visibly, and is sent again. Nobody else notices.

Nor does anybody wait for another's message when Twilio refuses to say what became of some.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.desk.pages.runs import of_deliveries
from smsretry.local.stack import SENDER
from smsretry.local.twilio.faults import FetchError
from tests.integration.delivery.conftest import Post
from tests.integration.story import Story
from tests.support.records import columns
from tests.support.senders import open_account, texts_from
from tests.support.shop import Shop

MIDNIGHT = datetime(2027, 1, 13, 8, 0, tzinfo=UTC)
"""Of Pacific time, at the end of the day of `NOON`."""
TOLL_FREE = "+18885550100"
NUMBER, OTHER_NUMBER = "+12025550101", "+12025550102"


STORIES = {
    "a text of an unregistered number is held, says what to mend, waits longer each time, and costs no attempt": """
        carriers 30034
        an accepted text
        6 minutes
        deliveries: 1 held...
        it.status attempt_count why_code: pending, 0, account_refused
        it.why: Not delivered: Twilio 30034: US A2P 10DLC - Message from an Unregistered Number. Register the number...
        it.log.status error_message: pending, Not delivered: Twilio 30034: US A2P 10DLC...
        select held_since is not null from sms_retry_queue: True
        it waits: 30 minutes
        run:
        31 minutes
        run: Sent
        6 minutes
        deliveries: ...1 held...
        it waits: 120 minutes
        121 minutes
        run: Sent
        6 minutes
        deliveries: ...1 held...
        it waits: 360 minutes
        carriers take them
        361 minutes
        run: Sent
        it is delivered
        6 minutes
        deliveries: 1 delivered...
        it.status attempt_count held_since: completed, 1, None""",
    "twilio's own quiet hours are waited for and cost nothing": """
        carriers 30610
        an accepted text
        6 minutes
        deliveries: 1 retried
        15 minutes
        run: Deferred       # no second message in this window
        it.status attempt_count why_code reason: pending, 0, quiet_hours, quiet_hours
        select scheduled_for >= '2027-01-13 13:00+00' from sms_retry_queue: True
        carriers take them
        20 hours
        run: Sent
        it is undelivered 30008
        6 minutes
        deliveries: 1 retried...       # it is the first that was lost""",
    "a block is no opt-out": """
        an accepted text
        it is undelivered 30004
        6 minutes
        deliveries: 1 undelivered
        it.status why_code: failed, undelivered
        consents: (opted_in, None)""",
}


@pytest.mark.parametrize("story", STORIES)
def test_of_what_carriers_do_not_take(shop: Shop, story: str) -> None:
    """It is its sender that carriers do not take."""
    Story(shop).tell(STORIES[story])


def test_a_spent_day_is_waited_for_and_is_no_failed_delivery(
    post: Post, operators: SupabaseOperators
) -> None:
    """Until midnight Pacific time, and then until the recipient's window opens."""
    post.twilio.accounts.main.segments_per_day[SENDER] = 1
    post.due_text(phone="+12125550124")
    assert post.run() == ["Sent"]
    post.twilio.report(post.messages[0].sid, "delivered")
    row = post.due_text()
    assert post.run() == ["Sent"]
    summary = post.look()
    assert str(summary) == "1 delivered · 1 retried"
    assert [event.name for event in of_deliveries(summary).events] == [
        "sms.text.retried"
    ]
    waits = post.row(row)
    assert columns(waits, "status", "attempt_count", "why_code") == (
        "pending",
        0,
        "day_spent",
    )
    assert waits["held_since"] is None
    assert waits["scheduled_for"] - MIDNIGHT < timedelta(minutes=1)
    assert [
        (hour_count.delivery, hour_count.texts)
        for hour_count in operators.status().hours
    ] == [("delivered", 1)]
    post.stack.set_clock(waits["scheduled_for"])
    assert post.run() == ["Deferred"]
    post.stack.set_clock(datetime(2027, 1, 13, 17, 0, tzinfo=UTC))
    assert post.run() == ["Sent"]
    post.twilio.report(post.messages[-1].sid, "undelivered", 30008)
    assert post.looked_after().came_to == "retried", "it is the first that was lost"
    assert post.row(row)["attempt_count"] == 1


def test_a_toll_free_sender_s_block_is_an_opt_out(post: Post) -> None:
    """Its carriers keep a STOP themselves, and the block alone tells of it."""
    row = post.accepted()
    post.report(row, "undelivered", 30004)
    post.twilio.ledger.put(replace(post.messages[-1], sender=TOLL_FREE))
    assert post.looked_after().came_to == "undelivered"
    assert post.fields(row, "status why_code") == ("failed", "opted_out")
    [customer] = post.sql(
        "select sms_consent_status from customers where id = %s",
        post.row(row)["customer_id"],
    )
    assert customer["sms_consent_status"] == "opted_out"


def test_an_account_that_does_not_answer_ends_the_asking_about_its_own_messages_alone(
    post: Post,
) -> None:
    """Here its parent no longer reaches it. Its messages stay as they are; the others' are all asked about."""
    account = open_account(post.stack, number=NUMBER)
    texts_from(post.connection, post.id, account.sid, NUMBER)
    neighbor = post.neighbor()
    for number in range(40):
        whose = post if number < 20 else neighbor
        whose.due_text(phone=f"+1212556{number:04}")
    assert post.run() == ["Sent"] * 40
    for entry in post.messages:
        assert entry.account_sid == (
            account.sid if entry.to < "+12125560020" else post.twilio.accounts.main.sid
        )
        post.twilio.report(entry.sid, "delivered")
    account.owner = None
    post.twilio.fetches = 0
    summary = post.look()
    assert summary.counts["delivered"] == 20
    assert (summary.why_stopped, summary.silent_accounts) == (None, (account.sid,))
    assert f"No answer for {account.sid}" in str(summary)
    assert 5 <= summary.counts["not asked"] <= 8
    account.owner = post.twilio.accounts.main
    assert post.look(after=timedelta(minutes=11)).counts["delivered"] == 20


def test_a_provider_that_cannot_be_reached_costs_a_few_requests_whatever_the_accounts(
    post: Post,
) -> None:
    """An outage is everybody's: one account after the other need not be tried."""
    for number in range(12):
        whose = post.neighbor()
        account = open_account(post.stack, number=f"+1202555{number:04}")
        texts_from(post.connection, whose.id, account.sid, f"+1202555{number:04}")
        whose.due_text(phone=f"+1212556{number:04}")
    assert post.run() == ["Sent"] * 12
    post.twilio.fail(FetchError(), times=None)
    post.twilio.fetches = 0
    summary = post.look()
    assert (summary.why_stopped or "").startswith(
        "The provider said nothing of the last 8 messages"
    )
    assert post.twilio.fetches == 8


def test_a_message_that_another_account_keeps_is_not_called_missing(post: Post) -> None:
    """A failure that was reported would have been taken for the last word, and the text sent twice."""
    account = open_account(post.stack, number=NUMBER)
    texts_from(post.connection, post.id, account.sid, NUMBER)
    row = post.due_text()
    assert post.run() == ["Sent"]
    [entry] = post.messages
    post.connection.execute(
        "select settle_sms_attempt(id, twilio_sid, delivery_status => 'undelivered', error_code => 30008) "
        "from sms_send_attempts"
    )
    post.twilio.report(entry.sid, "delivered")
    account.owner = None
    followed = post.look().followed
    assert [(one.came_to, one.report.status) for one in followed] == [
        ("not asked", "denied")
    ]
    assert post.status_of(row) == "completed"
    account.owner = post.twilio.accounts.main
    assert [one.came_to for one in post.look(after=timedelta(minutes=11)).followed] == [
        "delivered"
    ]


def test_a_lost_message_is_asked_about_in_the_account_that_it_left(post: Post) -> None:
    """Its business has moved to another one meanwhile. The message had arrived after all, so no second one leaves."""
    old_account, new_account = (
        open_account(post.stack, number=NUMBER),
        open_account(post.stack, number=OTHER_NUMBER),
    )
    texts_from(post.connection, post.id, old_account.sid, NUMBER)
    row = post.due_text()
    assert post.run() == ["Sent"]
    post.twilio.report(post.messages[0].sid, "undelivered", 30008)
    assert post.looked_after().came_to == "retried"
    texts_from(post.connection, post.id, new_account.sid, OTHER_NUMBER)
    post.later(minutes=31)
    post.twilio.report(post.messages[0].sid, "delivered")
    post.twilio.fetches = 0
    assert post.run() == ["Sent"]
    assert [message.account_sid for message in post.messages] == [old_account.sid]
    assert (post.twilio.fetches, len(post.attempts_of(row))) == (1, 1)


# Twilio refuses to say what became of messages


@pytest.mark.parametrize(
    "refusal",
    [
        FetchError(20003, http_status=401),
        FetchError(20429, http_status=429),
        FetchError(),
    ],
)
def test_a_run_ends_its_asking_soon_and_says_so(
    post: Post, refusal: FetchError
) -> None:
    """It had asked for all of them, up to 2,000, in each run. Each run asks about others, until all had their turn.

    Messages of one business that cannot be read stop nobody else's: the other one's come in turns between them.
    """
    neighbor = post.neighbor()
    for number in range(24):
        (neighbor if number >= 20 else post).due_text(
            phone=f"+1212556{'8' if number >= 20 else '0'}{number:03}"
        )
    assert post.run() == ["Sent"] * 24
    for message in post.messages:
        post.twilio.report(message.sid, "delivered")
    post.twilio.fetches = 0
    post.twilio.fail(refusal, times=None)
    for runs in (1, 2, 3):
        summary = post.look(after=timedelta(minutes=6 if runs == 1 else 0))
        assert summary.needs_attention
        assert (summary.why_stopped or "").startswith(
            "The provider said nothing of the last"
        )
        assert post.twilio.fetches == 8 * runs
    post.twilio.heal()
    for number in range(4):
        post.twilio.fail(FetchError(), to=f"+12125560{number:03}", times=None)
    look = post.look(after=timedelta(minutes=11))
    assert (
        look.why_stopped,
        look.counts["delivered"],
        look.counts["not asked"],
    ) == (None, 20, 4)
