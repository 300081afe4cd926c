"""What the provider's word on a lost message means for the next one, as a table, and how the pipeline asks for it."""

from contextlib import suppress
from datetime import timedelta
from typing import get_args

import pytest

from smsretry.errors import UnforeseenError
from smsretry.retry.decision import Arrived, Defer
from smsretry.retry.delivery import NotKept, Report, Word, before_sending_again
from smsretry.retry.profile import SEND_WITHIN_SECONDS
from smsretry.sending import pipeline
from smsretry.sending.flow_control import FlowControl
from smsretry.sending.pipeline import process_sms_retry_item
from smsretry.vocabulary import DeliveryStatus
from tests.support.builders import NOON, SID, claim_with
from tests.unit.fakes import FakeQueue, FakeSender

OTHER = "SM" + "f" * 32
SOON = NOON + timedelta(minutes=5)
UNASKED = f"It was lost as {SID}, and the provider could not be asked whether it arrived after all"
NOT_YET = f"Arrived after all, as {SID}; that could not be recorded yet"


def on_the_phone(status: DeliveryStatus = "delivered") -> Arrived:
    """Its row is completed. If that cannot be recorded, it is due again after half a minute."""
    return Arrived(SID, status, Defer(NOON + timedelta(seconds=30), None, NOT_YET, "delivery_open", ages=True))


TABLE: list[tuple[dict[str, Word], Arrived | Defer | None]] = [
    # what Twilio says of each lost message, what follows
    ({}, None),
    ({SID: Report("undelivered")}, None),
    ({SID: Report("failed")}, None),
    ({SID: Report("canceled")}, None),
    ({SID: NotKept()}, None),
    ({SID: Report("delivered")}, on_the_phone()),
    ({SID: Report("read")}, on_the_phone("read")),
    ({SID: None}, Defer(SOON, None, UNASKED, "delivery_open", ages=True)),
    ({OTHER: NotKept(), SID: None}, Defer(SOON, None, UNASKED, "delivery_open", ages=True)),
    ({OTHER: None, SID: Report("delivered")}, on_the_phone()),
]


@pytest.mark.parametrize(("said", "follows"), TABLE)
def test_a_text_is_sent_again_only_if_each_lost_message_still_is(
    said: dict[str, Word], follows: Arrived | Defer | None
) -> None:
    """One that is on the phone settles it, whatever is known of the others."""
    assert before_sending_again(said, at=NOON) == follows


@pytest.mark.parametrize("status", ["accepted", "scheduled", "queued", "sending", "sent"])
def test_a_text_waits_while_a_lost_message_is_on_its_way_again(status: DeliveryStatus) -> None:
    """Twilio has called it lost once. It says why it waits."""
    assert status in get_args(DeliveryStatus)
    why = f"It was lost as {SID}, and now the provider says {status}: it may still arrive"
    assert before_sending_again({SID: Report(status)}, at=NOON) == Defer(
        NOON + timedelta(minutes=15), None, why, "delivery_open", ages=True
    )


def test_a_text_that_arrived_is_recorded_and_not_begun() -> None:
    """And the flow control is free for the next one."""
    control, queue, sender = FlowControl(), FakeQueue(), FakeSender(words={SID: Report("delivered")})
    control.start_half_open()
    result = process_sms_retry_item(claim_with(lost_sids=[SID]), queue=queue, sender=sender, flow_control=control)
    assert (result.fate, result.detail) == ("Sent", f"Arrived after all, as {SID}: it is not sent again")
    assert (queue.told, sender.texts) == ([("arrived", on_the_phone())], [])
    assert process_sms_retry_item(claim_with(), queue=queue, sender=sender, flow_control=control).fate == "Sent"
    assert len(sender.texts) == 1


def test_an_arrival_that_a_worker_learns_of_after_it_lost_its_claim_is_anothers_to_tell() -> None:
    """Whoever has the row now asks, too."""
    queue, sender = FakeQueue(holds=False), FakeSender(words={SID: Report("delivered")})
    assert process_sms_retry_item(claim_with(lost_sids=[SID]), queue=queue, sender=sender).fate == "Lost"
    assert queue.calls == ["arrived"]


def test_a_text_that_was_never_lost_costs_no_question_and_neither_does_one_that_may_not_go_now() -> None:
    """The control is shut, or the text has expired: then it ends, whatever Twilio would say."""
    sender, control = FakeSender(), FlowControl()
    assert process_sms_retry_item(claim_with(), queue=FakeQueue(), sender=sender).fate == "Sent"
    control.stop("Enough")
    waiting = claim_with(lost_sids=[SID])
    assert process_sms_retry_item(waiting, queue=FakeQueue(), sender=sender, flow_control=control).fate == "GivenBack"
    expired = claim_with(lost_sids=[SID], expires_at=NOON, why=UNASKED)
    result = process_sms_retry_item(expired, queue=FakeQueue(), sender=sender)
    assert (result.fate, result.detail) == ("Cancelled", f"Expired before it could be sent. {UNASKED}")
    assert sender.asked_about == []


def test_what_twilio_said_too_long_ago_lets_nothing_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process was stopped between its answer and the request: the message may have arrived meanwhile."""
    clock = iter([0.0, 0.0, SEND_WITHIN_SECONDS + 1])
    monkeypatch.setattr(pipeline, "_stopwatch", lambda: next(clock))
    sender = FakeSender(words={SID: Report("undelivered")})
    result = process_sms_retry_item(claim_with(lost_sids=[SID]), queue=FakeQueue(), sender=sender)
    assert (result.fate, sender.texts) == ("RetryScheduled", [])


def test_a_text_whose_question_took_too_long_is_not_begun_and_asks_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """It had been begun and not sent, with the reason that this process had been stopped. The probe is free again."""
    clock = iter([0.0, SEND_WITHIN_SECONDS + 1, *[100.0] * 9])
    monkeypatch.setattr(pipeline, "_stopwatch", lambda: next(clock))
    control, queue, sender = FlowControl(), FakeQueue(), FakeSender(words={SID: Report("undelivered")})
    control.start_half_open()
    result = process_sms_retry_item(claim_with(lost_sids=[SID]), queue=queue, sender=sender, flow_control=control)
    assert (result.fate, result.next_at, queue.calls, sender.texts) == ("Deferred", SOON, ["put_off"], [])
    assert "The provider took very long" in result.detail
    put_off = queue.decisions[-1]
    assert isinstance(put_off, Defer)
    assert put_off.ages
    assert process_sms_retry_item(claim_with(), queue=queue, sender=sender, flow_control=control).fate == "Sent"


def test_a_probe_whose_question_failed_lets_the_next_text_be_it() -> None:
    """Twilio could not be asked, or the question met a bug; that tells nothing of sending."""

    class Broken(FakeSender):
        def what_became_of(self, sid: str, *, account: str | None) -> Word:
            raise ValueError("a bug")

    for sender in (FakeSender(words={SID: None}), Broken()):
        control = FlowControl()
        control.start_half_open()
        with suppress(UnforeseenError):
            process_sms_retry_item(claim_with(lost_sids=[SID]), queue=FakeQueue(), sender=sender, flow_control=control)
        assert (
            process_sms_retry_item(claim_with(), queue=FakeQueue(), sender=sender, flow_control=control).fate == "Sent"
        )
        assert len(sender.texts) == 1
