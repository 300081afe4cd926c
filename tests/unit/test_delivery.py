"""What follows from a report on a message, as tables; and when somebody should know that fewer texts arrive."""

from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from smsretry.adapters.twilio.errors import twilio_report as report
from smsretry.desk.questions.queue_status import QueueStatus, StatusLine
from smsretry.errors import UnforeseenError
from smsretry.retry.decision import Arrived, Defer, Fail, Hold, LookAgain, Retry
from smsretry.retry.delivery import (
    Close,
    Denied,
    NotKept,
    OpenDelivery,
    Report,
    Word,
    after_delivery,
    before_sending_again,
    look_before,
)
from smsretry.retry.outcome import Refusal
from smsretry.retry.profile import SEND_WITHIN_SECONDS, Profile
from smsretry.sending import pipeline
from smsretry.sending.flow_control import FlowControl
from smsretry.sending.pipeline import process_sms_retry_item
from smsretry.vocabulary import DeliveryStatus
from tests.support.builders import NOON, SID, claim_with
from tests.unit.fakes import FakeQueue, FakeSender

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
OTHER = "SM" + "f" * 32


def message(**changes: Any) -> OpenDelivery:
    """A message that was accepted ten minutes ago, the text's first."""
    row: dict[str, Any] = {
        "attempt_id": UUID(int=1), "looks": 1, "retry_id": UUID(int=2), "business_id": UUID(int=3),
        "customer_id": UUID(int=4), "send_log_id": UUID(int=5), "twilio_sid": SID,
        "accepted_at": NOON - 10 * MINUTE, "delivery_status": None, "delivery_code": None, "failures": 1,
        "attempt_count": 1, "max_attempts": 3, "expires_at": NOON + 47 * HOUR, "settled": False,
        "may_have_arrived": False, "claimed_at": NOON, "day_turns_at": NOON + 15 * HOUR,
    }  # fmt: skip
    return OpenDelivery.model_validate(row | changes)


ON_ITS_WAY: list[DeliveryStatus] = ["accepted", "scheduled", "queued", "sending", "sent"]
UNASKED = "The provider could not be asked"
NOT_KEPT = "The provider has no such message: it was deleted there, or it is another account's"
DENIED = "The provider lets nobody here ask about this account's messages: check its credentials and state"
LOST = "Not delivered: Twilio 30003: Unreachable destination handset"
UNREGISTERED = (
    "Not delivered: Twilio 30034: US A2P 10DLC - Message from an Unregistered Number. "
    "Register the number: add it to a messaging service that has a verified A2P campaign"
)
SPENT = (
    "Not delivered: Twilio 30027: US A2P 10DLC - T-Mobile Daily Message Limit Reached. "
    "Wait: the carrier's cap for the brand turns over at midnight Pacific time"
)
TOO_FAST = (
    "Not delivered: Twilio 30022: US A2P 10DLC - Rate Limits Exceeded. "
    "Set the sender's segments a second to what its A2P campaign may send"
)
WATCHED = LookAgain("It did not arrive; a late delivery would still count", "undelivered", look_in=5 * MINUTE)
OTHER_UNDER_WAY = LookAgain("Another message of this text may still arrive", "delivery_open", look_in=15 * MINUTE)


def look_again(minutes: int, why: str) -> LookAgain:
    """Because it is still on its way, or nothing was said of it."""
    return LookAgain(why, "delivery_open", look_in=minutes * MINUTE)


def given_up(why: str, code: int | None = None, **number: Any) -> Fail:
    """For good."""
    return Fail(why, "opted_out" if "opted_out" in number else "undelivered", code, **number)


def held(minutes: int) -> Hold:
    """Until its sender's number is registered."""
    return Hold(UNREGISTERED, "account_refused", 30034, look_in=minutes * MINUTE)


def spent(hours: int) -> Retry:
    """Until the carriers' day turns over. It counts as no attempt."""
    return Retry(SPENT, "day_spent", 30027, delay=hours * HOUR)


