"""A text in doubt is settled by evidence: from the database, from Twilio's callback, from Twilio's list."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from smsretry import queue_sms_retry
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.desk.actions.requests import Requeue
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import (
    AcceptThenDrop,
    BrokenAnswer,
    DropUnaccepted,
    HtmlError,
    JsonError,
    ListError,
    SendFault,
)
from smsretry.retry.decision import Complete
from smsretry.retry.outcome import Accepted
from smsretry.retry.profile import DEFAULT, Profile
from tests.conftest import Business
from tests.support.builders import (
    SID,
    begin,
    finish,
    give_up,
    refused,
    resolution,
    retry,
    run,
)
from tests.support.claims import claim_doubtful, claim_due, claim_suspect
from tests.support.orders import ordered, resolve

HOLD = Profile(in_doubt="hold")
ACCEPTED = [
    AcceptThenDrop(),
    JsonError(20500, http_status=500, accepted=True),
    HtmlError(http_status=503, accepted=True),
    BrokenAnswer.EMPTY,
    BrokenAnswer.HTML,
    BrokenAnswer.TRUNCATED,
    BrokenAnswer.WITHOUT_SID,
]
UNACCEPTED = [DropUnaccepted(), JsonError(20500, http_status=500), HtmlError(http_status=503)]


def doubtful(stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, fault: SendFault) -> UUID:
    """A text whose answer was lost."""
    row = business.due_text()
    stack.twilio.fail(fault)
    assert run(queue, sender) == ["InDoubt"]
    return row


def is_due(business: Business) -> bool:
    """Whether a run would find something to do."""
    found = business.connection.execute(
        "select from sms_retry_queue where status = 'pending' and scheduled_for <= smsretry.clock()"
    )
    return found.fetchone() is not None


def wait_for_work(stack: Stack, business: Business) -> None:
    """Let whole minutes pass until something is due: the runs in between would find nothing."""
    for _ in range(60):
        stack.move_clock(timedelta(minutes=1))
        if is_due(business):
            return
    raise AssertionError("nothing is due within an hour")


def half_an_hour(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, profile: Profile = DEFAULT
) -> None:
    """A run at every full minute at which something is due."""
    for _ in range(30):
        stack.move_clock(timedelta(minutes=1))
        if is_due(business):
            run(queue, sender, profile)


@pytest.mark.parametrize("fault", ACCEPTED)
def test_a_text_that_twilio_has_is_found_in_its_list_and_completed(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, fault: SendFault
) -> None:
    """Whatever broke the answer; nobody gets it twice."""
    row = doubtful(stack, business, queue, sender, fault)
    stack.move_clock(timedelta(minutes=1, seconds=1))
    assert run(queue, sender) == ["Sent"]
    (message,) = stack.twilio.ledger.entries()
    (attempt,) = business.attempts_of(row)
    assert (attempt["outcome"], attempt["settled_by"], attempt["twilio_sid"]) == ("accepted", "reconcile", message.sid)
    assert business.row(row)["status"] == "completed"
    assert business.log_of(row)["provider_message_id"] == {"twilio_sid": message.sid}


@pytest.mark.parametrize("fault", UNACCEPTED)
def test_a_text_that_twilio_does_not_have_is_sent_again_after_three_looks_and_fifteen_minutes(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, fault: SendFault
) -> None:
    """Not before; then exactly once."""
    row = doubtful(stack, business, queue, sender, fault)
    began = stack.now()
    fates = []
    while not stack.twilio.ledger.entries():
        assert stack.now() - began < timedelta(hours=1)
        wait_for_work(stack, business)
        fates += [(fate, (stack.now() - began) / timedelta(minutes=1)) for fate in run(queue, sender)]
    assert [fate for fate, _ in fates] == ["InDoubt", "InDoubt", "RetryScheduled", "Sent"]
    assert fates[-1][1] >= 15
    assert business.row(row)["reconcile_count"] == 0, "another doubt would be looked at as often"
    assert [attempt["outcome"] for attempt in business.attempts_of(row)] == ["not_sent", "accepted"]
    assert business.row(row)["attempt_count"] == 2


def test_with_the_policy_hold_a_person_decides(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """The row is held with what to do, its attempt stays in doubt, and nothing is sent."""
    row = doubtful(stack, business, queue, sender, DropUnaccepted())
    half_an_hour(stack, business, queue, sender, HOLD)
    held = business.row(row)
    assert (held["status"], held["in_doubt_since"] is not None, held["held_since"] is not None) == (
        "pending",
        True,
        True,
    )
    assert held["why"].startswith("In doubt: no evidence after 3 looks")
    assert [attempt["outcome"] for attempt in business.attempts_of(row)] == ["in_doubt"]
    assert not stack.twilio.ledger.entries()


def test_a_look_that_failed_is_not_an_absence(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Hours without Twilio's list send nothing again, and from the first on a person is told; then it is found."""
    row = doubtful(stack, business, queue, sender, AcceptThenDrop())
    stack.twilio.fail(ListError(), times=None)
    for minutes in range(20, 500, 20):
        stack.move_clock(timedelta(minutes=20))
        assert run(queue, sender) == ["InDoubt" if minutes < 60 else "Held"]
    assert business.row(row)["reconcile_count"] == 0
    stack.twilio.heal()
    stack.move_clock(timedelta(minutes=20))
    assert run(queue, sender) == ["Sent"]
    assert len(stack.twilio.ledger.entries()) == 1


