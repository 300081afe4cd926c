"""Before a text is sent again that a carrier lost, Twilio is asked: the lost message may have arrived after all.

No callback says so here, and nobody looks after deliveries meanwhile.
"""

from datetime import timedelta
from uuid import UUID

import pytest

from smsretry import next_retry_delay, queue_sms_retry
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.desk.actions.requests import Requeue
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import DropUnaccepted, FetchError, JsonError
from smsretry.sending.delivering import sync_deliveries
from smsretry.sending.ports import Services
from tests.conftest import Business
from tests.support.builders import BODY, results_of, run, run_over
from tests.support.orders import ordered

HALF_AN_HOUR = timedelta(minutes=31)


def lost_text(
    stack: Stack,
    business: Business,
    queue: SupabaseQueue,
    sender: TwilioSender,
    services: Services,
    code: int = 30008,
) -> tuple[UUID, str]:
    """A text whose message a carrier lost, after that was decided about, and the message."""
    row = business.due_text()
    assert run(queue, sender) == ["Sent"]
    [entry] = stack.twilio.ledger.entries()
    stack.twilio.report(entry.sid, "undelivered", code)
    stack.move_clock(timedelta(minutes=6))
    sync_deliveries(services, limit=10)
    return row, entry.sid


def test_a_text_that_arrived_after_all_is_not_sent_again(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, services: Services
) -> None:
    """Row and send log say that it was delivered, by the first message."""
    row, sid = lost_text(stack, business, queue, sender, services)
    stack.twilio.report(sid, "delivered")
    stack.move_clock(HALF_AN_HOUR)
    [result] = results_of(run_over(queue, sender))
    assert (result.fate, result.detail) == ("Sent", f"Arrived after all, as {sid}: it is not sent again")
    assert len(stack.twilio.ledger.entries()) == 1
    ended, log, [attempt] = business.row(row), business.log_of(row), business.attempts_of(row)
    assert (ended["status"], ended["attempt_count"], ended["why"]) == ("completed", 1, None)
    assert (log["status"], log["provider_message_id"], log["error_message"]) == ("delivered", {"twilio_sid": sid}, None)
    assert (attempt["delivery_status"], attempt["delivery_look_at"]) == ("delivered", None)
    assert run(queue, sender) == []


def test_a_text_that_is_still_lost_is_sent_again(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, services: Services
) -> None:
    """Twilio is asked once, and only about it: a text that was never lost costs no question."""
    row, _ = lost_text(stack, business, queue, sender, services)
    business.due_text(phone="+12125550124")
    stack.move_clock(HALF_AN_HOUR)
    before = stack.twilio.fetches
    assert run(queue, sender) == ["Sent", "Sent"]
    assert stack.twilio.fetches == before + 1
    assert [attempt["outcome"] for attempt in business.attempts_of(row)] == ["accepted", "accepted"]


def test_a_text_that_twilio_cannot_be_asked_about_waits_and_costs_nothing(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, services: Services
) -> None:
    """For five minutes, and says why; then it is asked about again."""
    row, sid = lost_text(stack, business, queue, sender, services)
    stack.move_clock(HALF_AN_HOUR)
    stack.twilio.fail(FetchError())
    [result] = results_of(run_over(queue, sender))
    assert result.fate == "Deferred"
    assert result.detail == f"It was lost as {sid}, and the provider could not be asked whether it arrived after all"
    waits = business.row(row)
    assert (waits["status"], waits["attempt_count"], waits["why"]) == ("pending", 1, result.detail)
    assert timedelta(minutes=4) < waits["scheduled_for"] - stack.now() <= timedelta(minutes=5)
    assert run(queue, sender) == []
    stack.move_clock(timedelta(minutes=5))
    assert run(queue, sender) == ["Sent"]
    assert len(stack.twilio.ledger.entries()) == 2


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


@pytest.mark.parametrize(
    ("harm", "mended", "status"),
    [
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
    ],
    ids=["no default", "sent by default", "no word of ours", "a message at all times"],
)
def test_a_send_log_that_cannot_say_that_its_text_waits_does_not_keep_it_from_being_sent_again(
    stack: Stack,
    business: Business,
    queue: SupabaseQueue,
    sender: TwilioSender,
    services: Services,
    harm: str,
    mended: str,
    status: str,
) -> None:
    """The look at it failed each time, with the body in the database's log; or the text was called sent, and ended."""
    row = business.due_text()
    assert run(queue, sender) == ["Sent"]
    [entry] = stack.twilio.ledger.entries()
    stack.twilio.report(entry.sid, "undelivered", 30008)
    stack.move_clock(timedelta(minutes=6))
    business.connection.execute(harm.encode())
    try:
        assert str(sync_deliveries(services, limit=10)) == "retried 1"
        assert (business.row(row)["status"], business.log_of(row)["status"]) == ("pending", status)
        stack.move_clock(HALF_AN_HOUR)
        assert run(queue, sender) == ["Sent"]
    finally:
        business.connection.execute(mended.encode())
    assert len(stack.twilio.ledger.entries()) == 2


