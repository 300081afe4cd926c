"""May a text go out now, and if not, how does it wait?"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from smsretry.retry.before import HELD_LOOK, LIFE, MIN_LIFE, after_cap, before_send, busy, with_expiry
from smsretry.retry.decision import BeforeSend, Cancel, Cap, Defer, Fail, Hold, Send
from smsretry.retry.profile import Profile
from smsretry.vocabulary import WhyCode
from tests.support.builders import AT_ONCE, CLOSING, NOON, OPENING, PHONE, assigned, claim_with

NIGHT = CLOSING
LAST_HOLD = NIGHT - timedelta(seconds=60)
"""From here on the provider may not hold a text: with a slow request it could leave after the closing."""
LAST_CALL = LAST_HOLD - timedelta(seconds=10)
"""A text sent later could have no ten seconds there."""
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NEW_YORK_RULE = "08:00–21:00 in America/New_York, the customer's zone"
BY_DAY = Send(LAST_CALL, LAST_HOLD, NEW_YORK_RULE)
FLORIDA = "+13055550123"
CAPPED = "Daily cap: 3 texts in 24 hours to one person (us-fl-501.616)"


def waits_until(until: datetime, *, why: str, why_code: WhyCode = "quiet_hours") -> Defer:
    """For a permitted hour."""
    return Defer(why, why_code, until=until, for_window=True)


UNTIL_MORNING = waits_until(OPENING, why=f"Quiet hours: {NEW_YORK_RULE}")
EXPIRED = Cancel("Expired before it could be sent", "expired")
EXPIRES = Cancel(f"Expires before it may go out. Quiet hours: {NEW_YORK_RULE}", "expired")

HOPELESS: list[tuple[dict[str, Any], str, WhyCode]] = [
    # what is wrong with the row, the reason it fails with, in words and in a word
    ({"send_log_found": False}, "Send log not found", "no_send_log"),
    ({"channel": "email"}, "Send log is of channel email, not sms", "not_sms"),
    ({"customer_found": False}, "Customer not found", "no_customer"),
    ({"phone": None}, "Customer has no phone number", "no_phone"),
    ({"phone": "", "business_hours": "nine to five"}, "Customer has no phone number", "no_phone"),
    ({"phone": "(212) 555-0123"},
     "Phone number is not E.164 (a plus sign, the country code and the number, no spaces)", "number_invalid"),
    ({"phone": "+1212555012"}, "Phone number has the wrong length for its country", "number_invalid"),
    ({"phone": "+9992125550123"}, "Phone number has no known country code", "number_invalid"),
    ({"phone": "+18005550123"}, "Phone number is toll-free: no person's phone, no text is sent to it",
     "number_invalid"),
    ({"body": None}, "Text is empty: the subject of its send log holds no body", "no_body"),
    ({"body": " \n"}, "Text is empty: the subject of its send log holds no body", "no_body"),
    ({"body": "x" * 1601}, "Text is longer than 1600 characters: the subject of its send log holds its body",
     "body_too_long"),
    ({"attempt_count": 3}, "Gave up after 3 attempts", "attempts_used_up"),
]  # fmt: skip


def test_a_text_that_can_never_go_out_fails_with_the_reason() -> None:
    """At once, and not only when its quiet hours are over."""
    for wrong, reason, code in HOPELESS:
        for at in (NOON, NIGHT):
            assert before_send(claim_with(**wrong), at=at) == Fail(reason, code)


def test_the_first_reason_is_told_when_there_are_several() -> None:
    """Mended one after the other: log, its channel, customer, number, body, attempts, expiry, quiet hours."""
    wrong: dict[str, Any] = {
        "send_log_found": False,
        "channel": "email",
        "customer_found": False,
        "phone": None,
        "body": None,
        "attempt_count": 3,
        "expires_at": NIGHT,
    }
    mending: list[tuple[dict[str, Any], str]] = [
        ({}, "Send log not found"),
        ({"send_log_found": True}, "Send log is of channel email, not sms"),
        ({"channel": "sms"}, "Customer not found"),
        ({"customer_found": True}, "Customer has no phone number"),
        ({"phone": PHONE}, "Text is empty: the subject of its send log holds no body"),
        ({"body": "Hi Ann"}, "Gave up after 3 attempts"),
        ({"attempt_count": 2}, EXPIRED.why),
        ({"expires_at": NIGHT + HOUR}, EXPIRES.why),
        ({"expires_at": NIGHT + DAY}, UNTIL_MORNING.why),
    ]
    for mended, reason in mending:
        wrong |= mended
        decision = before_send(claim_with(**wrong), at=NIGHT, profile=AT_ONCE)
        assert not isinstance(decision, Send)
        assert decision.why == reason


EXPIRY: list[tuple[datetime, datetime, BeforeSend]] = [
    # when the decision is made, when nobody wants the text any more, what is decided
    # By day: an expired text, and one that has not ten seconds left, is not sent.
    (NOON, NOON - DAY, EXPIRED),
    (NOON, NOON, EXPIRED),
    (NOON, NOON + 10 * SECOND, EXPIRED),
    (NOON, NOON + 11 * SECOND, Send(NOON + SECOND, NOON + 11 * SECOND, NEW_YORK_RULE)),
    # The provider may keep it until it expires or the window closes, whichever comes first.
    (NOON, LAST_HOLD - SECOND, Send(LAST_CALL - SECOND, LAST_HOLD - SECOND, NEW_YORK_RULE)),
    (NOON, LAST_HOLD + SECOND, BY_DAY),
    # By night: what expires before the opening, or at it, will never be sent, so it ends at once.
    (NIGHT, NIGHT - SECOND, EXPIRED),
    (NIGHT, NIGHT + SECOND, EXPIRED),
    (NIGHT, NIGHT + 11 * SECOND, EXPIRES),
    (NIGHT, OPENING + 10 * SECOND, EXPIRES),
    (NIGHT, OPENING + 11 * SECOND, UNTIL_MORNING),
    # In the last moments of the window it is as good as night.
    (LAST_CALL, NIGHT + SECOND, EXPIRES),
    (LAST_CALL, OPENING + 11 * SECOND, UNTIL_MORNING),
    (LAST_CALL - timedelta(microseconds=1), NIGHT + 2 * DAY, BY_DAY),
    (LAST_CALL, NIGHT + 2 * DAY, UNTIL_MORNING),
]


@pytest.mark.parametrize(("at", "expires_at", "decision"), EXPIRY)
def test_a_text_is_sent_inside_its_window_and_its_life(
    at: datetime, expires_at: datetime, decision: BeforeSend
) -> None:
    """Nobody wants yesterday's reminder, and a text that cannot make the next opening need not wait for it."""
    claim = claim_with(expires_at=expires_at)
    assert before_send(claim, at=at, profile=AT_ONCE) == decision
    assert claim == claim_with(expires_at=expires_at)