LOST_REPORT, UNREGISTERED_REPORT, SPENT_REPORT = (report("undelivered", code) for code in (30003, 30034, 30027))
LONG_AGO = NOON - 3 * DAY
TABLE: list[tuple[dict[str, Any], Word, object]] = [
    # what is known of the message, the report, what follows
    ({}, report("delivered", None), Close()),
    ({}, report("read", None), Close()),
    *(({}, report(status, None), look_again(5, f"The provider says {status}")) for status in ON_ITS_WAY),
    ({"looks": 9}, report("sent", None), look_again(720, "The provider says sent")),
    ({"accepted_at": LONG_AGO}, report("sent", None), Close(unknown=True)),
    # Nothing is said of it.
    ({}, None, look_again(5, UNASKED)),
    ({"looks": 2}, None, look_again(15, UNASKED)),
    ({"looks": 9}, Denied(), look_again(720, DENIED)),
    ({}, NotKept(), look_again(5, NOT_KEPT)),
    ({"delivery_status": "undelivered"}, None, look_again(5, UNASKED)),
    ({"accepted_at": LONG_AGO}, None, Close(unknown=True)),
    ({"accepted_at": LONG_AGO}, NotKept(), Close(unknown=True)),
    ({"accepted_at": LONG_AGO, "delivery_status": "undelivered"}, None, Close()),
    # It was lost.
    ({}, LOST_REPORT, Retry(LOST, "undelivered", 30003, delay=30 * MINUTE, counted=True)),
    ({"settled": True}, LOST_REPORT, WATCHED),
    ({"settled": True, "accepted_at": LONG_AGO}, LOST_REPORT, Close()),
    ({"failures": 2}, LOST_REPORT, given_up(f"{LOST}; sent 2 times", 30003)),
    ({"attempt_count": 3}, LOST_REPORT, given_up(LOST, 30003)),
    ({"expires_at": NOON + 30 * MINUTE}, LOST_REPORT, given_up(
        f"{LOST}; it expires before it could be sent again", 30003)),
    ({"may_have_arrived": True}, LOST_REPORT, OTHER_UNDER_WAY),
    ({"may_have_arrived": True, "expires_at": NOON}, LOST_REPORT, Close()),
    ({}, report("failed", 30006), given_up(
        "Not delivered: Twilio 30006: Landline or unreachable carrier", 30006, phone_status="not_mobile")),
    ({}, report("failed", 30630), given_up(
        "Not delivered: Twilio 30630: Attempt to send to unsubscribed recipient", 30630, opted_out=True)),
    ({}, report("canceled", None), given_up("Not delivered: the provider reports it canceled, and not why")),
    # What is its sender's costs nothing: neither an attempt nor one of the texts that may be sent again.
    ({}, UNREGISTERED_REPORT, held(30)),
    ({"failures": 9, "attempt_count": 3}, UNREGISTERED_REPORT, held(30)),
    ({"excused": 1}, UNREGISTERED_REPORT, held(120)),
    ({"excused": 9}, UNREGISTERED_REPORT, held(720)),
    ({"excused": 9, "expires_at": NOON + 2 * HOUR}, UNREGISTERED_REPORT, held(120)),
    ({"expires_at": NOON + 9 * MINUTE}, UNREGISTERED_REPORT, held(9)),
    ({"expires_at": NOON - 2 * HOUR}, UNREGISTERED_REPORT, held(0)),
    ({"settled": True}, UNREGISTERED_REPORT, WATCHED),
    ({"may_have_arrived": True}, UNREGISTERED_REPORT, OTHER_UNDER_WAY),
    ({}, SPENT_REPORT, spent(15)),
    ({"failures": 9, "attempt_count": 3, "excused": 9}, SPENT_REPORT, spent(15)),
    ({"day_turns_at": None, "excused": 3}, SPENT_REPORT, spent(12)),
    ({"expires_at": NOON + 2 * HOUR}, SPENT_REPORT, spent(2)),
    ({"excused": 1}, report("undelivered", 30022), Retry(TOO_FAST, "rate_limited", 30022, delay=2 * HOUR)),
    ({}, Report("undelivered", Refusal("rate_limit", "Slower")), Retry(
        "Not delivered: Slower", "rate_limited", delay=30 * MINUTE)),
]  # fmt: skip


