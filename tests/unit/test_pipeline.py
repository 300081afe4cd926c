"""The branches of the one way through that a real database and a real provider cannot be made to take."""

import time
import traceback
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import pytest

from smsretry.errors import QueueBusy, QueueError, QueueUnreachable, UnforeseenError
from smsretry.retry.answers import Begun
from smsretry.retry.decision import Defer, Fail, GiveBack, Retry, Send
from smsretry.retry.models import ItemResult
from smsretry.retry.outcome import Accepted, InDoubt, NotSent
from smsretry.retry.profile import SEND_WITHIN_SECONDS, Audience
from smsretry.sending import pipeline
from smsretry.sending.flow_control import EVERYBODY, FlowControl
from smsretry.sending.pipeline import process_sms_retry_item
from smsretry.sending.ports import Batch
from smsretry.vocabulary import Fate
from tests.support.builders import AT_ONCE, BODY, CLOSING, NOON, OPENING, PHONE, SID, begun, claim_with, refused
from tests.unit.fakes import FakeQueue, FakeSender

LAST_HOLD = CLOSING - timedelta(seconds=60)
LAST_CALL = LAST_HOLD - timedelta(seconds=10)


def ending(queue: FakeQueue) -> Fail:
    """The decision that the queue was told last, which ended the row."""
    ended = queue.decisions[-1]
    assert isinstance(ended, Fail)
    return ended


# Unforeseen errors before the send

QUOTES = (
    PHONE,
    "12125550123",
    "(212) 555-0123",
    "212-555-0123",
    "+1 212 555 0123",
    "212.555.0123",
    BODY,
    f"to={PHONE} body={BODY!r}",
    "'Hi Ann,\\nthanks for visiting Maple Street.'",  # escaped, as in KeyError(body)
    "input_value='Hi Ann,\\nthanks for visi...'",  # cut short, as by pydantic
)


def test_an_unforeseen_error_fails_its_row_and_quotes_nobody() -> None:
    """The row ends with kind and place. Prefect stores a whole chain of exceptions, so there is no chain."""
    for quote in QUOTES:
        queue, sender = FakeQueue(trouble={"begin": KeyError(f"no such thing: {quote}!")}), FakeSender()
        claim = claim_with(body="Hi Ann,\nthanks for visiting Maple Street." if "Hi Ann" in quote else BODY)
        with pytest.raises(UnforeseenError) as raised:
            process_sms_retry_item(claim, queue=queue, sender=sender)
        assert (queue.calls, sender.texts) == (["begin", "put_off"], [])
        ended = ending(queue)
        assert ended.why.startswith("Unforeseen KeyError at fakes.py:")
        assert str(raised.value) == f"Row {UUID(int=1)}: {ended.why}"
        assert (raised.value.__cause__, raised.value.__context__) == (None, None)
        everything = "".join(traceback.format_exception(raised.value))
        for private in (quote, BODY, "2125550123", "555-0123", "555 0123", "555.0123", "Maple Street", "Hi Ann"):
            assert private not in everything


def test_the_message_of_an_unforeseen_error_is_kept_short() -> None:
    """It is stored in a column and shown in a list."""
    queue = FakeQueue(trouble={"begin": ValueError("long " * 1000)})
    with pytest.raises(UnforeseenError):
        process_sms_retry_item(claim_with(), queue=queue, sender=FakeSender())
    assert len(ending(queue).why) == 500


# Errors of the queue


def test_an_error_of_the_queue_passes_through_as_it_is() -> None:
    """The row keeps its state until recovery takes it back; nothing more is asked of the queue."""
    trouble = QueueUnreachable("Supabase did not answer")
    for call, at, made in (("finish", NOON, ["begin", "finish"]), ("put_off", CLOSING, ["put_off"])):
        queue = FakeQueue(trouble={call: trouble})
        with pytest.raises(QueueError) as raised:
            process_sms_retry_item(claim_with(claimed_at=at), queue=queue, sender=FakeSender())
        assert raised.value is trouble
        assert queue.calls == made