def test_a_send_log_that_takes_no_word_keeps_its_text_as_it_is_and_says_why(
    stack: Stack,
    business: Business,
    queue: SupabaseQueue,
    sender: TwilioSender,
    services: Services,
    operators: SupabaseOperators,
) -> None:
    """By codes and names; then it goes on by itself. A person's requeue leaves it alone, and puts back the others."""
    row, _ = lost_text(stack, business, queue, sender, services, code=30007)
    other = business.due_text(phone="+12125550124")
    business.connection.execute("update sms_retry_queue set status = 'failed', last_error = 'x' where id = %s", [other])
    again = Requeue(retry_ids=(row, other), dry_run=False, who="Ann", because="The filter is gone")
    business.connection.execute(FORBIDDEN)
    try:
        change = ordered(operators, again)
        assert (change.matched, change.changed) == (2, 1)
        assert change.skipped == {"Its send log cannot be told that it waits: P0001": 1}
        assert (business.row(row)["status"], business.row(other)["status"]) == ("failed", "pending")
        third = business.due_text(phone="+12125550125")
        assert run(queue, sender) == ["Sent", "Sent"]
        stack.twilio.report(str(business.attempts_of(third)[0]["twilio_sid"]), "undelivered", 30008)
        stack.move_clock(timedelta(minutes=6))
        [error] = [one.why for one in sync_deliveries(services, limit=10).followed if one.message.retry_id == third]
        assert "cannot be told that its text waits: P0001" in error
        assert BODY not in error
        assert business.row(third)["status"] == "completed"
    finally:
        business.connection.execute(ALLOWED)
    assert ordered(operators, again).changed == 1


def test_each_message_that_was_lost_is_asked_about_also_after_a_send_that_never_was(
    stack: Stack,
    business: Business,
    queue: SupabaseQueue,
    sender: TwilioSender,
    services: Services,
    operators: SupabaseOperators,
) -> None:
    """Two were lost, a third never reached Twilio, and the first of them is on the phone."""
    row, first = lost_text(stack, business, queue, sender, services)
    stack.move_clock(HALF_AN_HOUR)
    assert run(queue, sender) == ["Sent"]
    second = str(business.attempts_of(row)[-1]["twilio_sid"])
    stack.twilio.report(second, "undelivered", 30008)
    stack.move_clock(timedelta(minutes=6))
    sync_deliveries(services, limit=10)
    ordered(operators, Requeue(retry_ids=(row,), dry_run=False, who="Ann", because="The customer asked"))
    stack.twilio.fail(DropUnaccepted())
    assert run(queue, sender) == ["InDoubt"]
    stack.twilio.report(first, "delivered")
    for _ in range(5):
        stack.move_clock(timedelta(minutes=16))
        run(queue, sender)
    assert len(stack.twilio.ledger.entries()) == 2
    log = business.log_of(row)
    assert (business.row(row)["status"], log["status"]) == ("completed", "delivered")
    assert log["provider_message_id"] == {"twilio_sid": first}


def queued_anew(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, services: Services
) -> tuple[UUID, UUID, str]:
    """A text whose message a carrier lost and whose next one Twilio refused; its rows, and the lost message."""
    row, sid = lost_text(stack, business, queue, sender, services)
    stack.move_clock(HALF_AN_HOUR)
    stack.twilio.fail(JsonError(21612, http_status=400))
    assert run(queue, sender) == ["Failed"]
    queued = queue_sms_retry(business.row(row)["send_log_id"], None, queue=queue)
    assert queued.result == "queued"
    assert queued.retry_id is not None
    return row, queued.retry_id, sid


def test_a_lost_message_is_asked_about_also_when_the_application_queues_the_text_anew(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, services: Services
) -> None:
    """A new row has no error, and so nobody had asked: the phone got the text twice."""
    _, new, sid = queued_anew(stack, business, queue, sender, services)
    stack.twilio.report(sid, "delivered")
    stack.move_clock(next_retry_delay(0))
    [result] = results_of(run_over(queue, sender))
    assert (result.fate, result.detail) == ("Sent", f"Arrived after all, as {sid}: it is not sent again")
    assert len(stack.twilio.ledger.entries()) == 1
    ended, log = business.row(new), business.log_of(new)
    assert (ended["status"], ended["attempt_count"]) == ("completed", 0)
    assert (log["status"], log["provider_message_id"], log["error_message"]) == ("delivered", {"twilio_sid": sid}, None)
    assert run(queue, sender) == []


def test_a_delivery_that_is_reported_calls_off_a_text_that_was_queued_anew(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, services: Services
) -> None:
    """As it does one that is to be sent again: neither row waits, and nobody has to ask."""
    row, new, sid = queued_anew(stack, business, queue, sender, services)
    business.connection.execute("select settle_sms_attempt(twilio_sid => %s, delivery_status => 'delivered')", [sid])
    assert [business.row(each)["status"] for each in (row, new)] == ["completed", "completed"]
    assert business.log_of(new)["status"] == "delivered"
    stack.move_clock(next_retry_delay(0))
    assert run(queue, sender) == []


def test_a_message_that_twilio_has_no_more_keeps_no_text_waiting(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, services: Services
) -> None:
    """Somebody deleted it there. What Twilio does not know it cannot know to be delivered."""
    lost_text(stack, business, queue, sender, services)
    stack.move_clock(HALF_AN_HOUR)
    stack.twilio.fail(FetchError(20404, http_status=404))
    assert run(queue, sender) == ["Sent"]
    assert len(stack.twilio.ledger.entries()) == 2
