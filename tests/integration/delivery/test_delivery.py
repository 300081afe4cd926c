"""What becomes of a text after Twilio accepted it: callbacks, looks, and what follows when it did not arrive."""

from datetime import timedelta

import psycopg
import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.desk.pages.markdown import markdown
from smsretry.sending.delivering import sync_deliveries
from tests.integration.conftest import Command
from tests.integration.delivery.conftest import Post
from tests.integration.story import Story
from tests.support.builders import SID
from tests.support.shop import Shop

ANOTHER = """sql with another as (
 insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for, status)
 select business_id, send_log_id, customer_id, scheduled_for, 'completed' from sms_retry_queue returning id)
insert into sms_send_attempts (
 id, retry_id, attempt_number, claim_no, begun_at, finished_at, outcome, settled_by, twilio_sid)
select gen_random_uuid(), another.id, 1, 1, begun_at, {} from sms_send_attempts, another
""".replace("\n", " ")
STORIES = {
    "a message of which a part arrived is on the phone: the whole is news, a loss is not": """
        a lost text
        callback it partially_delivered: recorded
        it: completed delivered
        callback it undelivered 30008: already_settled
        callback it delivered: recorded
        text other phone=+12125550177
        run: Sent
        other is partially_delivered
        6 minutes
        deliveries: 1 delivered""",
    "a status goes forward only, whatever the order, and a repetition is no news": """
        an accepted text
        callback it accepted: recorded
        callback it queued: recorded
        callback it sending: recorded
        callback it sent: recorded
        callback it delivered: recorded
        callback it sent: already_settled
        callback it sending: already_settled
        callback it queued: already_settled
        callback it accepted: already_settled
        callback it undelivered 30008: already_settled
        callback it teleported: already_settled        # an error would be called again and again
        it.sends.delivery_status delivery_code delivery_ask_at: delivered, None, None
        it.log.status provider_message_id error_message: delivered, it/1, None""",
    "a failure is shown with its code, which may come later, and a late delivery takes it back": """
        an accepted text
        callback it undelivered: recorded
        callback it failed 30008: recorded
        it.sends.delivery_status delivery_code: undelivered, 30008
        it.log.status: undelivered
        callback it delivered: recorded
        it.sends.delivery_status delivery_code delivery_ask_at: delivered, None, None
        it.log.status error_message: delivered, None""",
    "a callback before the answer settles the text, and its failure is decided about": """
        text
        Twilio loses the answer
        run: InDoubt
        ledger/1 is undelivered 30003
        callback of the attempt of it ledger/1 undelivered 30003: settled
        it.status attempt_count: completed, 1
        deliveries: 1 retried
        it.status attempt_count: pending, 1""",
    "a send whose answer a callback overtook is the last of three": """
        text attempts=2
        begin: go
        callback of the attempt of it nobody undelivered 30003: settled
        deliveries: 1 undelivered
        it.status: failed""",
    "a lost message in whose place the application has put its own is not followed by another": """
        an accepted text
        it is undelivered 30003
        sql update send_logs set provider_message_id = '{"twilio_sid": "SM0123456789abcdef0123456789abcdef"}'
        6 minutes
        deliveries: 1 still undelivered
        it.status: completed
        it.log.provider_message_id: nobody""",
    "a message that is not ours, or that a strange or another attempt is said to have, changes nothing": """
        an accepted text
        keep it.sends
        callback nobody delivered: unknown_attempt
        callback of the attempt of nobody nobody delivered: unknown_attempt
        callback of the attempt of it nobody delivered: unknown_attempt
        it.sends is as it was: True""",
    "a text that a carrier lost is sent again once, after half an hour, as another message": """
        an accepted text
        it is undelivered 30003
        6 minutes
        deliveries: 1 retried
        it.status error_code attempt_count: pending, 30003, 1
        it waits: 30 minutes
        it.log.status provider_message_id: pending, None
        it.log.error_message: Not delivered: Twilio 30003: Unreachable destination handset
        6 minutes
        deliveries: no delivery is open
        19 minutes
        deliveries: 1 still undelivered
        5 minutes
        run: Sent
        messages: 2
        it is delivered
        6 minutes
        deliveries: 1 delivered
        5 days
        deliveries
        deliveries: no delivery is open
        it: completed delivered
        it.log.provider_message_id: it/2""",
    "the second failure is the last": """
        a lost text
        31 minutes
        run: Sent
        it is undelivered 30008
        6 minutes
        deliveries: 1 undelivered · 1 still undelivered
        4 days
        deliveries
        1 day
        deliveries: no delivery is open
        it: failed undelivered
        it.log.provider_message_id: it/2""",
    "a text that was given up and arrives after all is found, though no callback says so": """
        an accepted text
        it is undelivered 30005
        6 minutes
        deliveries: 1 undelivered
        61 minutes
        deliveries: 1 still undelivered
        it is delivered
        16 minutes
        deliveries: 1 delivered
        it: completed delivered""",
    "likewise, one that was canceled": """
        an accepted text
        it is canceled
        6 minutes
        deliveries: 1 undelivered
        it is delivered
        61 minutes
        deliveries: 1 delivered
        it: completed delivered""",
    "a carrier's stop opts the number out, as Twilio's own answer 21610 does": """
        an accepted text
        it is undelivered 30630
        6 minutes
        deliveries: 1 undelivered
        consents: (opted_out, twilio_30630)""",
    "a number that was corrected meanwhile is not marked": """
        an accepted text
        sql update customers set phone = '+12125550177'
        it is undelivered 30006
        6 minutes
        deliveries: 1 undelivered
        select phone_status from customers: None""",
    "a look that has lost its claim decides nothing": """
        an accepted text
        a look begins
        11 minutes
        sql select claim_sms_deliveries(10)
        decide 'give_up', 'undelivered', 30006, why => 'A landline': claim_lost
        it.status: completed""",
    **{
        f"a decision to send again is asked anew as it is written, for it {meanwhile}": f"""
        an accepted text
            a look begins
            {change}
            keep it
            decide 'send_again', 'undelivered', 30008, why => 'Lost', due_in => '1 minute': changed
            it is as it was: True"""
        for meanwhile, change in {
            "has ended": "sql update sms_retry_queue set status = 'cancelled'",
            "waits again": """sql insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for) """
            "select business_id, send_log_id, customer_id, scheduled_for from sms_retry_queue",
            "may have reached the phone otherwise": ANOTHER.format(
                f"finished_at, 'accepted', 'response', '{SID}'"
            ),
            "is under way": ANOTHER.format("null, null, null, null"),
        }.items()
    },
    "a look that saw no failure neither acts on nor puts off one that a callback reported": """
        an accepted text
        a look begins
        decide 'give_up', 'sent', why => 'A landline': changed
        callback it undelivered 30006
        decide 'ask_again', 'sent', ask_in => '4 hours': changed
        callback it undelivered 30006
        decide 'close', 'unknown': changed
        it.status: completed
        it is undelivered 30006
        deliveries: 1 undelivered""",
    "a failure that a callback reported counts although the message was deleted at Twilio": """
        an accepted text
        callback it undelivered 30008
        Twilio has no such message
        deliveries: 1 retried
        it.sends.delivery_code: 30008
        select phone_status from customers: None""",
    "likewise, of a number that takes no texts": """
        an accepted text
        callback it undelivered 30006
        Twilio has no such message
        deliveries: 1 undelivered
        it.sends.delivery_code: 30006
        select phone_status from customers: not_mobile""",
    "a message that was deleted at Twilio is said to be, makes no run red, and a later report counts": """
        an accepted text
        Twilio has no such message always
        6 minutes
        deliveries: 1 not at the provider
        3 days
        deliveries: 1 unknown
        it: completed sent
        callback it delivered
        it.log.status: delivered""",
}