def test_a_begin_that_cannot_be_asked_puts_its_text_behind_the_others_and_shuts_the_flow_control() -> None:
    """It is due again at the next run, and no other begins. If it had begun and the answer was lost, that stays."""
    trouble = QueueUnreachable("Supabase did not answer")
    queue, sender, control = FakeQueue(trouble={"begin": trouble}), FakeSender(), FlowControl()
    result = process_sms_retry_item(claim_with(), queue=queue, sender=sender, flow_control=control)
    assert (result.fate, result.detail) == ("Deferred", "Supabase did not answer")
    assert queue.calls == ["begin", "put_off"]
    until = NOON + timedelta(seconds=30)
    assert queue.decisions[-1] == Defer("Supabase did not answer", "database_trouble", until=until)
    assert control.database_trouble == result.detail
    assert sender.texts == []


def test_a_claim_that_cannot_be_given_back_either_says_so() -> None:
    """Recovery takes it back; flow control is shut all the same."""
    trouble = QueueUnreachable("Supabase did not answer")
    control = FlowControl()
    with pytest.raises(QueueUnreachable) as raised:
        process_sms_retry_item(
            claim_with(),
            queue=FakeQueue(trouble={"begin": trouble, "put_off": trouble}),
            sender=FakeSender(),
            flow_control=control,
        )
    assert raised.value is trouble
    assert control.database_trouble == "Supabase did not answer"


def test_a_begin_that_waited_for_a_lock_puts_its_text_off_for_a_minute() -> None:
    """And tells nothing of the database: the others go on."""
    queue, sender, control = FakeQueue(trouble={"begin": QueueBusy("locked")}), FakeSender(), FlowControl()
    result = process_sms_retry_item(claim_with(), queue=queue, sender=sender, flow_control=control)
    assert (result.fate, result.next_at) == ("Deferred", NOON + timedelta(minutes=1))
    assert (control.database_trouble, control.stopped_because, sender.texts) == (None, None, [])


def test_a_queue_that_fails_while_a_row_is_failed_is_what_is_told() -> None:
    """Even then the unforeseen error, which may quote the customer, is not carried along."""
    trouble = QueueUnreachable("Supabase did not answer")
    queue = FakeQueue(trouble={"begin": ValueError(PHONE), "put_off": trouble})
    with pytest.raises(QueueUnreachable) as raised:
        process_sms_retry_item(claim_with(), queue=queue, sender=FakeSender())
    assert raised.value is trouble
    assert (raised.value.__cause__, raised.value.__context__) == (None, None)


# Errors of the sender


def test_a_sender_that_raises_leaves_its_text_in_doubt() -> None:
    """The request may have left; the row is finished as in doubt, with kind and place and without the number."""
    queue, sender = FakeQueue(), FakeSender(RuntimeError(f"failed for {PHONE}: {BODY}"))
    result = process_sms_retry_item(claim_with(), queue=queue, sender=sender)
    assert (result.fate, queue.calls, queue.outcomes) == ("InDoubt", ["begin", "finish"], [InDoubt(result.detail)])
    assert result.detail.startswith("Unforeseen RuntimeError at fakes.py:")
    assert PHONE not in result.detail


# Lost claims


def test_a_worker_that_lost_its_claim_says_so() -> None:
    """Whatever became of the request, or of the decision to make none, the row is another's."""
    for outcome in (Accepted(SID), refused(30003), refused(21211), NotSent("Not reached"), InDoubt("No answer")):
        result = process_sms_retry_item(claim_with(), queue=FakeQueue(holds=False), sender=FakeSender(outcome))
        assert (result.fate, result.next_at, result.code) == ("Lost", None, None)
    for changes in ({"claimed_at": CLOSING}, {"phone": None}):
        queue, sender = FakeQueue(holds=False), FakeSender()
        assert process_sms_retry_item(claim_with(**changes), queue=queue, sender=sender).fate == "Lost"
        assert (queue.calls, sender.texts) == (["put_off"], [])


# A window that closes on the way