def test_the_guard_before_closing_is_the_owners() -> None:
    """Somebody whose carrier is slow wants more of it."""
    decision = before_send(claim_with(), at=NOON, profile=Profile(closing_guard=15 * MINUTE))
    assert isinstance(decision, Send)
    assert decision.valid_until == NIGHT - 15 * MINUTE


def test_a_businesss_own_hours_narrow_the_window() -> None:
    """Until six in the evening."""
    decision = before_send(claim_with(business_hours="09:00-18:00"), at=NOON)
    assert isinstance(decision, Send)
    assert decision.valid_until == NIGHT - timedelta(hours=3, minutes=1)


def test_what_waits_for_an_opening_is_due_over_ten_minutes_and_each_row_at_its_own_time() -> None:
    """Deciding twice does not move it. A text that expires soon after the opening has its turn before that."""
    short = OPENING + 2 * MINUTE
    for expires_at, last in ((NIGHT + 2 * DAY, OPENING + 10 * MINUTE), (None, OPENING + 10 * MINUTE), (short, short)):
        rows = [claim_with(id=UUID(int=number), expires_at=expires_at) for number in range(200)]
        decisions = [before_send(row, at=NIGHT) for row in rows]
        assert decisions == [before_send(row, at=NIGHT + 3 * HOUR) for row in rows]
        times = [decision.until for decision in decisions if isinstance(decision, Defer)]
        assert len(set(times)) == 200
        assert OPENING <= min(times) < OPENING + MINUTE
        assert last - MINUTE < max(times) < last


WHOSE_NIGHT = [
    # the customer's zone, number, the business's zone, the decision at 21:00 in New York, where it is 20:00 in Chicago
    ("America/Chicago", PHONE, "America/New_York", Send),
    ("America/New_York", "+13125550123", "America/Chicago", Defer),
    (None, "+13125550123", "America/Chicago", Send),
    (None, "+13125550123", None, Send),
    (None, PHONE, "America/Chicago", Defer),
    (None, "+13125550123", "America/New_York", Defer),
    ("Central Standard Time", PHONE, "America/New_York", Send),
    ("UTC", PHONE, "America/Chicago", Defer),
]


