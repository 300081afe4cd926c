"""Life: 48 hours from the first moment a text might have gone out, or from its planned time, also if nothing ran."""

from datetime import timedelta

import pytest

from smsretry import queue_sms_retry
from smsretry.sending.scheduled import queue_scheduled_sends
from tests.integration.story import Story
from tests.support.shop import Shop

HOUR = timedelta(hours=1)


STORIES = {
    "an outage of an hour costs nobody a text": """
        planned due=1
        text queued phone=+12125550124
        text western phone=+12125550125 timezone=America/Los_Angeles
        1 hour
        plans
        run
        12 hours
        plans
        run
        12 hours
        plans
        run
        messages: 3""",
    "nor one of 47 hours": """
        planned due=1
        text queued phone=+12125550124
        text western phone=+12125550125 timezone=America/Los_Angeles
        47 hours
        plans
        run
        12 hours
        plans
        run
        12 hours
        plans
        run
        messages: 3""",
    "after six days a planned text is cancelled, unless its owner says that it is of use": """
        planned due=60
        text late phone=+12125550124
        planned useful due=60 phone=+12125550125
        sql update scheduled_sends set not_after = scheduled_for + interval '10 days' where id = {useful}
        6 days
        plans: cancelled, queued
        run: Cancelled, Sent
        select status from scheduled_sends where id = {it}: cancelled
        select why_code from scheduled_sends where id = {it}: expired
        select why from scheduled_sends where id = {it}: Expired before it could be sent: it was due on 2027-01-12 (UTC)
        late.status why_code: cancelled, expired
        late.last_error: Expired before it could be sent: it was due on 2027-01-12 (UTC)
        messages: 1""",
    "a text that was tried is of use for 48 hours from its insert, whatever time it was given": """
        text
        sql update sms_retry_queue set scheduled_for = '2000-01-01 12:00+00'
        Twilio refuses 20429 429
        run: RetryScheduled
        select expires_at - created_at from sms_retry_queue: 2 days, 0:00:00
        49 hours
        run: Cancelled
        it.status why_code: cancelled, expired""",
}


@pytest.mark.parametrize("story", STORIES)
def test_of_what_comes_late(shop: Shop, story: str) -> None:
    """Those that may go out at once do."""
    Story(shop).tell(STORIES[story])


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
