"""What to do with a text before its send and after it."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, get_args
from uuid import UUID

import pytest

from smsretry.retry import policy
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
from smsretry.retry.models import Sighting
from smsretry.retry.outcome import Accepted, InDoubt, NotSent, Refusal, RefusalKind, Rejected
from smsretry.retry.policy import after_cap, after_look, after_send, before_send, known_evidence
from smsretry.retry.profile import Profile
from smsretry.words import InDoubtPolicy, Reason
from tests.builders import AT_ONCE, CLOSING, NOON, OPENING, PHONE, SID, claim_with, refused
from tests.builders import sighting as listed

NIGHT = CLOSING
LAST_HOLD = NIGHT - timedelta(seconds=60)
"""From here on the provider may not hold a text: with a slow request it could leave after the closing."""
LAST_CALL = LAST_HOLD - timedelta(seconds=10)
"""A text sent later could have no ten seconds there."""
CAP_WINDOW = timedelta(hours=24)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
NEW_YORK_RULE = "08:00–21:00 in America/New_York, the customer's zone"


# Before the send

HOPELESS: list[tuple[dict[str, Any], str]] = [
    # what is wrong with the row, the reason it fails with
    ({"send_log_found": False}, "Send log not found"),
    ({"customer_found": False}, "Customer not found"),
    ({"phone": None}, "Customer has no phone number"),
    ({"phone": ""}, "Customer has no phone number"),
    (
        {"phone": "(212) 555-0123"},
        "Phone number is not E.164 (a plus sign, the country code and the number, no spaces)",
    ),
    ({"phone": "+1212555012"}, "Phone number has the wrong length for its country"),
    ({"phone": "+9992125550123"}, "Phone number has no known country code"),
    ({"body": None}, "Text is empty: send_logs.subject holds no body"),
    ({"body": " \n"}, "Text is empty: send_logs.subject holds no body"),
    ({"attempt_count": 3}, "Gave up after 3 attempts"),
    ({"attempt_count": 4}, "Gave up after 4 attempts"),
]


@pytest.mark.parametrize(("wrong", "reason"), HOPELESS, ids=lambda value: str(value)[:50])
@pytest.mark.parametrize("at", [NOON, NIGHT], ids=["by day", "by night"])
def test_a_text_that_can_never_go_out_fails_with_the_reason(at: datetime, wrong: dict[str, Any], reason: str) -> None:
    """At once, and not only when its quiet hours are over."""
    assert before_send(claim_with(**wrong), at=at) == End("failed", reason)


def test_the_first_reason_is_told_when_there_are_several() -> None:
    """Mended one after the other: send log, customer, phone number, body, attempts, expiry, quiet hours."""
    wrong: dict[str, Any] = {
        "send_log_found": False,
        "customer_found": False,
        "phone": None,
        "body": None,
        "attempt_count": 3,
        "expires_at": NIGHT,
    }
    mending: list[tuple[dict[str, Any], str]] = [
        ({}, "Send log not found"),
        ({"send_log_found": True}, "Customer not found"),
        ({"customer_found": True}, "Customer has no phone number"),
        ({"phone": PHONE}, "Text is empty: send_logs.subject holds no body"),
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
    (NOON, NOON - timedelta(days=1), End("cancelled", TOO_LATE)),
    (NOON, NOON, End("cancelled", TOO_LATE)),
    (NOON, NOON + 10 * SECOND, End("cancelled", TOO_LATE)),
    (NOON, NOON + 11 * SECOND, Send(NOON + SECOND, NOON + 11 * SECOND, NEW_YORK_RULE)),
    # The provider may keep it until it expires or the window closes, whichever comes first.
    (NOON, LAST_HOLD - SECOND, Send(LAST_CALL - SECOND, LAST_HOLD - SECOND, NEW_YORK_RULE)),
    (NOON, LAST_HOLD + SECOND, Send(LAST_CALL, LAST_HOLD, NEW_YORK_RULE)),
    # By night: what expires before the opening, or at it, will never be sent, so it ends at once.
    (NIGHT, NIGHT + SECOND, End("cancelled", TOO_LATE)),
    (NIGHT, NIGHT + 11 * SECOND, End("cancelled", TOO_LATE_BY_MORNING)),
    (NIGHT, OPENING + 10 * SECOND, End("cancelled", TOO_LATE_BY_MORNING)),
    (NIGHT, OPENING + 11 * SECOND, Defer(OPENING, "quiet_hours", f"Quiet hours: {NEW_YORK_RULE}")),
    # In the last moments of the window it is as good as night.
    (LAST_CALL, NIGHT + SECOND, End("cancelled", TOO_LATE_BY_MORNING)),
    (LAST_CALL, OPENING + 11 * SECOND, Defer(OPENING, "quiet_hours", f"Quiet hours: {NEW_YORK_RULE}")),
]


@pytest.mark.parametrize(("at", "expires_at", "decision"), EXPIRY)
def test_a_text_is_never_kept_or_sent_past_its_expiry(
    at: datetime, expires_at: datetime, decision: Send | Defer | End
) -> None:
    """Nobody wants yesterday's reminder, and a text that cannot make the next opening need not wait for it."""
    assert before_send(claim_with(expires_at=expires_at), at=at, profile=AT_ONCE) == decision


