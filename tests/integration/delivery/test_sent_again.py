"""Before a text is sent again that a carrier lost, Twilio is asked: the lost message may have arrived after all.

No callback says so here, and nobody looks after deliveries meanwhile.
"""

from datetime import timedelta
from uuid import UUID

import pytest

from smsretry import next_retry_delay, queue_sms_retry
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.desk.actions.requests import Requeue
from smsretry.local.twilio.faults import (
    AcceptThenDrop,
    DropUnaccepted,
    FetchError,
    JsonError,
)
from tests.integration.delivery.conftest import Post
from tests.support.builders import BODY
from tests.support.orders import ordered
from tests.support.records import columns


def test_a_text_that_arrived_after_all_is_not_sent_again(post: Post) -> None:
    """Row and send log say that it was delivered, by the first message."""
    row, sid = post.lost_text()
    post.twilio.report(sid, "delivered")
    post.later(minutes=31)
    [result] = post.results().values()
    assert (result.fate, result.why) == (
        "Sent",
        f"Arrived after all, as {sid}: it is not sent again",
    )
    assert len(post.messages) == 1
    ended, log, [attempt] = post.row(row), post.log_of(row), post.attempts_of(row)
    assert columns(ended, "status", "attempt_count", "why") == (
        "completed",
        1,
        None,
    )
    assert columns(log, "status", "provider_message_id", "error_message") == (
        "delivered",
        {"twilio_sid": sid},
        None,
    )
    assert columns(attempt, "delivery_status", "delivery_ask_at") == (
        "delivered",
        None,
    )
    assert post.run() == []


def test_a_text_that_is_still_lost_is_sent_again(post: Post) -> None:
    """Twilio is asked once, and only about it: a text that was never lost costs no question."""
    row, _ = post.lost_text()
    post.due_text(phone="+12125550124")
    post.later(minutes=31)
    before = post.twilio.fetches
    assert post.run() == ["Sent", "Sent"]
    assert post.twilio.fetches == before + 1
    assert post.sends(row, "outcome") == [
        "accepted",
        "accepted",
    ]


def test_a_text_that_twilio_cannot_be_asked_about_waits_and_costs_nothing(
    post: Post,
) -> None:
    """For a quarter of an hour, and says why; then it is asked about again."""
    row, sid = post.lost_text()
    post.later(minutes=31)
    post.twilio.fail(FetchError())
    [result] = post.results().values()
    assert result.fate == "Deferred"
    assert (
        result.why
        == f"It was lost as {sid}, and may still arrive. The provider could not be asked"
    )
    waits = post.row(row)
    assert columns(waits, "status", "attempt_count", "why") == (
        "pending",
        1,
        result.why,
    )
    assert (
        timedelta(minutes=14)
        < waits["scheduled_for"] - post.stack.now()
        <= timedelta(minutes=15)
    )
    assert post.run() == []
    post.later(minutes=15)
    assert post.run() == ["Sent"]
    assert len(post.messages) == 2


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


def test_each_message_that_was_lost_is_asked_about_also_after_a_send_that_never_was(
    post: Post, operators: SupabaseOperators
) -> None:
    """Two were lost, a third never reached Twilio, and the first of them is on the phone."""
    row, first = post.lost_text()
    post.later(minutes=31)
    assert post.run() == ["Sent"]
    second = str(post.attempts_of(row)[-1]["twilio_sid"])
    post.twilio.report(second, "undelivered", 30008)
    post.look()
    ordered(
        operators,
        Requeue(
            retry_ids=(row,), dry_run=False, who="Ann", because="The customer asked"
        ),
    )
    post.twilio.fail(DropUnaccepted())
    assert post.run() == ["InDoubt"]
    post.twilio.report(first, "delivered")
    for _ in range(5):
        post.later(minutes=16)
        post.run()
    assert len(post.messages) == 2
    log = post.log_of(row)
    assert (post.status_of(row), log["status"]) == ("completed", "delivered")
    assert log["provider_message_id"] == {"twilio_sid": first}


def queued_anew(post: Post) -> tuple[UUID, UUID, str]:
    """A text whose message a carrier lost and whose next one Twilio refused; its rows, and the lost message."""
    row, sid = post.lost_text()
    post.later(minutes=31)
    post.twilio.fail(JsonError(21612))
    assert post.run() == ["Failed"]
    queued = queue_sms_retry(post.row(row)["send_log_id"], None, queue=post.queue)
    assert queued.result == "queued"
    assert queued.retry_id is not None
    return row, queued.retry_id, sid


def test_a_lost_message_is_asked_about_also_when_the_application_queues_the_text_anew(
    post: Post,
) -> None:
    """A new row has no error, and so nobody had asked: the phone got the text twice."""
    _, new, sid = queued_anew(post)
    post.twilio.report(sid, "delivered")
    post.stack.move_clock(next_retry_delay(0))
    assert post.run() == ["Sent"]
    assert len(post.messages) == 1
    assert post.fields(new, "status attempt_count") == ("completed", 0)
    assert post.log_of(new)["provider_message_id"] == {"twilio_sid": sid}


def test_a_second_lost_message_is_the_last_also_of_a_text_that_was_queued_anew(
    post: Post,
) -> None:
    """Whichever row it went out from. If it arrives after all, the other rows of its send log stay as they are."""
    row, new, _ = queued_anew(post)
    post.stack.move_clock(next_retry_delay(0))
    assert post.run() == ["Sent"]
    second, neighbor = post.sid_of(new), post.neighbor()
    post.twilio.report(second, "undelivered", 30008)
    assert post.sync().startswith("1 undelivered")
    theirs = neighbor.queue_row(post.row(new)["send_log_id"], neighbor.customer())
    post.settle(second, "delivered")
    assert post.ends(row, new, theirs) == "failed completed pending"


def test_a_second_send_that_is_in_doubt_is_looked_for_although_the_first_message_arrived(
    post: Post,
) -> None:
    """Nobody would ever know what became of it."""
    row, first = post.lost_text()
    post.later(minutes=31)
    post.twilio.fail(AcceptThenDrop())
    assert post.run() == ["InDoubt"]
    post.settle(first, "delivered")
    post.later(minutes=2)
    assert post.run() == ["Sent"]
    assert post.sends(row, "outcome") == [
        "accepted",
        "accepted",
    ]


def test_a_delivery_that_is_reported_calls_off_a_text_that_was_queued_anew(
    post: Post,
) -> None:
    """As it does one that is to be sent again: neither row waits, and nobody has to ask."""
    row, new, sid = queued_anew(post)
    post.connection.execute(
        "select settle_sms_attempt(twilio_sid => %s, delivery_status => 'delivered')",
        [sid],
    )
    assert post.ends(row, new) == "completed completed"
    assert post.log_of(new)["status"] == "delivered"
    post.stack.move_clock(next_retry_delay(0))
    assert post.run() == []


def test_a_message_that_twilio_has_no_more_keeps_no_text_waiting(post: Post) -> None:
    """Somebody deleted it there. What Twilio does not know it cannot know to be delivered."""
    post.lost_text()
    post.later(minutes=31)
    post.twilio.fail(FetchError(20404, http_status=404))
    assert post.run() == ["Sent"]
    assert len(post.messages) == 2