def test_a_text_whose_window_closed_on_the_way_is_decided_anew_by_the_databases_clock() -> None:
    """Claimed at 20:58, it begins at 21:00: it waits for the morning and is not sent."""
    queue = FakeQueue(answers=[begun("closed", at=CLOSING)])
    sender = FakeSender()
    result = process_sms_retry_item(
        claim_with(claimed_at=CLOSING - timedelta(minutes=2)), queue=queue, sender=sender, profile=AT_ONCE
    )
    assert (result.fate, result.next_at) == ("Deferred", OPENING)
    assert queue.decisions[-1] == Defer(result.detail, "quiet_hours", until=OPENING, for_window=True)
    assert (queue.calls, sender.texts) == (["begin", "put_off"], [])


def test_a_text_that_waited_through_the_night_on_the_way_is_sent_in_the_new_window() -> None:
    """The second beginning carries the closing of the day it is made on."""
    queue = FakeQueue(answers=[begun("closed", at=OPENING)])
    result = process_sms_retry_item(claim_with(), queue=queue, sender=FakeSender())
    assert result.fate == "Sent"
    assert [decision.send_before for decision in queue.decisions if isinstance(decision, Send)] == [
        LAST_CALL,
        LAST_CALL + timedelta(days=1),
    ]


# The control


def test_a_shut_flow_control_gives_a_text_back_untouched() -> None:
    """To the time it was due, with the reason it had, unsent; the run's reason is told."""
    control, queue, sender = FlowControl(), FakeQueue(), FakeSender()
    control.stop("This run was asked to stop")
    claim = claim_with()
    result = process_sms_retry_item(claim, queue=queue, sender=sender, flow_control=control)
    assert (result.fate, result.detail, result.next_at) == ("GivenBack", "This run was asked to stop", None)
    assert queue.told == [("put_off", GiveBack("This run was asked to stop", "sending_stopped"))]
    assert sender.texts == []


ANSWERS: list[tuple[Literal["ended", "held", "lost"], Fate, datetime | None]] = [
    ("ended", "Cancelled", None),
    ("held", "Held", OPENING),
    ("lost", "InDoubt", NOON),
]


def test_a_send_that_may_not_begin_says_why() -> None:
    """In words, and in the word that is counted by. Only who holds it says when it goes on.

    One that is lost for a reason is in doubt by another row of the text: it is looked for at once.
    """
    for answer, fate, next_at in ANSWERS:
        told = Begun(answer=answer, why="Gone", decided_at=NOON, reached_at=OPENING, why_code="no_phone")
        sender = FakeSender()
        result = process_sms_retry_item(claim_with(), queue=FakeQueue(answers=[told]), sender=sender)
        expected = ItemResult(retry_id=claim_with().id, fate=fate, detail="Gone", why_code="no_phone", next_at=next_at)
        assert (result, sender.texts) == (expected, [])


def test_a_text_to_somebody_who_is_not_listed_asks_the_database_alone() -> None:
    """It ends there. Neither credentials nor a flow control that lets nothing through keep it from that."""
    control = FlowControl()
    control.stop("Enough")
    told = Begun(answer="ended", why="Not listed", decided_at=NOON, why_code="opted_out")
    for trouble, fate, why_code in (
        (None, "Cancelled", "opted_out"),
        (QueueBusy("locked"), "Deferred", "customer_locked"),
        (QueueUnreachable("away"), "Deferred", "database_trouble"),
    ):
        queue = FakeQueue(answers=[told], trouble={"begin": trouble} if trouble else {})
        sender = FakeSender(audience=Audience("nobody"), no_credentials={FakeSender().default.account or "": "None"})
        result = process_sms_retry_item(claim_with(lost_sids=[SID]), queue=queue, sender=sender, flow_control=control)
        assert (result.fate, result.why_code, queue.calls[0]) == (fate, why_code, "begin")
        assert (sender.texts, sender.asked_about) == ([], [])


def test_a_shut_flow_control_does_not_keep_evidence_from_being_looked_for() -> None:
    """A look sends nothing."""
    control, sender = FlowControl(), FakeSender()
    control.stop("Enough")
    claim = claim_with(in_doubt_since=NOON, attempt_begun_at=NOON, sent_to=PHONE, sent_body=BODY)
    assert process_sms_retry_item(claim, queue=FakeQueue(), sender=sender, flow_control=control).fate == "InDoubt"
    assert len(sender.looks) == 1