def test_by_night_a_text_that_has_expired_is_told_so() -> None:
    """The reason names what happened, not what would happen."""
    assert before_send(claim_with(expires_at=NIGHT - SECOND), at=NIGHT) == End("cancelled", TOO_LATE)


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
    assert decision == Defer(OPENING, "quiet_hours", f"Quiet hours: {NEW_YORK_RULE}")


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
    """The business's zone is never a licence when the number says otherwise."""
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
    assert after_cap(claim, reached_at=NOON - CAP_WINDOW) == Defer(NOON, "quiet_hours", why)
    assert after_cap(claim, reached_at=NIGHT - CAP_WINDOW, profile=AT_ONCE) == Defer(OPENING, "quiet_hours", why)


def test_a_capped_text_that_expires_before_there_is_room_is_cancelled() -> None:
    """It would never be sent."""
    claim = claim_with(phone="+13055550123", expires_at=NOON)
    why = "Daily cap: 3 texts in 24 hours to one person (us-fl-501.616)"
    assert after_cap(claim, reached_at=NOON - CAP_WINDOW) == End("cancelled", f"Expires before it may go out. {why}")


def test_a_number_no_person_has_is_refused_by_name() -> None:
    """And not scheduled for an hour at which it could never be texted either."""
    decision = before_send(claim_with(phone="+18005550123"), at=NOON)
    assert decision == End("failed", "Phone number is toll-free: no person's phone, no text is sent to it")


def test_a_text_of_unknown_place_is_held_for_a_person() -> None:
    """A satellite phone may be anywhere."""
    decision = before_send(claim_with(phone="+881612345678", timezone=None, business_timezone=None), at=NOON)
    assert decision == End(
        "failed", "No time zone is known for a +881 number: set the customer's timezone to where they are"
    )


def test_texts_to_a_stopped_state_are_held_and_transactional_ones_go() -> None:
    """A declared emergency."""
    stopped = {"stopped_states": ["LA", "NY"]}
    decision = before_send(claim_with(**stopped), at=NOON)
    assert decision == End("failed", "Texts to NY are stopped: lift the stop for that state, then requeue")
    assert isinstance(before_send(claim_with(message_class="transactional", **stopped), at=NOON), Send)


def test_a_businesss_own_hours_narrow_the_window() -> None:
    """Until six in the evening."""
    decision = before_send(claim_with(business_hours="09:00-18:00"), at=NOON)
    assert isinstance(decision, Send)
    assert decision.valid_until == NIGHT - timedelta(hours=3, minutes=1)


def test_hours_that_cannot_be_read_hold_the_text_and_say_what_to_write() -> None:
    """A guess would be a licence."""
    decision = before_send(claim_with(business_hours="nine to five"), at=NOON)
    assert isinstance(decision, End)
    assert decision.why == (
        "The business's sms_hours cannot be read: 'nine to five' is no span of hours; "
        "write hours such as Mon-Fri 09:00-18:00, Sat 10:00-16:00"
    )


def test_a_text_without_a_permitted_hour_is_held_for_a_person() -> None:
    """A business that is open on no day the state permits; the text would otherwise wait for ever."""
    decision = before_send(claim_with(business_hours="03:00-04:00"), at=NOON)
    assert isinstance(decision, End)
    assert decision.why.startswith("No permitted hour within 8 days: closed (federal, own) in America/New_York")


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
    (0, "again in 5 minutes"),
    (1, "again in 15 minutes"),
    (2, "given up"),
    (3, "given up"),
]


@pytest.mark.parametrize(("attempts", "then"), PASSING_REFUSALS)
def test_a_passing_refusal_counts_and_the_third_is_the_last(attempts: int, then: str) -> None:
    """The wait grows with the sends made; the last error is told when the text is given up."""
    decision = after_send(claim_with(attempt_count=attempts), refused(30003))
    error = "Twilio 30003: Unreachable destination handset"
    if then == "given up":
        assert decision == GiveUp(f"Gave up after {attempts + 1} attempts; the last: {error}", 30003)
    else:
        minutes = int(then.split()[2])
        assert decision == Retry(timedelta(minutes=minutes), "twilio_error", error, 30003, counted=True)