@pytest.mark.parametrize("story", STORIES)
def test_what_becomes_of_a_text_after_twilio_accepted_it(
    shop: Shop, story: str
) -> None:
    """Callbacks, looks, and what follows when it did not arrive."""
    Story(shop).tell(STORIES[story])


def test_twilio_is_told_what_a_text_is_for(post: Post) -> None:
    """By its class: its Compliance Toolkit asks other things of what a customer asked for."""
    row, asked_for = post.due_text(), post.due_text(phone="+12125550177")
    post.sql(
        "update sms_retry_queue set message_class = 'transactional' where id = %s",
        asked_for,
    )
    assert post.run() == ["Sent"] * 2
    intents = {
        identity: post.twilio.ledger.find(post.sid_of(identity))
        for identity in (row, asked_for)
    }
    assert [entry and entry.intent for entry in intents.values()] == [
        "marketing",
        "notifications",
    ]


def test_a_locked_row_keeps_nobody_waiting_and_is_reported_later(
    post: Post,
) -> None:
    """Its attempt, and its send log, without which it does not end."""
    first, second = post.accepted(), post.accepted(phone="+12125550124")
    for row in (first, second):
        post.report(row, "undelivered", 30006)
    with post.locked("sms_send_attempts where retry_id = %s", first):
        assert post.sync() == "1 undelivered"
    [look] = post.sql("select attempt_id, asks from claim_sms_deliveries(10)")
    gives_up = "finish_sms_delivery(%s, %s, 'give_up', 'undelivered', 30006, why => 'A landline')"
    with (
        post.locked("send_logs where id = %s", post.row(first)["send_log_id"]),
        pytest.raises(psycopg.errors.LockNotAvailable),
    ):
        post.sql(f"select {gives_up}", *look.values())
    assert post.status_of(first) == "completed"
    post.sql(f"select {gives_up}", *look.values())
    assert post.statuses(first) == (
        "failed",
        "undelivered",
    )


