"""What to do with a text before its send and after it."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, get_args
from uuid import UUID

import pytest

from smsretry.retry import policy
from smsretry.retry.backoff import ACCOUNT_DELAYS, next_retry_delay
from smsretry.retry.consequence import after_send
from smsretry.retry.decision import (
    AfterLook,
    Cap,
    Complete,
    Defer,
    Doubt,
    End,
    GiveUp,
    Hold,
    LookAgain,
    Resend,
    Retry,
    Send,
    Settle,
)
from smsretry.retry.doubt import after_look, known_evidence
from smsretry.retry.evidence import AMBIGUOUS
from smsretry.retry.models import Claim, Look, Sighting
from smsretry.retry.outcome import Accepted, InDoubt, NotSent, Refusal, RefusalKind, Rejected
from smsretry.retry.policy import after_cap, before_send
from smsretry.retry.profile import Profile
from smsretry.retry.trouble import busy
from smsretry.vocabulary import InDoubtPolicy, Reason, WhyCode
from tests.support.builders import AT_ONCE, BODY, CLOSING, NOON, OPENING, PHONE, SID, claim_with, refused
from tests.support.builders import sighting as listed

NIGHT = CLOSING
LAST_HOLD = NIGHT - timedelta(seconds=60)
"""From here on the provider may not hold a text: with a slow request it could leave after the closing."""
LAST_CALL = LAST_HOLD - timedelta(seconds=10)
"""A text sent later could have no ten seconds there."""
CAP_WINDOW = timedelta(hours=24)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
NEXT_CLOSING = CLOSING + timedelta(days=1)
NEW_YORK_RULE = "08:00–21:00 in America/New_York, the customer's zone"
UNTIL_MORNING = Defer(OPENING, "quiet_hours", f"Quiet hours: {NEW_YORK_RULE}", "quiet_hours", NEXT_CLOSING)


# Before the send

HOPELESS: list[tuple[dict[str, Any], str, WhyCode]] = [
    # what is wrong with the row, the reason it fails with, in words and in a word
    ({"send_log_found": False}, "Send log not found", "no_send_log"),
    ({"channel": "email"}, "Send log is of channel email, not sms", "not_sms"),
    ({"customer_found": False}, "Customer not found", "no_customer"),
    ({"phone": None}, "Customer has no phone number", "no_phone"),
    ({"phone": ""}, "Customer has no phone number", "no_phone"),
    (
        {"phone": "(212) 555-0123"},
        "Phone number is not E.164 (a plus sign, the country code and the number, no spaces)",
        "number_invalid",
    ),
    ({"phone": "+1212555012"}, "Phone number has the wrong length for its country", "number_invalid"),
    ({"phone": "+9992125550123"}, "Phone number has no known country code", "number_invalid"),
    ({"body": None}, "Text is empty: the subject of its send log holds no body", "no_body"),
    ({"body": " \n"}, "Text is empty: the subject of its send log holds no body", "no_body"),
    (
        {"body": "x" * 1601},
        "Text is longer than 1600 characters: the subject of its send log holds its body",
        "body_too_long",
    ),
    ({"attempt_count": 3}, "Gave up after 3 attempts", "attempts_used_up"),
    ({"attempt_count": 4}, "Gave up after 4 attempts", "attempts_used_up"),
]


@pytest.mark.parametrize(("wrong", "reason", "code"), HOPELESS, ids=lambda value: str(value)[:50])
@pytest.mark.parametrize("at", [NOON, NIGHT], ids=["by day", "by night"])
def test_a_text_that_can_never_go_out_fails_with_the_reason(
    at: datetime, wrong: dict[str, Any], reason: str, code: WhyCode
) -> None:
    """At once, and not only when its quiet hours are over."""
    assert before_send(claim_with(**wrong), at=at) == End("failed", reason, code)


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
        ({"attempt_count": 2}, "Expired before it could be sent"),
        ({"expires_at": NIGHT + timedelta(hours=1)}, f"Expires before it may go out. Quiet hours: {NEW_YORK_RULE}"),
        ({"expires_at": NIGHT + timedelta(days=1)}, f"Quiet hours: {NEW_YORK_RULE}"),
    ]
    told = []
    for mended, _ in mending:
        wrong |= mended
        decision = before_send(claim_with(**wrong), at=NIGHT, profile=AT_ONCE)
        assert isinstance(decision, End | Defer)
        told.append(decision.why)
    assert told == [reason for _, reason in mending]


TOO_LATE = "Expired before it could be sent"
TOO_LATE_BY_MORNING = f"Expires before it may go out. Quiet hours: {NEW_YORK_RULE}"

# when the decision is made, when nobody wants the text any more, what is decided
EXPIRY: list[tuple[datetime, datetime, Send | Defer | End]] = [
    # By day: an expired text, and one that has not ten seconds left, is not sent.
    (NOON, NOON - timedelta(days=1), End("cancelled", TOO_LATE, "expired")),
    (NOON, NOON, End("cancelled", TOO_LATE, "expired")),
    (NOON, NOON + 10 * SECOND, End("cancelled", TOO_LATE, "expired")),
    (NOON, NOON + 11 * SECOND, Send(NOON + SECOND, NOON + 11 * SECOND, NEW_YORK_RULE)),
    # The provider may keep it until it expires or the window closes, whichever comes first.
    (NOON, LAST_HOLD - SECOND, Send(LAST_CALL - SECOND, LAST_HOLD - SECOND, NEW_YORK_RULE)),
    (NOON, LAST_HOLD + SECOND, Send(LAST_CALL, LAST_HOLD, NEW_YORK_RULE)),
    # By night: what expires before the opening, or at it, will never be sent, so it ends at once.
    (NIGHT, NIGHT + SECOND, End("cancelled", TOO_LATE, "expired")),
    (NIGHT, NIGHT + 11 * SECOND, End("cancelled", TOO_LATE_BY_MORNING, "expired")),
    (NIGHT, OPENING + 10 * SECOND, End("cancelled", TOO_LATE_BY_MORNING, "expired")),
    (
        NIGHT,
        OPENING + 11 * SECOND,
        UNTIL_MORNING,
    ),
    # In the last moments of the window it is as good as night.
    (LAST_CALL, NIGHT + SECOND, End("cancelled", TOO_LATE_BY_MORNING, "expired")),
    (
        LAST_CALL,
        OPENING + 11 * SECOND,
        UNTIL_MORNING,
    ),
]


@pytest.mark.parametrize(("at", "expires_at", "decision"), EXPIRY)
def test_a_text_is_never_kept_or_sent_past_its_expiry(
    at: datetime, expires_at: datetime, decision: Send | Defer | End
) -> None:
    """Nobody wants yesterday's reminder, and a text that cannot make the next opening need not wait for it."""
    assert before_send(claim_with(expires_at=expires_at), at=at, profile=AT_ONCE) == decision