@pytest.mark.parametrize(("known", "said", "follows"), TABLE)
def test_what_follows_from_a_report(known: dict[str, Any], said: Word, follows: object) -> None:
    """The whole rule."""
    assert after_delivery(message(**known), said) == follows


@pytest.mark.parametrize(("retries", "failures", "minutes"), [(0, 1, None), (1, 1, 30), (1, 2, None), (2, 2, 120)])
def test_a_text_is_sent_again_as_often_as_the_owner_says(retries: int, failures: int, minutes: int | None) -> None:
    """Not at all, with 0. Each time it waits longer, and an arrival in time stops the next message."""
    profile = Profile(delivery_retries=retries)
    decision = after_delivery(message(failures=failures), report("undelivered", 30008), profile=profile)
    if minutes is None:
        assert isinstance(decision, Fail)
    else:
        assert isinstance(decision, Retry)
        assert decision.delay == minutes * MINUTE
        assert decision.delay / 2 < look_before(decision.delay) < decision.delay


def test_whom_a_carrier_blames() -> None:
    """A filter and a registration are the sender's; a phone is not."""
    for code, blamed in ((30003, False), (30006, False), (30007, True), (30034, True), (None, False)):
        assert report("undelivered", code).blames_the_sender is blamed


# Before the next message


def on_the_phone(status: DeliveryStatus = "delivered") -> Arrived:
    """Its row is completed."""
    return Arrived(f"Arrived after all, as {SID}: it is not sent again", sid=SID, status=status)


UNANSWERED = Defer(
    f"It was lost as {SID}, and the provider could not be asked whether it arrived after all",
    "delivery_open",
    until=NOON + 5 * MINUTE,
)
SAID: list[tuple[dict[str, Word], Arrived | Defer | None]] = [
    # what the provider says of each lost message, what follows
    ({}, None),
    ({SID: Report("undelivered")}, None),
    ({SID: Report("failed")}, None),
    ({SID: Report("canceled")}, None),
    ({SID: NotKept()}, None),
    ({SID: Report("delivered")}, on_the_phone()),
    ({SID: Report("read")}, on_the_phone("read")),
    ({SID: None}, UNANSWERED),
    ({SID: Denied()}, UNANSWERED),
    ({OTHER: NotKept(), SID: None}, UNANSWERED),
    ({OTHER: None, SID: Report("delivered")}, on_the_phone()),
]


def test_a_text_is_sent_again_only_if_each_lost_message_still_is() -> None:
    """One that is on the phone settles it, whatever is known of the others. One that is on its way again is awaited."""
    for said, follows in SAID:
        assert before_sending_again(claim_with(lost_sids=list(said)), said) == follows
    for status in ON_ITS_WAY:
        why = f"It was lost as {SID}, and now the provider says {status}: it may still arrive"
        on_its_way = Defer(why, "delivery_open", until=NOON + 15 * MINUTE)
        assert before_sending_again(claim_with(lost_sids=[SID]), {SID: Report(status)}) == on_its_way


def test_a_text_that_arrived_is_recorded_and_not_begun() -> None:
    """And the flow control is free for the next one. A worker that has lost its claim tells nothing."""
    control, queue, sender = FlowControl(), FakeQueue(), FakeSender(words={SID: Report("delivered")})
    lost = claim_with(lost_sids=[SID])
    result = process_sms_retry_item(lost, queue=queue, sender=sender, flow_control=control)
    assert (result.fate, result.detail) == ("Sent", on_the_phone().why)
    assert (queue.told, sender.texts) == ([("arrived", on_the_phone())], [])
    assert process_sms_retry_item(claim_with(), queue=queue, sender=sender, flow_control=control).fate == "Sent"
    late = FakeQueue(holds=False)
    assert process_sms_retry_item(lost, queue=late, sender=sender).fate == "Lost"
    assert late.calls == ["arrived"]


