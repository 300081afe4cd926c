"""Life: 48 hours from the first moment a text might have gone out, or from its planned time, also if nothing ran."""

from datetime import timedelta

import pytest

from smsretry import queue_sms_retry
from smsretry.local.twilio.faults import JsonError
from smsretry.retry.before import LIFE
from smsretry.sending.scheduled import queue_scheduled_sends
from tests.support.shop import Shop

HOUR = timedelta(hours=1)


def first_run(shop: Shop) -> list[str]:
    """Scheduled sends are queued, then a run: what each came to."""
    queued = [
        send.result for send in queue_scheduled_sends(shop.queue, seconds=5).sends
    ]
    return [result for result in queued if result != "queued"] + shop.run()


@pytest.mark.parametrize("hours", [1, 47])
def test_an_outage_of_less_than_two_days_costs_nobody_a_text(
    shop: Shop, hours: int
) -> None:
    """Planned, queued, and moved: those that may go out at once do, and by noon of the next day all have."""
    shop.scheduled(due=timedelta(minutes=1))
    shop.due_text(phone="+12125550124")
    shop.due_text(phone="+12125550125", timezone="America/Los_Angeles")
    shop.later(hours=hours)
    for _ in range(3):
        first_run(shop)
        shop.later(hours=12)
    assert len(shop.messages) == 3


def test_after_six_days_a_planned_text_is_cancelled_and_not_sent(shop: Shop) -> None:
    """ "See you tomorrow" helps nobody six days later. If its owner says that it does, it is sent."""
    late, row = shop.scheduled(due=HOUR), shop.due_text(phone="+12125550124")
    useful = shop.scheduled(due=HOUR, phone="+12125550125")
    shop.sql(
        "update scheduled_sends set not_after = scheduled_for + interval '10 days' where id = %s",
        useful,
    )
    shop.later(days=6)
    assert sorted(first_run(shop)) == ["Cancelled", "Sent", "cancelled"]
    send = shop.scheduled_send(late)
    assert (send["status"], send["why_code"], shop.end_of(row)) == (
        "cancelled",
        "expired",
        ("cancelled", "expired"),
    )
    assert "due on 2027-01-12 (UTC)" in send["why"]
    assert shop.row(row)["last_error"] == send["why"]
    assert [message.to for message in shop.messages] == ["+12125550125"]


def test_a_text_that_was_tried_is_of_use_for_48_hours_too(shop: Shop) -> None:
    """From its insert at the earliest, whatever time it was given. A person who wants it all the same may have it."""
    row = shop.due_text()
    shop.sql("update sms_retry_queue set scheduled_for = '2000-01-01 12:00+00'")
    shop.twilio.fail(JsonError(20429, http_status=429), times=1)
    assert shop.run() == ["RetryScheduled"]
    assert shop.row(row)["expires_at"] - shop.row(row)["created_at"] == LIFE
    shop.later(hours=49)
    assert shop.run() == ["Cancelled"]
    assert shop.end_of(row) == ("cancelled", "expired")


def test_a_text_planned_for_days_ahead_lives_from_then_on(shop: Shop) -> None:
    """By the function, by an insert, and by a planned send whose row is younger than its time."""
    ahead = timedelta(days=3)
    log = shop.send_log(shop.customer(phone="+12125550124"))
    queue_sms_retry(log, None, scheduled_for=shop.now() + ahead, queue=shop.queue)
    shop.due_text(due=ahead)
    assert shop.sql("select distinct expires_at from sms_retry_queue") == [
        {"expires_at": None}
    ]
    shop.later(days=3)
    assert shop.run() == ["Sent", "Sent"]

    planned = shop.scheduled(due=HOUR)
    shop.later(hours=48)
    queue_scheduled_sends(shop.queue, seconds=5)
    assert shop.claim().due_since == shop.scheduled_send(planned)["scheduled_for"]