def test_by_night_a_text_that_has_expired_is_told_so() -> None:
    """The reason names what happened, not what would happen."""
    assert before_send(claim_with(expires_at=NIGHT - SECOND), at=NIGHT) == End("cancelled", TOO_LATE, "expired")


def test_a_text_that_expires_before_the_window_closes_has_its_last_call_then() -> None:
    """A ValidityPeriod should exceed five seconds, whichever end it runs to."""
    expires_at = NOON + timedelta(minutes=1)
    decision = before_send(claim_with(expires_at=expires_at), at=NOON)
    assert isinstance(decision, Send)
    assert decision.send_before == expires_at - policy.MIN_LIFE


def test_by_day_a_text_is_sent_before_the_window_closes() -> None:
    """The provider lets go of it a minute before 21:00 in New York; the rule is kept with the attempt."""
    assert before_send(claim_with(), at=NOON) == Send(LAST_CALL, LAST_HOLD, NEW_YORK_RULE)


def test_the_guard_before_closing_is_the_owners() -> None:
    """Somebody whose carrier is slow wants more of it."""
    careful = Profile(closing_guard=timedelta(minutes=15))
    decision = before_send(claim_with(), at=NOON, profile=careful)
    assert isinstance(decision, Send)
    assert decision.valid_until == NIGHT - timedelta(minutes=15)


def test_the_last_call_is_seventy_seconds_before_the_window_closes() -> None:
    """Later, the provider would have to let it go before it could leave; earlier it may go out."""
    assert isinstance(before_send(claim_with(), at=LAST_CALL - timedelta(microseconds=1)), Send)
    assert before_send(claim_with(), at=LAST_CALL) == before_send(claim_with(), at=NIGHT)


def test_by_night_a_text_waits_for_the_opening() -> None:
    """Until 08:00 in New York, with quiet hours as the reason."""
    decision = before_send(claim_with(), at=NIGHT, profile=AT_ONCE)
    assert decision == UNTIL_MORNING


def test_what_waits_for_an_opening_is_due_over_ten_minutes_and_each_row_at_its_own_time() -> None:
    """Deciding twice does not move it."""
    rows = [claim_with(id=UUID(int=number)) for number in range(200)]
    decisions = [before_send(row, at=NIGHT) for row in rows]
    assert decisions == [before_send(row, at=NIGHT + timedelta(hours=3)) for row in rows]
    times = [decision.until for decision in decisions if isinstance(decision, Defer)]
    assert len(set(times)) == 200
    assert OPENING <= min(times) < OPENING + MINUTE
    assert OPENING + timedelta(minutes=9) < max(times) < OPENING + timedelta(minutes=10)


def test_a_text_that_expires_soon_after_the_opening_has_its_turn_before_that() -> None:
    """The spread is over what is left of its life."""
    expires_at = OPENING + timedelta(minutes=2)
    rows = [claim_with(id=UUID(int=number), expires_at=expires_at) for number in range(50)]
    decisions = [before_send(row, at=NIGHT) for row in rows]
    assert all(isinstance(each, Defer) and each.until < expires_at - policy.MIN_LIFE for each in decisions)


