"""The change-over from the application's own processor, which claims, sends and begins nothing; and what the
application deletes under a worker's hands.
"""

import pytest

from tests.integration.story import Story
from tests.support.shop import Shop

CLAIM = "select * from claim_due_sms_retries(limit_count => 50)"


STORIES = {
    "what it held when it died may have been sent, and is found; without a number nothing can have gone out": """
        text
        text numberless phone=None
        text blank
        sql update customers set phone = ' ' where id = (select customer_id from sms_retry_queue where id = {blank})
        the application claims
        somebody sends it by hand
        11 minutes
        recover
        it.status: pending
        select count(*) from sms_retry_queue where in_doubt_since is not null: 1
        1 minute
        run: Failed, Failed, Sent
        messages: 1
        it: completed sent""",
    "what it held when it died is of use from its claim on, whether the list cannot be had or shows what may be it": """
        text held phone=+12125550124
        text
        the application claims
        sql update send_logs set subject = 'Something that somebody sent by hand' \
            where id = (select send_log_id from sms_retry_queue where id = {held})
        somebody sends held by hand
        sql update send_logs set subject = 'Other words'
        Twilio has no list to +12125550123 always
        11 minutes
        recover
        select q.expires_at - a.begun_at from sms_retry_queue q join sms_send_attempts a on a.retry_id = q.id \
            where q.id = {it}: 2 days, 0:00:00
        1 minute
        run: Held, InDoubt
        48 hours
        run: Failed, Failed
        select last_error like '%list of messages cannot be read%' from sms_retry_queue where id = {it}: True
        held.status: failed""",
    "what it recovers itself has an end from its first look on: its call says nothing of a text's life": """
        text
        the application claims: it
        11 minutes
        sql select recover_stuck_sms_retries()
        it.expires_at: None
        Twilio has no list always
        run: InDoubt
        select expires_at - updated_at from sms_retry_queue: 2 days, 0:00:00""",
    "what it sent to a number in another spelling is found: the provider lists it as it is": """
        text phone=+4407700900123 timezone=Europe/London
        the application claims: it
        somebody sends it by hand
        11 minutes
        run
        1 minute
        run
        it.status: completed
        messages: 1""",
    "it is not given a next try of a text that was sent: the row ends as a begin ends it": """
        text said
        text named
        text other
        sql update send_logs set status = 'sent' where id = (select send_log_id from sms_retry_queue where id = {said})
        sql update send_logs set provider_message_id = '{"twilio_sid": "SM1"}' \
            where id = (select send_log_id from sms_retry_queue where id = {named})
        the application claims: other
        said.status why_code: cancelled, already_sent
        named.status why_code: cancelled, already_sent""",
    "it is given no text that a begin would refuse; a held one goes on when a person has read the words": """
        text stopped phone=+12125550120
        text held phone=+12125550121
        text other phone=+12125550122
        they write STOP from +12125550120
        sql update customers set sms_consent_status = 'opted_in'        # a restore
        they write I no longer wish to receive these from +12125550121
        the application claims: other
        stopped.status why_code: cancelled, opted_out
        held.status why_code: pending, words_unread
        the application claims:
        sql select record_sms_consent(null, 'unchanged', 'text', customer_id => customer_id, who => 'Ann', \
            because => 'I read it') from sms_retry_queue where id = {held}
        the application claims: held""",
    "what a hold left in a row does not refuse the insert of its next try": """
        text
        sql update businesses set sms_hours = '18:00-09:00'
        run: Held
        16 minutes
        the application claims: it
        the application inserts it anew as next attempts=1
        it.status: failed""",
    "it gets no text of a business that a person stopped, until that is lifted": """
        text
        neighbor's text theirs
        sql select set_sms_stop('business_stopped', {business}, 'A lawsuit', 'ann', false)
        the application claims: theirs
        sql select set_sms_stop('business_stopped', {business}, 'A lawsuit', 'ann', true)
        the application claims: it""",
}


@pytest.mark.parametrize("story", STORIES)
def test_of_what_the_application_s_processor_has(shop: Shop, story: str) -> None:
    """It claims and sends, and its words count; ours is told."""
    Story(shop).tell(STORIES[story])


def test_what_is_deleted_between_claim_and_begin_ends_the_row_with_that_reason(
    shop: Shop,
) -> None:
    """It is not sent, and nobody is said to have opted out who was only deleted."""
    for table, reason in (
        ("customers", "Customer not found"),
        ("send_logs", "Send log not found"),
    ):
        row = shop.due_text()
        claim = shop.claim()
        shop.sql(f"delete from {table}")
        assert shop.process(claim).fate == "GivenBack"
        assert shop.run() == ["Failed"]
        assert shop.fields(row, "status last_error") == ("failed", reason)
    assert not shop.messages