def test_a_reported_failure_is_decided_about_before_anybody_is_asked_about_again(
    post: Post,
) -> None:
    """It had stood last: behind thousands of a neighbor's looks its text missed its window."""
    for number in range(3):
        post.accepted(phone=f"+1212555012{number}")
    post.later(hours=1)
    lost = post.accepted()
    post.report(lost, "undelivered", 30008)
    post.settle(post.sid_of(lost), "undelivered", 30008)
    [followed] = sync_deliveries(post.services, limit=1).followed
    assert (followed.message.retry_id, followed.came_to) == (lost, "retried")


def test_an_application_whose_statuses_know_no_delivery_keeps_sent(post: Post) -> None:
    """Its check refuses the new words; the attempt has them."""
    post.connection.execute(
        "alter table send_logs add constraint known check (status in ('pending', 'sent', 'failed'))"
    )
    try:
        arrived, lost = post.accepted(), post.accepted(phone="+12125550124")
        assert post.settle(post.sid_of(arrived), "delivered") == "recorded"
        post.report(lost, "undelivered", 30007)
        assert post.sync() == "1 undelivered"
        assert [post.log_of(row)["status"] for row in (arrived, lost)] == [
            "sent",
            "sent",
        ]
        assert (
            post.log_of(lost)["error_message"]
            == "Not delivered: Twilio 30007: Message filtered"
        )
        assert [
            post.attempts_of(row)[0]["delivery_status"] for row in (arrived, lost)
        ] == [
            "delivered",
            "undelivered",
        ]
    finally:
        post.connection.execute("alter table send_logs drop constraint known")