@pytest.mark.parametrize(("customers", "phone", "businesss", "decision"), WHOSE_NIGHT)
def test_the_customers_clock_decides_and_with_no_zone_the_numbers_and_the_businesss_both(
    customers: str | None, phone: str, businesss: str | None, decision: type[Send] | type[Defer]
) -> None:
    """The business's zone is never a license when the number says otherwise."""
    claim = claim_with(timezone=customers, phone=phone, business_timezone=businesss)
    assert isinstance(before_send(claim, at=NIGHT), decision)


# Caps and days


def test_a_marketing_text_of_a_state_with_a_daily_cap_is_sent_under_it() -> None:
    """Florida's three, which `begin` counts. A receipt may be the fourth text of the day; New York has no cap."""
    caps: list[tuple[dict[str, Any], Cap | None]] = [
        ({"phone": FLORIDA}, Cap(3, since=NOON - DAY)),
        ({"phone": FLORIDA, "message_class": "transactional"}, None),
        ({"phone": PHONE}, None),
    ]
    for changes, cap in caps:
        decision = before_send(claim_with(**changes), at=NOON)
        assert isinstance(decision, Send)
        assert decision.cap == cap


def test_a_capped_text_waits_until_there_is_room_or_for_the_opening_after_it() -> None:
    """In Florida, which closes at 20:00. What expires before that would never be sent."""
    claim = claim_with(phone=FLORIDA)
    in_time = waits_until(NOON, why=CAPPED, why_code="daily_cap")
    assert after_cap(claim, reached_at=NOON - DAY) == in_time
    in_the_morning = waits_until(OPENING, why=CAPPED, why_code="daily_cap")
    assert after_cap(claim, reached_at=NIGHT - DAY, profile=AT_ONCE) == in_the_morning
    assert isinstance(after_cap(claim_with(phone=FLORIDA, expires_at=None), reached_at=NOON - MINUTE), Defer)
    expires = Cancel(f"Expires before it may go out. {CAPPED}", "expired")
    assert after_cap(claim_with(phone=FLORIDA, expires_at=NOON), reached_at=NOON - DAY) == expires
    stopped = after_cap(claim_with(phone=FLORIDA, stopped_states=["FL"]), reached_at=NOON - DAY)
    assert isinstance(stopped, Hold)
    assert stopped.why.startswith("Texts to FL are stopped")


def test_a_text_whose_sender_has_used_its_day_waits_until_that_turns_over() -> None:
    """Or for the opening after it."""
    for turns_at, until in ((NOON + HOUR, NOON + HOUR), (NIGHT + HOUR, OPENING)):
        decision = before_send(claim_with(sender=assigned(1, spent_until=turns_at)), at=NOON, profile=AT_ONCE)
        assert isinstance(decision, Defer)
        assert (decision.until, decision.why_code) == (until, "day_spent")


# What a person can mend

MENDABLE: list[tuple[dict[str, Any], str, WhyCode]] = [
    # what a person can mend, and what the text says that it waits for, in words and in a word
    # A satellite phone may be anywhere.
    ({"phone": "+881612345678", "timezone": None, "business_timezone": None},
     "No time zone is known for a +881 number: set the customer's timezone to where they are", "no_time_zone"),
    # A declared emergency.
    ({"stopped_states": ["LA", "NY"]},
     "Texts to NY are stopped: lift the stop for that state, and they go on", "state_stopped"),
    # A guess would be a license.
    ({"business_hours": "nine to five"},
     "The business's sms_hours cannot be read: 'nine to five' is no span of hours; "
     "write hours such as Mon-Fri 09:00-18:00, Sat 10:00-16:00", "hours_unreadable"),
    # A business that is open on no day the state permits.
    ({"business_hours": "03:00-04:00"},
     "No permitted hour within 8 days: closed (federal, own) in America/New_York", "no_opening"),
    ({"sender": assigned(1, paused_because="complaints")},
     "The business's sender is paused: complaints. Mend that, then `smsretry senders resume`", "sender_paused"),
]  # fmt: skip


