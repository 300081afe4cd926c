"""What follows from a report, as a table; and when somebody should know that fewer texts arrive."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from smsretry.adapters.twilio.errors import twilio_report as report
from smsretry.desk.questions.queue_status import QueueStatus
from smsretry.retry.decision import GiveUp, LookAgain
from smsretry.retry.delivery import (
    Close,
    Denied,
    NotKept,
    OpenDelivery,
    Report,
    SendAgain,
    Unknown,
    Word,
    after_delivery,
    blames_the_sender,
    look_before,
)
from smsretry.retry.outcome import Refusal
from smsretry.retry.profile import Profile
from smsretry.vocabulary import DeliveryStatus
from tests.support.builders import NOON, SID


def message(**changes: Any) -> OpenDelivery:
    """A message that was accepted ten minutes ago, the text's first."""
    row: dict[str, Any] = {
        "attempt_id": UUID(int=1), "looks": 1, "retry_id": UUID(int=2), "business_id": UUID(int=3),
        "customer_id": UUID(int=4), "send_log_id": UUID(int=5), "twilio_sid": SID,
        "accepted_at": NOON - timedelta(minutes=10), "delivery_status": None, "delivery_code": None, "failures": 1,
        "attempt_count": 1, "max_attempts": 3, "expires_at": NOON + timedelta(hours=47), "settled": False,
        "may_have_arrived": False, "claimed_at": NOON, "day_turns_at": NOON + timedelta(hours=15),
    }  # fmt: skip
    return OpenDelivery.model_validate(row | changes)


ON_ITS_WAY: list[DeliveryStatus] = ["accepted", "scheduled", "queued", "sending", "sent"]
WATCHED = "It did not arrive; a late delivery would still count"
UNASKED = "The provider could not be asked"
NOT_KEPT = "The provider has no such message: it was deleted there, or it is another account's"
RETRIED = "Not delivered: Twilio 30003: Unreachable destination handset"


DENIED = "The provider lets nobody here ask about this account's messages: check its credentials and its state"
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


def held(*, minutes: int) -> SendAgain:
    """Until its sender's number is registered."""
    return SendAgain(timedelta(minutes=minutes), UNREGISTERED, "account_refused", counted=False, held=True)


def look_again(minutes: int, why: str, *, failed: bool = False) -> LookAgain:
    """Because it is still on its way, or nothing was said of it."""
    return LookAgain(timedelta(minutes=minutes), failed, why, "delivery_open")


TABLE: list[tuple[dict[str, Any], Word, object]] = [
    # what is known of the message, the report, what follows
    ({}, report("delivered", None), Close()),
    ({}, report("read", None), Close()),
    *(({}, report(s, None), look_again(5, f"The provider says {s}")) for s in ON_ITS_WAY),
    ({"looks": 9}, report("sent", None), look_again(720, "The provider says sent")),
    ({"accepted_at": NOON - timedelta(days=3)}, report("sent", None), Unknown()),
    ({"accepted_at": NOON - timedelta(days=3)}, None, Unknown()),
    ({"accepted_at": NOON - timedelta(days=3), "delivery_status": "undelivered"}, None, Close()),
    ({"delivery_status": "undelivered"}, None, look_again(5, UNASKED, failed=True)),
    ({"looks": 2}, None, look_again(15, UNASKED, failed=True)),
    ({"looks": 9}, None, look_again(60, UNASKED, failed=True)),
    ({}, report("undelivered", 30003), SendAgain(timedelta(minutes=30), RETRIED)),
    ({"settled": True}, report("undelivered", 30003), LookAgain(timedelta(minutes=5), False, WATCHED, "undelivered")),
    ({"settled": True, "accepted_at": NOON - timedelta(days=3)}, report("undelivered", 30003), Close()),
    ({"failures": 2}, report("undelivered", 30003), GiveUp(f"{RETRIED}; sent 2 times", "undelivered", 30003)),
    ({"attempt_count": 3}, report("undelivered", 30003), GiveUp(RETRIED, "undelivered", 30003)),
    (
        {"expires_at": NOON + timedelta(minutes=30)},
        report("undelivered", 30003),
        GiveUp(f"{RETRIED}; it expires before it could be sent again", "undelivered", 30003),
    ),
    (
        {"may_have_arrived": True},
        report("undelivered", 30003),
        LookAgain(timedelta(minutes=15), False, "Another message of this text may still arrive", "delivery_open"),
    ),
    ({"may_have_arrived": True, "expires_at": NOON}, report("undelivered", 30003), Close()),
    ({}, report("failed", 30006), GiveUp(
        "Not delivered: Twilio 30006: Landline or unreachable carrier", "undelivered", 30006,
        phone_status="not_mobile")),
    ({}, report("failed", 30630), GiveUp(
        "Not delivered: Twilio 30630: Attempt to send to unsubscribed recipient", "opted_out", 30630, opted_out=True)),
    ({"looks": 9}, Denied(), look_again(60, DENIED, failed=True)),
    # What is its sender's costs nothing: neither an attempt nor one of the texts that may be sent again.
    ({}, report("undelivered", 30034), held(minutes=30)),
    ({"failures": 9, "attempt_count": 3}, report("failed", 30034), held(minutes=30)),
    ({"excused": 1}, report("undelivered", 30034), held(minutes=120)),
    ({"excused": 9}, report("undelivered", 30034), held(minutes=720)),
    ({"excused": 9, "expires_at": NOON + timedelta(hours=2)}, report("undelivered", 30034), held(minutes=110)),
    ({"expires_at": NOON + timedelta(minutes=10)}, report("undelivered", 30034), held(minutes=10)),
    ({"expires_at": NOON + timedelta(minutes=9)}, report("undelivered", 30034), held(minutes=9)),
    ({"expires_at": NOON - timedelta(hours=2)}, report("undelivered", 30034), held(minutes=0)),
    ({}, report("undelivered", 30027), SendAgain(timedelta(hours=15), SPENT, "day_spent", counted=False)),
    ({"day_turns_at": None}, report("undelivered", 30027), SendAgain(
        timedelta(hours=24), SPENT, "day_spent", counted=False)),
    ({"failures": 9, "attempt_count": 3, "excused": 9}, report("undelivered", 30027), SendAgain(
        timedelta(hours=15), SPENT, "day_spent", counted=False)),
    ({"expires_at": NOON + timedelta(hours=2)}, report("undelivered", 30027), SendAgain(
        timedelta(hours=2), SPENT, "day_spent", counted=False)),
    ({"excused": 1}, report("undelivered", 30022), SendAgain(
        timedelta(minutes=10), TOO_FAST, "rate_limited", counted=False, slows=timedelta(minutes=1))),
    ({}, Report("undelivered", Refusal("rate_limit", "Slower")), SendAgain(
        timedelta(minutes=2), "Not delivered: Slower", "rate_limited", counted=False, slows=timedelta(minutes=1))),
    ({"settled": True}, report("undelivered", 30034), LookAgain(timedelta(minutes=5), False, WATCHED, "undelivered")),
    ({"may_have_arrived": True}, report("undelivered", 30034), LookAgain(
        timedelta(minutes=15), False, "Another message of this text may still arrive", "delivery_open")),
    ({}, NotKept(), LookAgain(timedelta(minutes=5), False, NOT_KEPT, "delivery_open")),
    ({"accepted_at": NOON - timedelta(days=3)}, NotKept(), Unknown()),
    ({}, report("canceled", None), GiveUp(
        "Not delivered: the provider reports it canceled, and not why", "undelivered", None)),
]  # fmt: skip


