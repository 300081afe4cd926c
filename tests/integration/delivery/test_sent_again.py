"""Before a text is sent again that a carrier lost, Twilio is asked: the lost message may have arrived after all.

No callback says so here, and nobody looks after deliveries meanwhile.
"""

import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.desk.actions.requests import Requeue
from tests.integration.delivery.conftest import Post
from tests.integration.story import Story
from tests.support.builders import BODY
from tests.support.orders import ordered
from tests.support.shop import Shop

STORIES = {
    "one that arrived after all is not sent again": """
        a lost text
        it is delivered
        31 minutes
        run: Sent
        messages: 1
        it.status attempt_count why: completed, 1, None
        it.log.status provider_message_id error_message: delivered, it/1, None
        it.sends.delivery_status delivery_ask_at: delivered, None
        run:""",
    "one that is still lost is, and Twilio is asked once, about it alone": """
        a lost text
        text other phone=+12125550124
        31 minutes
        questions: 1
        run: Sent, Sent
        questions: 2
        it.sends.outcome: accepted, accepted""",
    "one that Twilio cannot be asked about waits for a quarter of an hour, says why, and costs nothing": """
        a lost text
        31 minutes
        Twilio cannot say
        run: Deferred
        it.status attempt_count: pending, 1
        it.why: It was lost as it/1, and may still arrive. The provider could not be asked
        it waits: 15 minutes
        run:
        15 minutes
        run: Sent
        messages: 2""",
    "each lost message is asked about, also after a send that never was: the first of two is on the phone": """
        a lost text
        31 minutes
        run: Sent
        it is undelivered 30008
        6 minutes
        deliveries
        requeue it: 1
        Twilio loses the text
        run: InDoubt
        it/1 is delivered
        80 runs
        messages: 2
        it: completed delivered
        it.log.provider_message_id: it/1""",
    "a lost message is asked about also when the application queues the text anew, whose row has no error": """
        a lost text whose next send is refused, queued anew
        it/1 is delivered
        1 minute
        run: Sent
        messages: 1
        new.status attempt_count: completed, 0
        new.log.provider_message_id: it/1""",
    "a second lost message is the last, whichever row it left from, and arrives for that row alone": """
        a lost text whose next send is refused, queued anew
        1 minute
        run: Sent
        new is undelivered 30008
        6 minutes
        deliveries: 1 undelivered · 1 still undelivered
        neighbor's customer stranger
        sql insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for) \
            select c.business_id, q.send_log_id, c.id, smsretry.clock() from customers c, sms_retry_queue q \
            where c.id = {stranger} and q.id = {new}
        callback new delivered
        it.status: failed
        new.status: completed
        select status from sms_retry_queue where customer_id = {stranger}: pending""",
    "a second send that is in doubt is looked for although the first message arrived": """
        a lost text
        31 minutes
        Twilio loses the answer
        run: InDoubt
        callback it/1 delivered
        2 minutes
        run: Sent
        it.sends.outcome: accepted, accepted""",
    "a delivery that is reported calls off a text that was queued anew: nobody has to ask": """
        a lost text whose next send is refused, queued anew
        callback it/1 delivered
        it.status: completed
        new: completed delivered
        1 minute
        run:""",
    "a message that Twilio has no more keeps no text waiting: what it does not know was not delivered": """
        a lost text
        31 minutes
        Twilio has no such message
        run: Sent
        messages: 2""",
}


@pytest.mark.parametrize("story", STORIES)
def test_of_the_texts_that_a_carrier_lost(shop: Shop, story: str) -> None:
    """Row and send log say what became of it, by the message that did."""
    Story(shop).tell(STORIES[story])


FORBIDDEN = """
create function public.meddle() returns trigger language plpgsql as $$
begin
    if old.status = 'undelivered' then raise exception 'final'; end if;
    return new;
end $$;
create trigger a_meddle before update on send_logs for each row execute function public.meddle()
"""
"""What was undelivered stays so, says a trigger of the application's."""
ALLOWED = "drop function if exists public.meddle cascade"


HARMS = [
    (
        "alter table send_logs alter status drop default",
        "alter table send_logs alter status set default 'pending'",
        "failed",
    ),
    (
        "alter table send_logs alter status set default 'sent'",
        "alter table send_logs alter status set default 'pending'",
        "failed",
    ),
    (
        "alter table send_logs add constraint known check (status in ('new', 'sent', 'failed')) not valid",
        "alter table send_logs drop constraint known",
        "failed",
    ),
    (
        "alter table send_logs alter provider_message_id set default '{}', alter provider_message_id set not null",
        "alter table send_logs alter provider_message_id drop default, alter provider_message_id drop not null",
        "pending",
    ),
]
"""No default, sent by default, no word of ours, a message at all times; what mends it, and what the log then says."""


@pytest.mark.parametrize(("harm", "mended", "status"), HARMS)
def test_a_send_log_that_cannot_say_that_its_text_waits_does_not_keep_it_from_being_sent_again(
    post: Post, harm: str, mended: str, status: str
) -> None:
    """The look at it failed each time, with the body in the database's log; or the text was called sent, and ended."""
    row = post.accepted()
    post.report(row, "undelivered", 30008)
    with post.changed(harm, mended):
        assert post.sync() == "1 retried"
        assert post.statuses(row) == (
            "pending",
            status,
        )
        post.later(minutes=31)
        assert post.run() == ["Sent"]
    assert len(post.messages) == 2


def test_a_send_log_that_takes_no_word_keeps_its_text_as_it_is_and_says_why(
    post: Post, operators: SupabaseOperators
) -> None:
    """By codes and names; then it goes on by itself. A person's requeue leaves it alone, and puts back the others."""
    row, _ = post.lost_text(30007)
    other = post.due_text(phone="+12125550124")
    post.connection.execute(
        "update sms_retry_queue set status = 'failed', last_error = 'x' where id = %s",
        [other],
    )
    again = Requeue(
        retry_ids=(row, other), dry_run=False, who="Ann", because="The filter is gone"
    )
    post.connection.execute(FORBIDDEN)
    try:
        change = ordered(operators, again)
        assert (change.matched, change.changed) == (2, 1)
        assert change.skipped == {"Its send log cannot be told that it waits: P0001": 1}
        assert post.ends(row, other) == "failed pending"
        third = post.due_text(phone="+12125550125")
        assert post.run() == ["Sent", "Sent"]
        post.twilio.report(
            str(post.attempts_of(third)[0]["twilio_sid"]), "undelivered", 30008
        )
        [error] = [
            followed.why
            for followed in post.look().followed
            if followed.message.retry_id == third
        ]
        assert "cannot be told that its text waits: P0001" in error
        assert BODY not in error
        assert post.status_of(third) == "completed"
    finally:
        post.connection.execute(ALLOWED)
    assert ordered(operators, again).changed == 1