def test_a_trial_that_did_not_begin_leaves_stopped_what_it_tried() -> None:
    """Its customer had opted out, say; that tells nothing of the provider. The next claim brings another one."""
    answers: list[Literal["ended", "lost", "capped", "changed", "busy"]] = [
        "ended", "lost", "capped", "changed", "busy",
    ]  # fmt: skip
    for answer in answers:
        control, claim = FlowControl(), claim_with()
        control.claimed(Batch([claim], [EVERYBODY]))
        queue = FakeQueue(answers=[begun(answer, why="Gone")])
        assert process_sms_retry_item(claim, queue=queue, sender=FakeSender(), flow_control=control).fate != "Sent"
        assert not control.lifted
        assert process_sms_retry_item(claim, queue=queue, sender=FakeSender(), flow_control=control).fate == "Sent"
        assert control.lifted == {EVERYBODY}


# What the provider is told


def test_a_provider_may_keep_a_text_as_long_as_it_may_still_go_out() -> None:
    """To a minute before the closing or to its expiry, counted from when the send began by the database's clock."""
    hour, later = timedelta(hours=1), NOON + timedelta(days=3)
    for expires_at, decided_at, valid_for in (
        (later, NOON, LAST_HOLD - NOON),
        (later, NOON + 2 * hour, LAST_HOLD - NOON - 2 * hour),
        (NOON + hour, NOON, hour),
    ):
        queue, sender = FakeQueue(answers=[begun(at=decided_at)]), FakeSender()
        process_sms_retry_item(claim_with(expires_at=expires_at), queue=queue, sender=sender)
        assert [text.valid_for for text in sender.texts] == [valid_for]


# A process that was stopped


def test_a_text_leaves_within_fifteen_seconds_of_asking_to_begin_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Later, another worker may have the row: nothing was sent, which is certain, and costs no attempt.

    A slow database and a process that was stopped look the same from here. The text goes on in the next run.
    """
    for seconds in (0.0, SEND_WITHIN_SECONDS, SEND_WITHIN_SECONDS + 0.1):
        stopwatch = iter([1000.0, 1000.0 + seconds])
        monkeypatch.setattr("smsretry.sending.pipeline._stopwatch", lambda watch=stopwatch: next(watch))
        queue, sender = FakeQueue(), FakeSender()
        result = process_sms_retry_item(claim_with(attempt_count=2), queue=queue, sender=sender)
        in_time = seconds <= SEND_WITHIN_SECONDS
        assert (result.fate, len(sender.texts)) == (("Sent", 1) if in_time else ("RetryScheduled", 0))
        assert [type(outcome) for outcome in queue.outcomes] == [Accepted if in_time else NotSent]
    decided = queue.decisions[-1]
    assert isinstance(decided, Retry)
    assert (decided.counted, decided.reason, decided.delay < timedelta(minutes=1)) == (False, None, True)


def test_each_beginning_has_its_own_fifteen_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window that closed on the way does not use up the next one's."""
    stopwatch = iter([0.0, 60.0, 61.0])
    monkeypatch.setattr("smsretry.sending.pipeline._stopwatch", lambda: next(stopwatch))
    queue = FakeQueue(answers=[begun("closed", at=OPENING)])
    assert process_sms_retry_item(claim_with(), queue=queue, sender=FakeSender()).fate == "Sent"


def test_the_stopwatch_goes_on_while_the_machine_sleeps() -> None:
    """CLOCK_BOOTTIME does; CLOCK_MONOTONIC does not, so a lease could run out unseen."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        before = time.clock_gettime(time.CLOCK_BOOTTIME)
        assert before <= pipeline._stopwatch() <= time.clock_gettime(time.CLOCK_BOOTTIME)


# A report that came first


def test_a_send_without_an_answer_that_was_reported_is_sent() -> None:
    """The callback was faster than the time-out."""
    sender = FakeSender(InDoubt("No answer"))
    result = process_sms_retry_item(claim_with(), queue=FakeQueue(reported=True), sender=sender)
    assert result.fate == "Sent"