# the customer's zone, number, the business's zone, the decision at 21:00 in New York, where it is 20:00 in Chicago
WHOSE_NIGHT = [
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


def test_a_text_of_a_state_with_a_daily_cap_is_sent_under_it() -> None:
    """Florida's three; `begin` counts."""
    decision = before_send(claim_with(phone="+13055550123"), at=NOON)
    assert isinstance(decision, Send)
    assert decision.cap == Cap(3, since=NOON - CAP_WINDOW)


@pytest.mark.parametrize("changes", [{"message_class": "transactional"}, {"phone": PHONE}])
def test_no_other_text_is_capped(changes: dict[str, Any]) -> None:
    """A receipt may be the fourth text of the day; New York has no cap."""
    decision = before_send(claim_with(**{"phone": "+13055550123"} | changes), at=NOON)
    assert isinstance(decision, Send)
    assert decision.cap is None


def test_a_capped_text_waits_until_there_is_room_or_for_the_opening_after_it() -> None:
    """In Florida, which closes at 20:00."""
    why = "Daily cap: 3 texts in 24 hours to one person (us-fl-501.616)"
    claim = claim_with(phone="+13055550123")
    assert after_cap(claim, reached_at=NOON - CAP_WINDOW) == Defer(
        NOON, "quiet_hours", why, "daily_cap", CLOSING - HOUR
    )
    assert after_cap(claim, reached_at=NIGHT - CAP_WINDOW, profile=AT_ONCE) == Defer(
        OPENING, "quiet_hours", why, "daily_cap", NEXT_CLOSING - HOUR
    )


def test_a_capped_text_that_expires_before_there_is_room_is_cancelled() -> None:
    """It would never be sent."""
    claim = claim_with(phone="+13055550123", expires_at=NOON)
    why = "Daily cap: 3 texts in 24 hours to one person (us-fl-501.616)"
    assert after_cap(claim, reached_at=NOON - CAP_WINDOW) == End(
        "cancelled", f"Expires before it may go out. {why}", "expired"
    )


def test_a_number_no_person_has_is_refused_by_name() -> None:
    """And not scheduled for an hour at which it could never be texted either."""
    decision = before_send(claim_with(phone="+18005550123"), at=NOON)
    assert decision == End(
        "failed", "Phone number is toll-free: no person's phone, no text is sent to it", "number_invalid"
    )


QUARTER = 15 * MINUTE

# what a person can mend, and what the text says that it waits for, in words and in a word
MENDABLE: list[tuple[dict[str, Any], str, WhyCode]] = [
    # A satellite phone may be anywhere.
    (
        {"phone": "+881612345678", "timezone": None, "business_timezone": None},
        "No time zone is known for a +881 number: set the customer's timezone to where they are",
        "no_time_zone",
    ),
    # A declared emergency.
    (
        {"stopped_states": ["LA", "NY"]},
        "Texts to NY are stopped: lift the stop for that state, and they go on",
        "state_stopped",
    ),
    # A guess would be a license.
    (
        {"business_hours": "nine to five"},
        "The business's sms_hours cannot be read: 'nine to five' is no span of hours; "
        "write hours such as Mon-Fri 09:00-18:00, Sat 10:00-16:00",
        "hours_unreadable",
    ),
    # A business that is open on no day the state permits.
    (
        {"business_hours": "03:00-04:00"},
        "No permitted hour within 8 days: closed (federal, own) in America/New_York",
        "no_opening",
    ),
]


@pytest.mark.parametrize(("trouble", "why", "code"), MENDABLE, ids=lambda value: str(value)[:40])
@pytest.mark.parametrize("at", [NOON, NIGHT], ids=["by day", "by night"])
@pytest.mark.parametrize("expires_at", [None, NIGHT + timedelta(days=2)], ids=["life not begun", "life begun"])
def test_what_a_person_can_mend_makes_a_text_wait_and_says_what_to_do(
    trouble: dict[str, Any], why: str, code: WhyCode, at: datetime, expires_at: datetime | None
) -> None:
    """It is looked at again every quarter of an hour, and is never failed for it."""
    decision = before_send(claim_with(**trouble, expires_at=expires_at), at=at)
    assert isinstance(decision, Hold)
    assert decision.why.startswith(why)
    assert (decision.why_code, decision.look_in, decision.ambiguous) == (code, QUARTER, ())


@pytest.mark.parametrize(("trouble", "why"), [each[:2] for each in MENDABLE], ids=lambda value: str(value)[:40])
def test_once_it_is_mended_a_held_text_goes_on_by_itself(trouble: dict[str, Any], why: str) -> None:
    """By the next look, and with what is left of its life."""
    mended = dict.fromkeys(trouble, None) | {"phone": PHONE, "timezone": "America/New_York", "stopped_states": []}
    assert isinstance(before_send(claim_with(**mended, held=True, why=why), at=NOON), Send)


@pytest.mark.parametrize(("trouble", "why"), [each[:2] for each in MENDABLE], ids=lambda value: str(value)[:40])
def test_a_held_text_ends_only_by_its_expiry_and_says_what_it_waited_for(trouble: dict[str, Any], why: str) -> None:
    """Cancelled, not failed: nobody wants it any more."""
    claim = claim_with(**trouble, held=True, why=why, expires_at=NOON)
    assert before_send(claim, at=NOON) == End("cancelled", f"Expired before it could be sent. {why}", "expired")


def test_what_a_text_waited_for_without_being_held_is_not_told_at_its_end() -> None:
    """It had its chance; why it waited last is no reason."""
    claim = claim_with(why="Quiet hours", expires_at=NOON)
    assert before_send(claim, at=NOON) == End("cancelled", "Expired before it could be sent", "expired")


def test_transactional_texts_go_to_a_stopped_state() -> None:
    """A receipt is what the customer asked for."""
    assert isinstance(before_send(claim_with(message_class="transactional", stopped_states=["NY"]), at=NOON), Send)


def test_what_no_mending_helps_is_failed_even_when_there_is_something_to_mend() -> None:
    """Nobody is asked to mend the hours of a text that has no number."""
    decision = before_send(claim_with(phone=None, business_hours="nine to five"), at=NOON)
    assert decision == End("failed", "Customer has no phone number", "no_phone")


# The life of a text


def test_a_life_that_has_not_begun_is_two_days_from_the_first_moment_it_might_go_out() -> None:
    """The window is shorter than that, so it closes first."""
    claim = claim_with(expires_at=None)
    assert before_send(claim, at=NOON) == Send(LAST_CALL, LAST_HOLD, NEW_YORK_RULE)
    assert timedelta(hours=48) == policy.LIFE


SINCE: list[tuple[str, datetime, datetime, datetime | None]] = [
    ("by day, a moment ago", NOON - MINUTE, NOON, NOON - MINUTE),
    ("by day, and nothing ran for a day", NOON - timedelta(days=1), NOON, NOON - timedelta(days=1)),
    ("by night, and nothing ran in the morning", NIGHT - timedelta(days=1), NOON, OPENING - timedelta(days=1)),
    ("in the last moments of the day", CLOSING - timedelta(seconds=5), NOON + timedelta(days=1), OPENING),
    ("by night, and it is night", NIGHT, NIGHT + MINUTE, None),
    ("not yet", NOON + MINUTE, NOON, None),
]


@pytest.mark.parametrize(("case", "due", "at", "counted"), SINCE, ids=[each[0] for each in SINCE])
def test_a_life_counts_from_the_first_moment_it_might_have_gone_out_also_if_nothing_ran(
    case: str, due: datetime, at: datetime, counted: datetime | None
) -> None:
    """Waiting for an opening does not count."""
    claim = claim_with(expires_at=None, due_since=due)
    assert policy.end_of_life(claim, at=at) == (counted + policy.LIFE if counted else None), case


@pytest.mark.parametrize("wrong", [{"business_hours": "nine to five"}, {"stopped_states": ["NY"]}])
def test_a_life_counts_from_its_time_where_something_must_be_mended(wrong: dict[str, Any]) -> None:
    """No opening kept it."""
    claim = claim_with(expires_at=None, due_since=NIGHT, **wrong)
    assert policy.end_of_life(claim, at=NIGHT + MINUTE) == NIGHT + policy.LIFE


def test_a_life_has_one_end() -> None:
    """What was said of it once stays; and a database that does not say since when it was due counts from now."""
    assert policy.end_of_life(claim_with(due_since=NOON - timedelta(days=9)), at=NOON) is None
    assert policy.end_of_life(claim_with(expires_at=None), at=NOON) is None


def test_a_text_that_was_due_too_long_ago_says_since_when() -> None:
    """It is no failure: nobody wants it any more."""
    claim = claim_with(expires_at=None, due_since=NOON - timedelta(days=2))
    assert before_send(claim, at=NOON) == End(
        "cancelled", "Expired before it could be sent: it was due on 2027-01-10 (UTC)", "expired"
    )


@pytest.mark.parametrize("hours", ["Mon 09:00-18:00", "Sun 12:00-14:00"], ids=["in six days", "in five days"])
def test_waiting_for_an_opening_costs_no_life(hours: str) -> None:
    """A business that texts on one day of the week: longer than a life, and the text waits and is not cancelled."""
    decision = before_send(claim_with(expires_at=None, business_hours=hours), at=NOON, profile=AT_ONCE)
    assert isinstance(decision, Defer)
    assert decision.until > NOON + policy.LIFE
    begun = before_send(claim_with(expires_at=NOON + policy.LIFE, business_hours=hours), at=NOON, profile=AT_ONCE)
    assert isinstance(begun, End)
    assert begun.status == "cancelled"


def test_what_waits_for_an_opening_with_its_life_not_begun_has_its_turn_before_the_window_closes() -> None:
    """The spread is over the window, when there is no expiry to hold it to."""
    rows = [claim_with(id=UUID(int=number), expires_at=None) for number in range(50)]
    decisions = [before_send(row, at=NIGHT) for row in rows]
    assert all(isinstance(each, Defer) and OPENING <= each.until < OPENING + 10 * MINUTE for each in decisions)


def test_a_capped_text_whose_life_has_not_begun_waits_for_room() -> None:
    """It could have gone out but for the cap; the queue begins its life then."""
    claim = claim_with(phone="+13055550123", expires_at=None)
    assert isinstance(after_cap(claim, reached_at=NOON - MINUTE), Defer)


def test_a_capped_text_is_held_when_its_state_is_stopped_meanwhile() -> None:
    """A stop is lifted by a person, whatever else the text waits for."""
    claim = claim_with(phone="+13055550123", stopped_states=["FL"])
    decision = after_cap(claim, reached_at=NOON - CAP_WINDOW)
    assert isinstance(decision, Hold)
    assert decision.why.startswith("Texts to FL are stopped")


def test_a_text_whose_customer_is_locked_waits_a_minute_and_keeps_its_reason() -> None:
    """Somebody else's transaction is nobody's failure."""
    decision = busy(NOON)
    assert (decision.until, decision.reason) == (NOON + MINUTE, None)
    assert decision.why == "Another transaction holds the customer locked"


# The window


def test_a_businesss_own_hours_narrow_the_window() -> None:
    """Until six in the evening."""
    decision = before_send(claim_with(business_hours="09:00-18:00"), at=NOON)
    assert isinstance(decision, Send)
    assert decision.valid_until == NIGHT - timedelta(hours=3, minutes=1)


def test_the_decision_does_not_change_the_claim() -> None:
    """A claim is a value; the clock is an argument, so the same question has the same answer."""
    claim = claim_with()
    assert before_send(claim, at=NOON) == before_send(claim, at=NOON)
    assert claim == claim_with()


# After the send


def test_an_accepted_text_is_complete() -> None:
    """It carries the provider's name for the message."""
    assert after_send(claim_with(), Accepted(SID)) == Complete(SID)


@pytest.mark.parametrize("attempts", [0, 2])
@pytest.mark.parametrize("first_send", [True, False])
def test_a_text_in_doubt_is_held_back(attempts: int, first_send: bool) -> None:
    """However many attempts it has left, it is neither failed nor sent again."""
    claim = claim_with(attempt_count=attempts)
    assert after_send(claim, InDoubt("No answer", 503), first_send=first_send) == Doubt("No answer", look_in=MINUTE)


# sends made before this one, what a passing refusal leads to
PASSING_REFUSALS = [
    (0, "again"),
    (1, "again"),
    (2, "given up"),
    (3, "given up"),
]


@pytest.mark.parametrize(("attempts", "then"), PASSING_REFUSALS)
def test_a_passing_refusal_counts_and_the_third_is_the_last(attempts: int, then: str) -> None:
    """The wait grows with the sends made; the last error is told when the text is given up."""
    decision = after_send(claim_with(attempt_count=attempts), refused(30003))
    error = "Twilio 30003: Unreachable destination handset"
    if then == "given up":
        assert decision == GiveUp(
            f"Gave up after {attempts + 1} attempts; the last: {error}", "attempts_used_up", 30003
        )
    else:
        delay = next_retry_delay(attempts + 1)
        assert decision == Retry(delay, "twilio_error", error, "refused_for_now", 30003, counted=True)


def test_the_whole_life_of_a_text_that_never_gets_through() -> None:
    """A first send that does not count, then three retries, each after its delay, then no more."""
    decisions = [after_send(claim_with(), refused(30003), first_send=True)]
    decisions += [after_send(claim_with(attempt_count=sends), refused(30003)) for sends in (0, 1, 2)]
    waits = [decision.delay for decision in decisions if isinstance(decision, Retry)]
    assert waits == [next_retry_delay(retries) for retries in (0, 1, 2)]
    assert isinstance(decisions[-1], GiveUp)


@pytest.mark.parametrize("max_attempts", [1, 2, 5])
def test_the_cap_is_the_rows_own(max_attempts: int) -> None:
    """A row may allow more or fewer sends than three."""
    decisions = [
        after_send(claim_with(attempt_count=sends, max_attempts=max_attempts), refused(30003))
        for sends in range(max_attempts)
    ]
    assert [isinstance(decision, GiveUp) for decision in decisions] == [False] * (max_attempts - 1) + [True]


SLOWER = "Twilio 20429: Too Many Requests"
# what Twilio says, the reason the row waits
UNCOUNTED: list[tuple[Rejected | NotSent, Reason, str, WhyCode, int | None]] = [
    (refused(20429, 429), "rate_limit", SLOWER, "rate_limited", 20429),
    (refused(99999, 429), "rate_limit", "Twilio 99999: not in our table of errors (HTTP 429)", "rate_limited", 99999),
    (NotSent("Not reached"), "twilio_error", "Not reached", "unreachable", None),
]


@pytest.mark.parametrize(("outcome", "reason", "why", "why_code", "code"), UNCOUNTED, ids=lambda value: str(value)[:40])
@pytest.mark.parametrize(("attempts", "minutes"), [(0, 1), (1, 5), (2, 15)])
def test_what_is_not_the_texts_fault_costs_no_attempt(
    outcome: Rejected | NotSent,
    reason: Reason,
    why: str,
    why_code: WhyCode,
    code: int | None,
    attempts: int,
    minutes: int,
) -> None:
    """Rate limits and requests that never left are tried again even at the last attempt."""
    decision = after_send(claim_with(attempt_count=attempts), outcome)
    assert decision == Retry(timedelta(minutes=minutes), reason, why, why_code, code, counted=False)


@pytest.mark.parametrize("kind", get_args(RefusalKind))
@pytest.mark.parametrize("code", [None, 20003, 21610])
def test_a_decision_goes_by_the_kind_of_a_refusal_and_reads_no_code(kind: RefusalKind, code: int | None) -> None:
    """The code is the provider's: it is kept as a label and means nothing here."""
    with_code = after_send(claim_with(), Rejected(Refusal(kind, "Some trouble", code)))
    plain = after_send(claim_with(), Rejected(Refusal(kind, "Some trouble", 4711)))
    assert isinstance(plain, Retry | GiveUp)
    assert with_code == replace(plain, code=code)


# Twilio's code, its name, whether the recipient said stop, what is wrong with the number
REFUSED_FOR_GOOD = [
    (21211, "Invalid 'To' Phone Number", False, "invalid"),
    (21614, "'To' number is not a valid mobile number", False, "not_mobile"),
    (21610, "Attempt to send to unsubscribed recipient", True, None),
    (99999, "not in our table of errors (HTTP 400)", False, None),
    # Trouble with our sender is no word on the number.
    (21612, 'Message cannot be sent with the current combination of "To" and/or "From" parameters', False, None),
]


@pytest.mark.parametrize(("code", "name", "opted_out", "phone_status"), REFUSED_FOR_GOOD)
@pytest.mark.parametrize("first_send", [True, False])
def test_what_will_be_refused_every_time_is_given_up_at_once(
    code: int, name: str, opted_out: bool, phone_status: str | None, first_send: bool
) -> None:
    """A wrong number, an opt-out, or a refusal nobody knows: no second try, and what it says of the number is kept."""
    decision = after_send(claim_with(), refused(code), first_send=first_send)
    assert decision == GiveUp(
        f"Twilio {code}: {name}", "opted_out" if opted_out else "refused", code, opted_out, phone_status
    )


# sends made, what Twilio asks to wait, how long the text waits
RETRY_AFTER = [
    (0, None, 60),
    (0, 0, 60),
    (0, 7, 60),
    (0, 90, 90),
    (0, 899, 899),
    (0, 901, 900),
    (0, 86_400, 900),
    (1, 7, 300),
    (1, 301, 301),
    (2, 7, 900),
    (2, 86_400, 900),
]


@pytest.mark.parametrize(("attempts", "asked", "waits"), RETRY_AFTER)
def test_what_a_provider_asks_to_wait_is_honored_up_to_a_quarter_of_an_hour(
    attempts: int, asked: int | None, waits: int
) -> None:
    """Never less than the backoff, and no header keeps a text for a day."""
    outcome = refused(20429, 429, retry_after=None if asked is None else timedelta(seconds=asked))
    decision = after_send(claim_with(attempt_count=attempts), outcome)
    assert decision == Retry(timedelta(seconds=waits), "rate_limit", SLOWER, "rate_limited", 20429, counted=False)


# rate limits met before, sends made, what one more leads to
RATE_LIMITS = [
    (
        19,
        0,
        Retry(timedelta(minutes=1), "rate_limit", SLOWER, "rate_limited", 20429, counted=False),
    ),
    (
        20,
        0,
        Retry(next_retry_delay(1), "rate_limit", SLOWER, "rate_limited", 20429, counted=True),
    ),
    (
        21,
        1,
        Retry(next_retry_delay(2), "rate_limit", SLOWER, "rate_limited", 20429, counted=True),
    ),
    (22, 2, GiveUp(f"Gave up after 3 attempts; the last: {SLOWER}", "attempts_used_up", 20429)),
]


@pytest.mark.parametrize(("met", "attempts", "then"), RATE_LIMITS)
def test_from_the_21st_rate_limit_on_each_counts_as_an_attempt(met: int, attempts: int, then: Retry | GiveUp) -> None:
    """So that no text is tried for ever."""
    assert after_send(claim_with(rate_limit_count=met, attempt_count=attempts), refused(20429, 429)) == then


# refusals of the account that the text met before, minutes until it is tried again
ACCOUNT = [(0, 1), (1, 5), (2, 15), (3, 60), (4, 60), (1000, 60)]


@pytest.mark.parametrize(("met", "minutes"), ACCOUNT)
@pytest.mark.parametrize("attempts", [0, 2])
@pytest.mark.parametrize(
    ("rejected", "why"),
    [
        (refused(20003, 401), "Twilio 20003: Permission Denied"),
        (refused(99999, 403), "Twilio 99999: not in our table of errors (HTTP 403)"),
    ],
    ids=["certain", "uncertain"],
)
def test_a_refused_account_is_asked_ever_less_often_and_costs_no_attempt(
    rejected: Rejected, why: str, attempts: int, met: int, minutes: int
) -> None:
    """However often: somebody mends the account, or the text expires. The next time somebody else's text goes first."""
    claim = claim_with(account_refusal_count=met, attempt_count=attempts, rate_limit_count=99)
    assert after_send(claim, rejected) == Retry(
        timedelta(minutes=minutes),
        "twilio_error",
        why,
        "account_refused",
        rejected.refusal.code,
        counted=False,
        account_refused=True,
    )


def test_the_waits_after_refusals_of_the_account_grow() -> None:
    """None is shorter than the one before it."""
    assert list(ACCOUNT_DELAYS) == sorted(ACCOUNT_DELAYS)


@pytest.mark.parametrize("outcome", [refused(20429, 429), refused(30003), NotSent("Not reached")], ids=str)
def test_nothing_else_counts_as_a_refusal_of_the_account(outcome: Rejected | NotSent) -> None:
    """Such a text may go first when sending is tried again."""
    decision = after_send(claim_with(account_refusal_count=5), outcome)
    assert isinstance(decision, Retry)
    assert not decision.account_refused
    assert decision.delay < ACCOUNT_DELAYS[-1]


# Evidence of a text in doubt

BEGUN = NOON - timedelta(minutes=20)
OTHER = "SM" + "f" * 32

# the SID in the send log, whether it says sent, what is concluded, and what else if the SID is another attempt's
BY_SID, BY_STATUS = Settle(SID, "callback"), Settle(None, "callback")
KNOWN: list[tuple[str | None, bool, list[Settle]]] = [
    (SID, True, [BY_SID, BY_STATUS]),
    (SID, False, [BY_SID, BY_STATUS]),
    (None, True, [BY_STATUS]),
    (None, False, []),
]


@pytest.mark.parametrize(("sid", "says_sent", "conclusions"), KNOWN)
def test_the_send_log_may_know_what_became_of_a_text_in_doubt(
    sid: str | None, says_sent: bool, conclusions: list[Settle]
) -> None:
    """A SID always; that it was sent, because `begin` refuses a text whose log says so before. SQL knows the words."""
    assert known_evidence(claim_with(known_sid=sid, log_says_sent=says_sent)) == conclusions


def sighting(sid: str = SID, *, after: timedelta = timedelta(seconds=1), body: str = BODY) -> Sighting:
    """Our text in the provider's list, created that long after the attempt began."""
    return listed(sid, created_at=BEGUN + after, body=body)


def doubtful(**changes: Any) -> Claim:
    """A claim in doubt, with what was sent."""
    return claim_with(**{"sent_to": PHONE, "sent_body": BODY, "attempt_begun_at": BEGUN} | changes)


def conclusions_of(
    claim: Claim, sightings: list[Sighting] | None, in_doubt: InDoubtPolicy = "resend"
) -> list[AfterLook]:
    """What the provider's list says of a text in doubt, in order."""
    look = None if sightings is None else Look(sightings=tuple(sightings))
    return list(after_look(claim, look, at=NOON, profile=Profile(in_doubt=in_doubt)))


FOUND, ABSENT = [sighting()], list[Sighting]()
AGAIN, FAILED_LOOK, UNSEEN = "look again", "look again, this one failed", "held, and looked for"
NO_LIST = "In doubt: the provider's list could not be had. Look in the provider's log, then `smsretry resolve`"

# looks in vain before, minutes in doubt, what the list holds, what is done and after how many minutes
LOOKS: list[tuple[int, float, list[Sighting] | None, str, int]] = [
    # The first looks: the list lags, so an absence means little.
    (0, 1, ABSENT, AGAIN, 5),
    (1, 6, ABSENT, AGAIN, 15),
    # Not three looks, however long it is ago.
    (0, 60, ABSENT, AGAIN, 5),
    (1, 60, ABSENT, AGAIN, 15),
    # Not fifteen minutes, however often one looked.
    (2, 14.99, ABSENT, AGAIN, 15),
    (9, 14.99, ABSENT, AGAIN, 15),
    # Three looks and fifteen minutes.
    (2, 15, ABSENT, "over", 0),
    (2, 21, ABSENT, "over", 0),
    (9, 600, ABSENT, "over", 0),
    # A look that failed says nothing, however many others there were.
    (0, 1, None, FAILED_LOOK, 1),
    (2, 15, None, FAILED_LOOK, 15),
    (9, 59, None, FAILED_LOOK, 15),
    # For an hour: it goes on, and a person is told.
    (0, 60, None, UNSEEN, 15),
    (9, 600, None, UNSEEN, 15),
    # Found, early and late.
    (0, 1, FOUND, "found", 0),
    (1, 7, FOUND, "found", 0),
    (9, 600, FOUND, "found", 0),
]


@pytest.mark.parametrize("in_doubt", ["resend", "hold"])
@pytest.mark.parametrize(("looks", "minutes", "sightings", "then", "wait"), LOOKS)
def test_a_text_in_doubt_is_given_up_for_unsent_only_after_three_looks_and_fifteen_minutes(
    looks: int,
    minutes: float,
    sightings: list[Sighting] | None,
    then: str,
    wait: int,
    in_doubt: InDoubtPolicy,
) -> None:
    """Then it is sent again, or held for a person; evidence settles it at any time."""
    claim = doubtful(
        in_doubt_since=NOON - minutes * MINUTE,
        attempt_begun_at=min(BEGUN, NOON - minutes * MINUTE),
        reconcile_count=looks,
    )
    if sightings:
        sightings = [sighting(after=claim.attempt_begun_at + SECOND - BEGUN)] if claim.attempt_begun_at else []
    over: AfterLook = (
        Resend()
        if in_doubt == "resend"
        else Hold(
            f"In doubt: no evidence after {looks + 1} looks. Look in the provider's log, then `smsretry resolve`",
            "no_evidence",
            60 * MINUTE,
        )
    )
    expected: dict[str, AfterLook] = {
        AGAIN: LookAgain(wait * MINUTE, failed=False, why="No evidence yet", why_code="no_evidence"),
        FAILED_LOOK: LookAgain(
            wait * MINUTE, failed=True, why="The provider's list could not be had", why_code="list_unavailable"
        ),
        UNSEEN: Hold(NO_LIST, "list_unavailable", wait * MINUTE),
        "over": over,
        "found": Settle(SID, "reconcile"),
    }
    assert conclusions_of(claim, sightings, in_doubt)[0] == expected[then]


NOTHING_YET = LookAgain(5 * MINUTE, failed=False, why="No evidence yet", why_code="no_evidence")
SECOND_MESSAGE = sighting(OTHER, after=2 * SECOND)
REDACTED = sighting(OTHER, after=2 * SECOND, body="")
HELD = Hold(AMBIGUOUS, "ambiguous", 60 * MINUTE, (OTHER,))

# what the list holds, what is concluded, in this order, until it is no other attempt's
CANDIDATES: list[tuple[list[Sighting], list[AfterLook]]] = [
    ([], [NOTHING_YET]),
    ([sighting(SID)], [Settle(SID, "reconcile"), NOTHING_YET]),
    ([sighting(SID), SECOND_MESSAGE], [Settle(SID, "reconcile"), Settle(OTHER, "reconcile"), NOTHING_YET]),
    ([SECOND_MESSAGE, sighting(SID)], [Settle(SID, "reconcile"), Settle(OTHER, "reconcile"), NOTHING_YET]),
    # What fits in all but the body is neither ours nor an absence: a person says, unless it turns out to be another's.
    ([REDACTED], [HELD, NOTHING_YET]),
    ([REDACTED, sighting(SID)], [Settle(SID, "reconcile"), HELD, NOTHING_YET]),
]


@pytest.mark.parametrize(("sightings", "conclusions"), CANDIDATES)
def test_a_message_of_another_attempt_is_no_evidence(sightings: list[Sighting], conclusions: list[AfterLook]) -> None:
    """The oldest one that nobody owns is this text's. When each has an owner, it is as if the list had been empty."""
    assert conclusions_of(doubtful(in_doubt_since=BEGUN + MINUTE), sightings) == conclusions


@pytest.mark.parametrize("looks", [0, 2, 50])
@pytest.mark.parametrize("in_doubt", ["resend", "hold"])
def test_an_ambiguous_message_holds_a_text_however_long_one_has_looked(looks: int, in_doubt: InDoubtPolicy) -> None:
    """A resend could double it, whatever the owner chose for texts without evidence."""
    claim = doubtful(in_doubt_since=BEGUN + MINUTE, reconcile_count=looks)
    assert conclusions_of(claim, [REDACTED], in_doubt)[0] == HELD


CHANGED_SINCE = [{"phone": "+12125550199"}, {"body": "Something else"}, {"phone": None, "body": None}]


@pytest.mark.parametrize("changes", CHANGED_SINCE, ids=["number", "body", "deleted"])
def test_a_message_is_compared_with_what_was_sent(changes: dict[str, Any]) -> None:
    """The rows may say something else by now, or be gone."""
    claim = doubtful(in_doubt_since=BEGUN + MINUTE, **changes)
    assert conclusions_of(claim, [sighting()])[0] == Settle(SID, "reconcile")


def test_a_text_whose_body_is_not_on_record_is_never_settled_by_a_redacted_message() -> None:
    """Nothing equals nothing, and that proves nothing."""
    claim = doubtful(in_doubt_since=BEGUN + MINUTE, sent_body=None)
    assert conclusions_of(claim, [REDACTED])[0] == HELD


def test_an_expired_text_whose_list_cannot_be_had_is_held() -> None:
    """It cannot be sent again, and may have gone out: a person looks."""
    claim = doubtful(in_doubt_since=NOON - MINUTE, expires_at=NOON)
    assert conclusions_of(claim, None) == [Hold(NO_LIST, "list_unavailable", 15 * MINUTE)]


def test_a_text_whose_life_has_not_begun_is_looked_for_again_when_the_list_cannot_be_had() -> None:
    """However often."""
    (decision,) = conclusions_of(doubtful(in_doubt_since=NOON - MINUTE, expires_at=None, reconcile_count=50), None)
    assert isinstance(decision, LookAgain)
    assert decision.failed


TOO_LONG = "is longer than anybody reads"


@pytest.mark.parametrize("looks", [0, 2, 50])
@pytest.mark.parametrize(
    ("sightings", "before"), [([], []), ([sighting()], [Settle(SID, "reconcile")]), ([REDACTED], [HELD])]
)
def test_a_list_that_lacks_something_proves_what_is_in_it_and_no_absence(
    looks: int, sightings: list[Sighting], before: list[AfterLook]
) -> None:
    """A person is told of it, at once: to look again will not make it shorter."""
    claim = doubtful(in_doubt_since=BEGUN + MINUTE, reconcile_count=looks)
    look = Look(sightings=tuple(sightings), lacks=TOO_LONG)
    *told, last = after_look(claim, look, at=NOON)
    assert told == before
    assert isinstance(last, Hold)
    assert (last.why.startswith(f"In doubt: the provider's list {TOO_LONG}"), last.look_in) == (True, 60 * MINUTE)


def test_nothing_is_proved_where_the_clock_was_set_back_during_the_send() -> None:
    """What would be the text is named to the person who decides; without any, they look for themselves."""
    claim = doubtful(in_doubt_since=BEGUN - MINUTE, reconcile_count=2)
    named, unnamed = conclusions_of(claim, [sighting()])
    assert named == Hold(HELD.why, "ambiguous", 60 * MINUTE, (SID,))
    assert isinstance(unnamed, Hold)
    assert "set back" in unnamed.why
    assert conclusions_of(claim, [])[0] == unnamed


def test_a_doubt_without_an_attempt_on_record_is_looked_for_around_its_beginning() -> None:
    """An older installation's row may have no attempt."""
    claim = doubtful(in_doubt_since=BEGUN, attempt_begun_at=None)
    assert conclusions_of(claim, [sighting()], "hold")[0] == Settle(SID, "reconcile")
