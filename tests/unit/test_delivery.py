"""What follows from a report on a message, as tables."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from smsretry.adapters.twilio.errors import twilio_report as report
from smsretry.retry.before import before_sending_again
from smsretry.retry.decision import (
    Arrived,
    Decision,
    Defer,
    Fail,
    Hold,
    Retry,
)
from smsretry.retry.delivery import (
    AskAgain,
    Close,
    DeliveryReport,
    OpenDelivery,
    after_delivery,
)
from smsretry.retry.outcome import Refusal
from smsretry.retry.profile import Profile
from smsretry.vocabulary import DeliveryStatus
from tests.support.builders import AT_ONCE, CLOSING, NOON, OPENING, SID, claim_with
from tests.support.records import Record

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
OTHER = "SM" + "f" * 32


def message(**changes: Any) -> OpenDelivery:
    """A message that was accepted ten minutes ago, the text's first."""
    row: Record = {
        "attempt_id": UUID(int=1), "asks": 1, "retry_id": UUID(int=2), "business_id": UUID(int=3),
        "customer_id": UUID(int=4), "send_log_id": UUID(int=5), "twilio_sid": SID,
        "accepted_at": NOON - 10 * MINUTE, "delivery_status": None, "delivery_code": None, "failures": 1,
        "attempt_count": 1, "max_attempts": 3, "expires_at": NOON + 47 * HOUR, "moved_on": False,
        "may_have_arrived": False, "claimed_at": NOON, "day_ends_at": NOON + 15 * HOUR,
    }  # fmt: skip
    return OpenDelivery.model_validate(row | changes)


ON_ITS_WAY: list[DeliveryStatus] = [
    "accepted",
    "scheduled",
    "queued",
    "sending",
    "sent",
]


def ask_again(minutes: int) -> AskAgain:
    """Because nothing final is known of it."""
    return AskAgain("", minutes * MINUTE)


def given_up(code: int | None = None, **number: Any) -> Fail:
    """For good."""
    return Fail(
        "", "opted_out" if "opted_out" in number else "undelivered", code, **number
    )


def hold(minutes: int) -> Hold:
    """Until its sender's number is registered."""
    return Hold("", "account_refused", 30034, due_in=minutes * MINUTE)


def spent(hours: int) -> Retry:
    """Until the carriers' day turns over. It counts as no attempt."""
    return Retry("", "day_spent", 30027, due_in=hours * HOUR)


LOST, UNREGISTERED, SPENT = (
    report("undelivered", code) for code in (30003, 30034, 30027)
)
NOT_KEPT, DENIED, UNANSWERED = (
    DeliveryReport("not kept"),
    DeliveryReport("denied"),
    DeliveryReport("unanswered"),
)
LONG_AGO = NOON - 3 * DAY
TABLE: list[tuple[Record, DeliveryReport, object]] = [
    # what is known of the message, the report, what follows but for its words
    ({}, report("delivered", None), Close()),
    ({}, report("read", None), Close()),
    ({}, report("partially_delivered", None), Close()),
    *(({}, report(status, None), ask_again(5)) for status in ON_ITS_WAY),
    ({"asks": 9}, report("sent", None), ask_again(720)),
    ({"accepted_at": LONG_AGO}, report("sent", None), Close(unknown=True)),
    # Nothing is said of it.
    ({}, UNANSWERED, ask_again(5)),
    ({"asks": 2}, UNANSWERED, ask_again(15)),
    ({"asks": 9}, DENIED, ask_again(720)),
    ({}, NOT_KEPT, ask_again(5)),
    ({"delivery_status": "undelivered"}, UNANSWERED, ask_again(5)),
    ({"accepted_at": LONG_AGO}, UNANSWERED, Close(unknown=True)),
    ({"accepted_at": LONG_AGO}, NOT_KEPT, Close(unknown=True)),
    ({"accepted_at": LONG_AGO, "delivery_status": "undelivered"}, UNANSWERED, Close()),
    # It was lost.
    ({}, LOST, Retry("", "undelivered", 30003, due_in=30 * MINUTE, counted=True)),
    ({"moved_on": True}, LOST, ask_again(5)),
    ({"moved_on": True, "accepted_at": LONG_AGO}, LOST, Close()),
    ({"failures": 2}, LOST, given_up(30003)),
    ({"failures": 2}, report("undelivered", 14107), given_up(14107)),
    ({"attempt_count": 3}, LOST, given_up(30003)),
    ({"expires_at": NOON + 30 * MINUTE}, LOST, given_up(30003)),
    ({"may_have_arrived": True}, LOST, ask_again(15)),
    ({"may_have_arrived": True, "expires_at": NOON}, LOST, Close()),
    ({}, report("failed", 30006), given_up(30006, phone_status="not_mobile")),
    ({}, report("failed", 30630), given_up(30630, opted_out=True)),
    ({}, report("canceled", None), given_up()),
    # An opt-out that the carrier of a toll-free sender keeps, and from another sender a block of its own.
    (
        {},
        report("undelivered", 30004, sent_by="+18885550100"),
        given_up(30004, opted_out=True),
    ),
    ({}, report("undelivered", 30004, sent_by="+12125550100"), given_up(30004)),
    ({}, report("undelivered", 30004), given_up(30004)),
    # By the provider's own hours: the claim, which knows the customer's, says until when.
    (
        {"failures": 9, "attempt_count": 3},
        report("undelivered", 30610),
        Retry("", "quiet_hours", 30610, due_in=15 * MINUTE),
    ),
    # What is its sender's costs nothing: neither an attempt nor one of the texts that may be sent again.
    ({}, UNREGISTERED, hold(30)),
    ({"failures": 9, "attempt_count": 3}, UNREGISTERED, hold(30)),
    ({"excused": 1}, UNREGISTERED, hold(120)),
    ({"excused": 9}, UNREGISTERED, hold(720)),
    ({"excused": 9, "expires_at": NOON + 2 * HOUR}, UNREGISTERED, hold(120)),
    ({"expires_at": NOON - 2 * HOUR}, UNREGISTERED, hold(0)),
    ({"moved_on": True}, UNREGISTERED, ask_again(5)),
    ({"may_have_arrived": True}, UNREGISTERED, ask_again(15)),
    ({}, SPENT, spent(15)),
    ({"failures": 9, "attempt_count": 3, "excused": 9}, SPENT, spent(15)),
    ({"day_ends_at": None, "excused": 3}, SPENT, spent(12)),
    ({"expires_at": NOON + 2 * HOUR}, SPENT, spent(2)),
    (
        {"excused": 1},
        report("undelivered", 30022),
        Retry("", "rate_limited", 30022, due_in=2 * HOUR),
    ),
    (
        {},
        DeliveryReport("undelivered", Refusal("rate_limited", "Slower")),
        Retry("", "rate_limited", due_in=30 * MINUTE),
    ),
]