def test_the_whole_life_of_a_text_that_never_gets_through() -> None:
    """A first send that does not count, then retries after 1, 5 and 15 minutes, then no more."""
    decisions = [after_send(claim_with(), refused(30003), first_send=True)]
    decisions += [after_send(claim_with(attempt_count=sends), refused(30003)) for sends in (0, 1, 2)]
    waits = [decision.delay for decision in decisions if isinstance(decision, Retry)]
    assert waits == [timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15)]
    assert isinstance(decisions[-1], GiveUp)


@pytest.mark.parametrize("max_attempts", [1, 2, 5])
def test_the_cap_is_the_rows_own(max_attempts: int) -> None:
    """A row may allow more or fewer sends than three."""
    decisions = [
        after_send(claim_with(attempt_count=sends, max_attempts=max_attempts), refused(30003))
        for sends in range(max_attempts)
    ]
    assert [isinstance(decision, GiveUp) for decision in decisions] == [False] * (max_attempts - 1) + [True]


# what Twilio says, the reason the row waits
UNCOUNTED: list[tuple[Rejected | NotSent, Reason, str, int | None]] = [
    (refused(20429, 429), "rate_limit", "Twilio 20429: Too Many Requests", 20429),
    (refused(99999, 429), "rate_limit", "Twilio 99999: not in our table of errors (HTTP 429)", 99999),
    (refused(20003, 401), "twilio_error", "Twilio 20003: Permission Denied", 20003),
    (refused(99999, 403), "twilio_error", "Twilio 99999: not in our table of errors (HTTP 403)", 99999),
    (NotSent("Not reached"), "twilio_error", "Not reached", None),
]


@pytest.mark.parametrize(("outcome", "reason", "why", "code"), UNCOUNTED, ids=lambda value: str(value)[:40])
@pytest.mark.parametrize(("attempts", "minutes"), [(0, 1), (1, 5), (2, 15)])
def test_what_is_not_the_texts_fault_costs_no_attempt(
    outcome: Rejected | NotSent,
    reason: Reason,
    why: str,
    code: int | None,
    attempts: int,
    minutes: int,
) -> None:
    """Rate limits, the account's troubles and requests that never left are tried again even at the last attempt."""
    decision = after_send(claim_with(attempt_count=attempts), outcome)
    assert decision == Retry(timedelta(minutes=minutes), reason, why, code, counted=False)


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
    assert decision == GiveUp(f"Twilio {code}: {name}", code, opted_out, phone_status)


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
    assert decision == Retry(
        timedelta(seconds=waits), "rate_limit", "Twilio 20429: Too Many Requests", 20429, counted=False
    )


# rate limits met before, sends made, what one more leads to
RATE_LIMITS = [
    (19, 0, Retry(timedelta(minutes=1), "rate_limit", "Twilio 20429: Too Many Requests", 20429, counted=False)),
    (20, 0, Retry(timedelta(minutes=5), "rate_limit", "Twilio 20429: Too Many Requests", 20429, counted=True)),
    (21, 1, Retry(timedelta(minutes=15), "rate_limit", "Twilio 20429: Too Many Requests", 20429, counted=True)),
    (22, 2, GiveUp("Gave up after 3 attempts; the last: Twilio 20429: Too Many Requests", 20429)),
]


@pytest.mark.parametrize(("met", "attempts", "then"), RATE_LIMITS)
def test_from_the_21st_rate_limit_on_each_counts_as_an_attempt(met: int, attempts: int, then: Retry | GiveUp) -> None:
    """So that no text is tried for ever."""
    assert after_send(claim_with(rate_limit_count=met, attempt_count=attempts), refused(20429, 429)) == then


def test_the_accounts_troubles_never_cost_an_attempt() -> None:
    """However often the text met a rate limit before; its expiry ends it, or somebody mends the account."""
    decision = after_send(claim_with(rate_limit_count=99, attempt_count=2), refused(20003, 401))
    assert isinstance(decision, Retry)
    assert not decision.counted


# Evidence of a text in doubt

BEGUN = NOON - timedelta(minutes=20)
OTHER = "SM" + "f" * 32