def test_a_text_that_was_never_lost_costs_no_question_and_neither_does_one_that_may_not_go_now() -> None:
    """The control is shut, or the text has expired: then it ends, whatever the provider would say."""
    sender, control = FakeSender(), FlowControl()
    assert process_sms_retry_item(claim_with(), queue=FakeQueue(), sender=sender).fate == "Sent"
    control.stop("Enough")
    waiting = claim_with(lost_sids=[SID])
    assert process_sms_retry_item(waiting, queue=FakeQueue(), sender=sender, flow_control=control).fate == "GivenBack"
    expired = claim_with(lost_sids=[SID], expires_at=NOON, why=UNASKED)
    result = process_sms_retry_item(expired, queue=FakeQueue(), sender=sender)
    assert (result.fate, result.detail) == ("Cancelled", f"Expired before it could be sent. {UNASKED}")
    assert sender.asked_about == []


def test_what_the_provider_said_too_long_ago_lets_nothing_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process was stopped between its answer and the request: the message may have arrived meanwhile."""
    clock = iter([0.0, SEND_WITHIN_SECONDS + 1])
    monkeypatch.setattr(pipeline, "_stopwatch", lambda: next(clock))
    sender = FakeSender(words={SID: Report("undelivered")})
    result = process_sms_retry_item(claim_with(lost_sids=[SID]), queue=FakeQueue(), sender=sender)
    assert (result.fate, sender.texts) == ("RetryScheduled", [])


def test_a_text_whose_question_failed_lets_the_next_one_go_first() -> None:
    """The provider could not be asked, or the question met a bug; that tells nothing of sending."""

    class Broken(FakeSender):
        def what_became_of(self, sid: str, *, account: str | None) -> Word:
            raise ValueError("a bug")

    for sender in (FakeSender(words={SID: None}), Broken()):
        control, lost = FlowControl(), claim_with(lost_sids=[SID])
        for _ in range(4):  # one more than may be under way at once before anybody was answered
            with suppress(UnforeseenError):
                process_sms_retry_item(lost, queue=FakeQueue(), sender=sender, flow_control=control)
        next_one = process_sms_retry_item(claim_with(), queue=FakeQueue(), sender=sender, flow_control=control)
        assert (next_one.fate, len(sender.texts)) == ("Sent", 1)


# Whether fewer texts arrive


def status(delivered: int, undelivered: int, lately_delivered: int, lately_undelivered: int) -> QueueStatus:
    """How things stand, with these numbers of the day and of the last hour."""
    parts = {
        "hour": {"delivered": delivered, "undelivered": undelivered, "open": 7},
        "lately": {"delivered": lately_delivered, "undelivered": lately_undelivered, "open": 7},
    }
    clock = StatusLine(part="clock", name="", texts=20, oldest=NOON, next_at=NOON - timedelta(minutes=10))
    return QueueStatus.of(
        [
            clock,
            *(
                StatusLine(part=part, name=fate, texts=texts, oldest=NOON)
                for part, fates in parts.items()
                for fate, texts in fates.items()
            ),
        ]
    )


def test_fewer_texts_that_arrive_are_noticed() -> None:
    """Not of a handful, and not when it was always so."""
    told = "50% of the last hour's texts arrived, and 95% of the day's"
    assert status(950, 50, 10, 10).delivery_dropped == told
    assert told in status(950, 50, 10, 10).needs_somebody
    assert status(950, 50, 1, 1).delivery_dropped is None
    assert status(500, 500, 50, 50).delivery_dropped is None
    assert status(0, 0, 0, 0).delivery_dropped is None
    assert "  delivered, texts 950, 95% of what is known" in list(status(950, 50, 1, 1).lines())