def test_what_follows_from_a_report() -> None:
    """The whole rule."""
    for changes, received, follows in TABLE:
        decision = after_delivery(message(**changes), received)
        actual = (
            replace(decision, why="")
            if isinstance(decision, Decision | AskAgain)
            else decision
        )
        assert actual == follows, (changes, received)
        assert not isinstance(decision, Retry | Hold) or (
            received.refusal and received.refusal.why in decision.why
        )


def test_a_text_is_sent_again_as_often_as_the_owner_says() -> None:
    """Not at all, with 0. Each time it waits longer, and an arrival in time stops the next message."""
    for retries, failures, minutes in (
        (0, 1, None),
        (1, 1, 30),
        (1, 2, None),
        (2, 2, 120),
    ):
        profile = Profile(delivery_retries=retries)
        decision = after_delivery(
            message(failures=failures), report("undelivered", 30008), profile=profile
        )
        assert isinstance(decision, Retry if minutes else Fail)
        if isinstance(decision, Retry) and minutes:
            assert decision.due_in == minutes * MINUTE


def test_whom_a_carrier_blames() -> None:
    """A filter and a registration are the sender's; a phone is not."""
    for code, blamed in (
        (30003, False),
        (30006, False),
        (30007, True),
        (30034, True),
        (None, False),
    ):
        assert report("undelivered", code).blames_the_sender is blamed


# Before the next message


def on_the_phone(status: DeliveryStatus = "delivered") -> Arrived:
    """Its row is completed."""
    return Arrived("", sid=SID, status=status)


ASK_LATER = Defer("", "delivery_open", due_at=NOON + 15 * MINUTE)
SAID: list[tuple[dict[str, DeliveryReport], Arrived | Defer | None]] = [
    # what the provider says of each lost message, what follows
    ({}, None),
    ({SID: DeliveryReport("undelivered")}, None),
    ({SID: DeliveryReport("failed")}, None),
    ({SID: DeliveryReport("canceled")}, None),
    ({SID: NOT_KEPT}, None),
    ({SID: DeliveryReport("delivered")}, on_the_phone()),
    ({SID: DeliveryReport("read")}, on_the_phone("read")),
    ({SID: UNANSWERED}, ASK_LATER),
    ({SID: DENIED}, ASK_LATER),
    ({OTHER: NOT_KEPT, SID: UNANSWERED}, ASK_LATER),
    ({OTHER: UNANSWERED, SID: DeliveryReport("delivered")}, on_the_phone()),
]
SAID += [({SID: DeliveryReport(status)}, ASK_LATER) for status in ON_ITS_WAY]


def test_what_the_provider_s_own_quiet_hours_stopped_waits_for_the_opening_after_them() -> (
    None
):
    """Whenever it is looked at in between. In a later window it is sent."""
    for blocked_at, claimed_at, until in (
        (NOON - HOUR, NOON, OPENING),
        (CLOSING - HOUR, OPENING - 6 * HOUR, OPENING),
        (CLOSING + HOUR, OPENING - 6 * HOUR, OPENING),
        (NOON - HOUR, OPENING, None),
        (NOON - 2 * DAY, NOON, None),
    ):
        stopped = report("undelivered", 30615, at=blocked_at)
        decision = before_sending_again(
            claim_with(claimed_at=claimed_at), {SID: stopped}, profile=AT_ONCE
        )
        assert (decision.due_at if isinstance(decision, Defer) else decision) == until


def test_a_text_is_sent_again_only_if_each_lost_message_still_is() -> None:
    """One that is on the phone settles it, whatever is known of the others. One that is on its way again is awaited."""
    for reports, follows in SAID:
        decision = before_sending_again(
            claim_with(lost_messages=[{"sid": sid} for sid in reports]), reports
        )
        assert (replace(decision, why="") if decision else None) == follows
        assert decision is None or SID in decision.why