def many_accepted(
    post: Post,
    name: str,
    seconds: list[int | None],
    *,
    ago: timedelta = timedelta(minutes=30),
) -> None:
    """Accepted texts of another business: so many seconds until each was delivered; None, it was not."""
    neighbor = post.neighbor()
    post.connection.execute(
        "update businesses set name = %s where id = %s", [name, neighbor.id]
    )
    post.connection.execute(
        """with text as (
               select gen_random_uuid() as id, smsretry.clock() - %(ago)s as at, t.seconds
               from unnest(%(seconds)s::integer[]) as t (seconds)),
           retry as (
               insert into sms_retry_queue
                   (id, business_id, send_log_id, customer_id, status, scheduled_for, attempt_count, updated_at)
               select id, %(business)s, id, id, 'completed', at, 1, at from text)
           insert into sms_send_attempts
               (id, retry_id, business_id, attempt_number, claim_no, begun_at, finished_at, outcome, settled_by,
                twilio_sid, delivery_status, delivery_at)
           select id, id, %(business)s, 1, 1, at - interval '2 seconds', at, 'accepted', 'response',
                  'SM' || replace(id::text, '-', ''), case when seconds is null then 'undelivered' else 'delivered' end,
                  at + make_interval(secs => coalesce(seconds, 60))
           from text""",
        {"ago": ago, "seconds": seconds, "business": neighbor.id},
    )


def test_status_tells_how_many_arrive_by_hour_and_of_whom_some_do_not(
    post: Post, command: Command
) -> None:
    """By SQL, by command and as a page, hour by hour."""
    many_accepted(post, "Half", [4] * 10 + [None] * 10)
    many_accepted(post, "Most", [4] * 8 + [30] + [None], ago=timedelta(hours=3))
    many_accepted(post, "Most too", [4] * 18 + [None] * 2, ago=timedelta(hours=3))
    many_accepted(post, "Long ago", [9] * 30 + [None] * 30, ago=timedelta(hours=25))

    shown = command("status").stdout
    with SupabaseOperators(post.stack.settings()) as operators:
        status = operators.status()
    page = markdown(status.tell())

    [undelivered] = status.undelivered
    assert (undelivered.businesses, undelivered.code, undelivered.texts) == (
        3,
        None,
        13,
    )
    hours = sorted((one.hour.hour, one.delivery, one.texts) for one in status.hours)
    assert hours == [
        (13, "delivered", 27),
        (13, "undelivered", 3),
        (16, "delivered", 10),
        (16, "undelivered", 10),
    ]
    assert "  arrived, texts 37\n  did not arrive, texts 13\n" in shown
    assert "  without a code, texts 13, 3 businesses\n" in shown
    assert "| arrived | 37 |" in page
    assert f"13:00 UTC | 30 | {'█' * 30} 3 did not arrive |" in page


# What is told is the best that became of its messages


ENDS = {
    "a text whose first message arrived did arrive, though its second one was lost": """
        an accepted text
        it is undelivered 30003
        6 minutes
        deliveries: 1 retried
        31 minutes
        run: Sent
        callback it undelivered 30003
        it goes on: ...sync-delivery-status may then send it again...
        callback it/1 delivered
        it.sends.delivery_status: delivered, undelivered
        it goes on: nothing more; it was delivered
        it.log.status provider_message_id: delivered, it/1""",
    "a text that was given up, and then arrives, says both": """
        an accepted text
        it is undelivered 30006
        6 minutes
        deliveries: 1 undelivered
        callback it delivered
        it: completed delivered
        it is told: ...It was delivered after all. Before that it had failed: Not delivered...
        it goes on: nothing more; it was delivered""",
    "likewise, one that a STOP had cancelled, because no evidence of it was found": """
        a text in doubt that Twilio has
        sql update sms_retry_queue set in_doubt_since = null, attempt_id = null
        they write STOP
        callback of the attempt of it nobody delivered
        it: completed delivered
        it is told: ...It was delivered after all. Before that it had been cancelled: Customer opted out...
        it goes on: nothing more; it was delivered""",
}


@pytest.mark.parametrize("story", ENDS)
def test_what_is_told_of_a_delivery(shop: Shop, story: str) -> None:
    """It is the best that became of its messages."""
    Story(shop).tell(ENDS[story])