@pytest.mark.parametrize(("trouble", "why", "code"), MENDABLE, ids=lambda value: str(value)[:40])
def test_what_a_person_can_mend_makes_a_text_wait_and_says_what_to_do(
    trouble: dict[str, Any], why: str, code: WhyCode
) -> None:
    """It is looked at again each quarter of an hour and goes on once it is mended. Only its expiry ends it."""
    for at in (NOON, NIGHT):
        for expires_at in (None, NIGHT + 2 * DAY):
            decision = before_send(claim_with(**trouble, expires_at=expires_at), at=at)
            assert isinstance(decision, Hold)
            assert decision.why.startswith(why)
            assert (decision.why_code, decision.look_in, decision.ambiguous) == (code, HELD_LOOK, ())
    mended = dict.fromkeys(trouble, None) | {"phone": PHONE, "timezone": "America/New_York", "stopped_states": []}
    assert isinstance(before_send(claim_with(**mended, held=True, why=why), at=NOON), Send)
    expired = claim_with(**trouble, held=True, why=why, expires_at=NOON)
    assert before_send(expired, at=NOON) == Cancel(f"{EXPIRED.why}. {why}", "expired")


def test_what_a_text_waited_for_without_being_held_is_not_told_at_its_end() -> None:
    """It had its chance; why it waited last is no reason."""
    assert before_send(claim_with(why="Quiet hours", expires_at=NOON), at=NOON) == EXPIRED


def test_transactional_texts_go_to_a_stopped_state() -> None:
    """A receipt is what the customer asked for."""
    assert isinstance(before_send(claim_with(message_class="transactional", stopped_states=["NY"]), at=NOON), Send)


# The life of a text


@pytest.mark.parametrize(
    ("due", "at", "counted"),
    [
        pytest.param(NOON - MINUTE, NOON, NOON - MINUTE, id="by day, a moment ago"),
        pytest.param(NOON - DAY, NOON, NOON - DAY, id="by day, and nothing ran for a day"),
        pytest.param(NIGHT - DAY, NOON, OPENING - DAY, id="by night, and nothing ran in the morning"),
        pytest.param(CLOSING - 5 * SECOND, NOON + DAY, OPENING, id="in the last moments of the day"),
        pytest.param(NIGHT, NIGHT + MINUTE, None, id="by night, and it is night"),
        pytest.param(NOON + MINUTE, NOON, None, id="not yet"),
        pytest.param(None, NOON, None, id="the database does not say since when"),
    ],
)
def test_a_life_counts_from_the_first_moment_it_might_have_gone_out_also_if_nothing_ran(
    due: datetime | None, at: datetime, counted: datetime | None
) -> None:
    """Waiting for an opening does not count."""
    claim = with_expiry(claim_with(expires_at=None, due_since=due), at=at)
    assert claim.expires_at == (counted + LIFE if counted else None)
    assert timedelta(hours=48) == LIFE


def test_a_life_counts_from_its_time_where_something_must_be_mended_and_has_one_end() -> None:
    """No opening kept it. What was said of it once stays."""
    for wrong in ({"business_hours": "nine to five"}, {"stopped_states": ["NY"]}):
        claim = claim_with(expires_at=None, due_since=NIGHT, **wrong)
        assert with_expiry(claim, at=NIGHT + MINUTE).expires_at == NIGHT + LIFE
    begun = claim_with(due_since=NOON - 9 * DAY)
    assert with_expiry(begun, at=NOON) == begun


def test_a_text_that_was_due_too_long_ago_says_since_when() -> None:
    """It is no failure: nobody wants it any more."""
    claim = claim_with(expires_at=None, due_since=NOON - 2 * DAY)
    assert before_send(claim, at=NOON) == Cancel(f"{EXPIRED.why}: it was due on 2027-01-10 (UTC)", "expired")


@pytest.mark.parametrize("hours", ["Mon 09:00-18:00", "Sun 12:00-14:00"], ids=["in six days", "in five days"])
def test_waiting_for_an_opening_costs_no_life(hours: str) -> None:
    """A business that texts on one day of the week: longer than a life, and the text waits and is not cancelled."""
    decision = before_send(claim_with(expires_at=None, business_hours=hours), at=NOON, profile=AT_ONCE)
    assert isinstance(decision, Defer)
    assert decision.until > NOON + LIFE
    assert isinstance(before_send(claim_with(expires_at=NOON + LIFE, business_hours=hours), at=NOON), Cancel)


def test_a_text_that_expires_soon_has_its_last_call_ten_seconds_before() -> None:
    """A ValidityPeriod should exceed five seconds, whichever end it runs to."""
    decision = before_send(claim_with(expires_at=NOON + MINUTE), at=NOON)
    assert isinstance(decision, Send)
    assert decision.send_before == NOON + MINUTE - MIN_LIFE


# Trouble of others


def test_a_text_whose_customer_is_locked_waits_a_minute() -> None:
    """Somebody else's transaction is nobody's failure."""
    assert busy(NOON) == Defer("Another transaction holds the customer locked", "customer_locked", until=NOON + MINUTE)