# the SID in the send log, its status, what is concluded, and what else if the SID is another attempt's
BY_SID, BY_STATUS = Settle(SID, "callback"), Settle(None, "callback")
KNOWN: list[tuple[str | None, str | None, list[Settle]]] = [
    (SID, "sent", [BY_SID, BY_STATUS]),
    (SID, "pending", [BY_SID, BY_STATUS]),
    (SID, "failed", [BY_SID, BY_STATUS]),
    (SID, None, [BY_SID, BY_STATUS]),
    (None, "sent", [BY_STATUS]),
    (None, "delivered", [BY_STATUS]),
    (None, "undelivered", [BY_STATUS]),
    (None, "pending", []),
    (None, "queued", []),
    (None, "failed", []),
    (None, None, []),
]


@pytest.mark.parametrize(("sid", "status", "conclusions"), KNOWN)
def test_the_send_log_may_know_what_became_of_a_text_in_doubt(
    sid: str | None, status: str | None, conclusions: list[Settle]
) -> None:
    """A SID always; a status only if it comes after the provider accepted the text."""
    assert known_evidence(claim_with(known_sid=sid, send_log_status=status)) == conclusions


def sighting(sid: str = SID, *, after: timedelta = timedelta(seconds=1)) -> Sighting:
    """Our text in the provider's list, created that long after the attempt began."""
    return listed(sid, created_at=BEGUN + after)


FOUND, ABSENT = [sighting()], list[Sighting]()
AGAIN, FAILED_LOOK = "look again", "look again, this one failed"

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
    (9, 600, None, FAILED_LOOK, 15),
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
    claim = claim_with(
        in_doubt_since=NOON - minutes * MINUTE,
        attempt_begun_at=min(BEGUN, NOON - minutes * MINUTE),
        reconcile_count=looks,
    )
    if sightings:
        sightings = [sighting(after=claim.attempt_begun_at + SECOND - BEGUN)] if claim.attempt_begun_at else []
    over: AfterLook = (
        Resend()
        if in_doubt == "resend"
        else Hold(f"In doubt: no evidence after {looks + 1} looks; look in the provider's log, then decide")
    )
    expected: dict[str, AfterLook] = {
        AGAIN: LookAgain(wait * MINUTE, failed=False, why="No evidence yet"),
        FAILED_LOOK: LookAgain(wait * MINUTE, failed=True, why="The provider's list could not be had"),
        "over": over,
        "found": Settle(SID, "reconcile"),
    }
    decisions = after_look(claim, sightings, at=NOON, profile=Profile(in_doubt=in_doubt))
    assert next(decisions) == expected[then]


NOTHING_YET = LookAgain(5 * MINUTE, failed=False, why="No evidence yet")
SECOND_MESSAGE = sighting(OTHER, after=2 * SECOND)

# what the list holds, what is concluded, in this order, until it is no other attempt's
CANDIDATES: list[tuple[list[Sighting], list[AfterLook]]] = [
    ([], [NOTHING_YET]),
    ([sighting(SID)], [Settle(SID, "reconcile"), NOTHING_YET]),
    ([sighting(SID), SECOND_MESSAGE], [Settle(SID, "reconcile"), Settle(OTHER, "reconcile"), NOTHING_YET]),
    ([SECOND_MESSAGE, sighting(SID)], [Settle(SID, "reconcile"), Settle(OTHER, "reconcile"), NOTHING_YET]),
]


@pytest.mark.parametrize(("sightings", "conclusions"), CANDIDATES)
def test_a_message_of_another_attempt_is_no_evidence(sightings: list[Sighting], conclusions: list[AfterLook]) -> None:
    """The oldest one that nobody owns is this text's. When each has an owner, it is as if the list had been empty."""
    claim = claim_with(in_doubt_since=BEGUN + MINUTE, attempt_begun_at=BEGUN)
    assert list(after_look(claim, sightings, at=NOON)) == conclusions


def test_an_expired_text_whose_list_cannot_be_had_is_held() -> None:
    """It cannot be sent again, and may have gone out: a person looks."""
    claim = claim_with(in_doubt_since=BEGUN, attempt_begun_at=BEGUN, expires_at=NOON)
    assert list(after_look(claim, None, at=NOON)) == [
        Hold("In doubt: the provider's list could not be had until the text expired; look in its log, then decide")
    ]


def test_a_doubt_without_an_attempt_on_record_is_looked_for_around_its_beginning() -> None:
    """An older installation's row may have no attempt."""
    claim = claim_with(in_doubt_since=BEGUN, attempt_begun_at=None)
    decisions = after_look(claim, [sighting()], at=NOON, profile=Profile(in_doubt="hold"))
    assert next(decisions) == Settle(SID, "reconcile")