def test_a_callback_settles_the_text_before_any_look(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """The status callback URL carried the attempt's id; the webhook passes it on."""
    row = doubtful(stack, business, queue, sender, AcceptThenDrop())
    attempt = business.row(row)["attempt_id"]
    assert settle(business, attempt) == "settled"
    assert settle(business, attempt) == "already_settled"
    assert business.row(row)["status"] == "completed"
    assert business.attempts_of(row)[0]["settled_by"] == "callback"
    assert business.log_of(row)["provider_message_id"] == {"twilio_sid": SID}
    stack.move_clock(timedelta(hours=1))
    assert run(queue, sender) == []


@pytest.mark.parametrize("meanwhile", ["under way", "completed", "failed"])
def test_a_callback_about_an_earlier_send_of_the_row_leaves_the_row_to_the_later_one(
    stack: Stack, business: Business, queue: SupabaseQueue, meanwhile: str
) -> None:
    """Its send log says that it was sent, and keeps the message that it names."""
    row, sends = business.due_text(), [uuid4(), uuid4()]
    (claim,) = claim_due(queue, 1)
    begin(queue, claim, sends[0])
    finish(queue, claim, sends[0], refused(30003), retry())
    stack.move_clock(timedelta(minutes=2))
    (claim,) = claim_due(queue, 1)
    begin(queue, claim, sends[1])
    named = SID
    if meanwhile == "completed":
        named = "SM" + "1" * 32
        finish(queue, claim, sends[1], Accepted(named), Complete("Accepted", sid=named))
    elif meanwhile == "failed":
        finish(queue, claim, sends[1], refused(30003), give_up())
    before = business.row(row)
    assert settle(business, sends[0]) == "recorded"
    assert business.row(row) == before
    assert [attempt["claim_no"] for attempt in business.attempts_of(row)] == [1, 2]
    log = business.log_of(row)
    assert (log["status"], log["provider_message_id"]) == ("sent", {"twilio_sid": named})


@pytest.mark.parametrize("status", ["sent", "delivered", "undelivered"])
def test_a_send_log_that_the_application_marked_as_sent_is_evidence(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, status: str
) -> None:
    """Its webhook may know the status and not the attempt."""
    row = doubtful(stack, business, queue, sender, AcceptThenDrop())
    business.connection.execute("update send_logs set status = %s", [status])
    stack.twilio.fail(ListError(), times=None)
    stack.move_clock(timedelta(minutes=2))
    assert run(queue, sender) == ["Sent"]
    assert business.row(row)["status"] == "completed"
    log = business.log_of(row)
    assert (log["status"], log["provider_message_id"]) == (status, None)


def test_a_text_that_expired_in_doubt_may_still_be_found_to_have_gone_out(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, operators: SupabaseOperators
) -> None:
    """As its last error asks for. The row has ended; its send log says what the customer knows, and nothing is sent."""
    row = doubtful(stack, business, queue, sender, AcceptThenDrop())
    stack.twilio.fail(ListError(), times=None)
    stack.move_clock(timedelta(hours=49))
    assert run(queue, sender) == ["Failed"]
    assert business.row(row)["last_error"] == (
        "In doubt: the provider's list could not be had. Look in the provider's log, then `smsretry texts resolve`"
    )
    (entry,) = stack.twilio.ledger.entries()

    assert resolve(operators, resolution(row, entry.sid))
    assert resolve(operators, resolution(row, entry.sid)), "the first answer may have been lost"
    assert not resolve(operators, resolution(row, SID))

    log = business.log_of(row)
    assert (log["status"], log["error_message"]) == ("sent", None)
    assert log["provider_message_id"] == {"twilio_sid": entry.sid}
    assert business.row(row)["status"] == "failed"
    (attempt,) = business.attempts_of(row)
    assert (attempt["outcome"], attempt["settled_by"], attempt["sent_to"]) == ("accepted", "operator", None)
    assert queue_sms_retry(log["id"], None, queue=queue).result == "already_sent"


def test_a_text_that_expired_in_doubt_and_did_not_go_out_may_be_requeued(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, operators: SupabaseOperators
) -> None:
    """Once a person has said so, and not before."""
    row = doubtful(stack, business, queue, sender, DropUnaccepted())
    stack.twilio.fail(ListError(), times=None)
    stack.move_clock(timedelta(hours=49))
    assert run(queue, sender) == ["Failed"]
    requeue = Requeue(retry_ids=[row], dry_run=False, who="Ann", because="It never went out")
    assert ordered(operators, requeue).changed == 0
    assert resolve(operators, resolution(row, None))
    assert business.row(row)["status"] == "failed"
    assert ordered(operators, requeue).changed == 1
    assert run(queue, sender) == ["Sent"]


def test_a_persons_word_waits_while_a_worker_looks(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, operators: SupabaseOperators
) -> None:
    """The worker may be finding the message at this moment."""
    row = doubtful(stack, business, queue, sender, AcceptThenDrop())
    wait_for_work(stack, business)
    assert len(claim_doubtful(queue, 1)) == 1
    before = business.attempts_of(row)
    assert not resolve(operators, resolution(row, None))
    assert business.attempts_of(row) == before


def test_a_decision_whose_answer_is_lost_is_still_the_decision(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Not a lost claim."""
    doubtful(stack, business, queue, sender, AcceptThenDrop())
    stack.move_clock(timedelta(minutes=2))
    stack.rpc_faults.drop_after_commit("reconcile_sms_retry", times=1)
    assert run(queue, sender) == ["Sent"]


def test_a_doubt_outlives_every_worker_that_dies_over_it(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """To give it up would call a text failed that its reader has."""
    row = doubtful(stack, business, queue, sender, AcceptThenDrop())
    for _ in range(10):
        stack.move_clock(timedelta(minutes=16))
        assert len([*claim_doubtful(queue, 1), *claim_suspect(queue)]) == 1
        stack.move_clock(timedelta(minutes=11))
        queue.recover(10)
    stack.move_clock(timedelta(minutes=16))
    assert run(queue, sender) == ["Sent"]
    assert business.row(row)["status"] == "completed"


def test_a_text_in_doubt_is_not_given_to_who_would_simply_send_it(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """The application's own call of claim_due_sms_retries never returns one, and it cannot be begun."""
    doubtful(stack, business, queue, sender, AcceptThenDrop())
    stack.move_clock(timedelta(hours=1))
    assert business.connection.execute("select from claim_due_sms_retries(10)").fetchall() == []
    (claim,) = queue.claim_texts(10).texts
    assert begin(queue, claim).answer == "lost"


def settle(business: Business, attempt: UUID) -> str:
    """As the application's webhook does."""
    found = business.connection.execute("select settle_sms_attempt(%s, %s) as answer", [attempt, SID]).fetchone()
    assert found is not None
    return str(found["answer"])