@pytest.mark.parametrize(("known", "said", "follows"), TABLE)
def test_what_follows_from_a_report(known: dict[str, Any], said: Word, follows: object) -> None:
    """The whole rule."""
    assert after_delivery(message(**known), said) == follows


@pytest.mark.parametrize(("retries", "failures", "minutes"), [(0, 1, None), (1, 1, 30), (1, 2, None), (2, 2, 120)])
def test_a_text_is_sent_again_as_often_as_the_owner_says(retries: int, failures: int, minutes: int | None) -> None:
    """Not at all, with 0. Each time it waits longer."""
    decision = after_delivery(
        message(failures=failures), report("undelivered", 30008), profile=Profile(delivery_retries=retries)
    )
    if minutes is None:
        assert isinstance(decision, GiveUp)
    else:
        assert isinstance(decision, SendAgain)
        assert decision.delay == timedelta(minutes=minutes)
        assert decision.delay / 2 < look_before(decision.delay) < decision.delay  # an arrival stops the next message


@pytest.mark.parametrize(
    ("code", "blamed"), [(30003, False), (30006, False), (30007, True), (30034, True), (None, False)]
)
def test_whom_a_carrier_blames(code: int | None, blamed: bool) -> None:
    """A filter and a registration are the sender's; a phone is not."""
    assert blames_the_sender(report("undelivered", code)) is blamed


def status(delivered: int, undelivered: int, lately_delivered: int, lately_undelivered: int) -> QueueStatus:
    """How things stand, with these numbers of the day and of the last hour."""
    return QueueStatus(
        at=NOON, late_seconds=600, fewest_texts=20, queue={}, overdue_seconds=0, waiting=(), held=(), sent={}, ended=(),
        stopped=(), runs=(),
        delivery={"delivered": delivered, "undelivered": undelivered, "open": 7},
        delivery_lately={"delivered": lately_delivered, "undelivered": lately_undelivered, "open": 7},
    )  # fmt: skip


def test_fewer_texts_that_arrive_are_noticed() -> None:
    """Not of a handful, and not when it was always so."""
    told = "50% of the last hour's texts arrived, and 95% of the day's"
    assert status(950, 50, 10, 10).delivery_dropped == told
    assert told in status(950, 50, 10, 10).needs_somebody
    assert status(950, 50, 1, 1).delivery_dropped is None
    assert status(500, 500, 50, 50).delivery_dropped is None
    assert status(0, 0, 0, 0).delivery_dropped is None
    assert "delivery in the last day: delivered 950, undelivered 50, open 7 (95% arrived)" in list(
        status(950, 50, 1, 1).lines()
    )
