"""What to do with a text before its send and after it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from smsretry import policy
from smsretry.decision import Complete, Defer, Doubt, End, GiveUp, Retry, Send
from smsretry.models import Claim, Reason
from smsretry.outcome import Accepted, InDoubt, NotSent, Rejected
from smsretry.policy import after_send, before_send
from smsretry.quiet_hours import QuietHoursCheck

ClaimWith = Callable[..., Claim]

NOON = datetime.fromisoformat("2027-01-12T17:00:00+00:00")
"""In New York."""
NIGHT = datetime.fromisoformat("2027-01-13T02:00:00+00:00")
"""21:00 in New York."""
NEW_YORK_RULE = "08:00–21:00 in America/New_York, the customer's zone"
SID = "SM" + "0123456789abcdef" * 2


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
def test_a_text_that_can_never_go_out_fails_with_the_reason(
    claim_with: ClaimWith, at: datetime, wrong: dict[str, Any], reason: str
) -> None:
    """At once, and not only when its quiet hours are over."""
    assert before_send(claim_with(**wrong), at=at) == End("failed", reason)


def test_the_first_reason_is_told_when_there_are_several(claim_with: ClaimWith) -> None:
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
        ({"phone": "+12125550123"}, "Text is empty: send_logs.subject holds no body"),
        ({"body": "Hi Ann"}, "Gave up after 3 attempts"),
        ({"attempt_count": 2}, "Expired before it could be sent"),
        ({"expires_at": NIGHT + timedelta(days=1)}, f"Quiet hours: {NEW_YORK_RULE}"),
    ]
    told = []
    for mended, _ in mending:
        wrong |= mended
        decision = before_send(claim_with(**wrong), at=NIGHT)
        assert isinstance(decision, End | Defer)
        told.append(decision.why)
    assert told == [reason for _, reason in mending]


@pytest.mark.parametrize("expires_at", [NOON, NOON - timedelta(days=1)], ids=["this instant", "yesterday"])
def test_an_expired_text_is_cancelled(claim_with: ClaimWith, expires_at: datetime) -> None:
    """Nobody wants yesterday's reminder; the instant itself is too late."""
    assert before_send(claim_with(expires_at=expires_at), at=NOON) == End(
        "cancelled", "Expired before it could be sent"
    )


def test_a_text_may_go_out_up_to_its_expiry(claim_with: ClaimWith) -> None:
    """A microsecond is enough."""
    claim = claim_with(expires_at=NOON + timedelta(microseconds=1))
    assert isinstance(before_send(claim, at=NOON), Send)


def test_by_day_a_text_is_sent_before_the_window_closes(claim_with: ClaimWith) -> None:
    """The decision carries the closing, 21:00 in New York, and the rule it rests on."""
    assert before_send(claim_with(), at=NOON) == Send(NIGHT, NEW_YORK_RULE)


def test_by_night_a_text_waits_for_the_opening(claim_with: ClaimWith) -> None:
    """Until 08:00 in New York, with quiet hours as the reason."""
    opening = datetime(2027, 1, 13, 13, tzinfo=UTC)
    assert before_send(claim_with(), at=NIGHT) == Defer(opening, "quiet_hours", f"Quiet hours: {NEW_YORK_RULE}")


# the customer's zone, the business's zone, the decision at 21:00 in New York, where it is 20:00 in Chicago
WHOSE_NIGHT = [
    ("America/Chicago", "America/New_York", Send),
    ("America/New_York", "America/Chicago", Defer),
    (None, "America/Chicago", Send),
    ("EST", "America/Chicago", Send),
    (None, None, Defer),
    ("UTC", "UTC", Defer),
]


@pytest.mark.parametrize(("customers", "businesss", "decision"), WHOSE_NIGHT)
def test_the_customers_clock_decides_and_the_businesss_when_it_is_unknown(
    claim_with: ClaimWith, customers: str | None, businesss: str | None, decision: type[Send] | type[Defer]
) -> None:
    """With neither known, the text waits until it is day in every US zone."""
    claim = claim_with(timezone=customers, business_timezone=businesss)
    assert isinstance(before_send(claim, at=NIGHT), decision)


def test_a_place_without_a_permitted_hour_fails_the_text(
    claim_with: ClaimWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No zone is like that today; the text would otherwise wait for ever."""
    never = QuietHoursCheck(can_send=False, next_send_at=None, closes_at=None, rule="no hours")
    monkeypatch.setattr(policy, "check_quiet_hours", lambda *_, **__: never)
    assert before_send(claim_with(), at=NOON) == End("failed", "No permitted hour within eight days: no hours")


def test_the_decision_does_not_change_the_claim(claim_with: ClaimWith) -> None:
    """A claim is a value; the clock is an argument, so the same question has the same answer."""
    claim = claim_with()
    assert before_send(claim, at=NOON) == before_send(claim, at=NOON)
    assert claim == claim_with()


# After the send


def test_an_accepted_text_is_complete(claim_with: ClaimWith) -> None:
    """It carries Twilio's name for the message."""
    assert after_send(claim_with(), Accepted(SID)) == Complete(SID)


@pytest.mark.parametrize("attempts", [0, 2])
@pytest.mark.parametrize("first_send", [True, False])
def test_a_text_in_doubt_is_held_back(claim_with: ClaimWith, attempts: int, first_send: bool) -> None:
    """However many attempts it has left, it is neither failed nor sent again."""
    claim = claim_with(attempt_count=attempts)
    assert after_send(claim, InDoubt("No answer", 503), first_send=first_send) == Doubt("No answer")


# sends made before this one, what a passing refusal leads to
PASSING_REFUSALS = [
    (0, "again in 5 minutes"),
    (1, "again in 15 minutes"),
    (2, "given up"),
    (3, "given up"),
]


@pytest.mark.parametrize(("attempts", "then"), PASSING_REFUSALS)
def test_a_passing_refusal_counts_and_the_third_is_the_last(claim_with: ClaimWith, attempts: int, then: str) -> None:
    """The wait grows with the sends made; the last error is told when the text is given up."""
    decision = after_send(claim_with(attempt_count=attempts), Rejected(30003, 400))
    error = "Twilio 30003: Unreachable destination handset"
    if then == "given up":
        assert decision == GiveUp(f"Gave up after {attempts + 1} attempts; the last: {error}", 30003)
    else:
        minutes = int(then.split()[2])
        assert decision == Retry(timedelta(minutes=minutes), "twilio_error", error, 30003, counted=True)


def test_the_whole_life_of_a_text_that_never_gets_through(claim_with: ClaimWith) -> None:
    """A first send that does not count, then retries after 1, 5 and 15 minutes, then no more."""
    decisions = [after_send(claim_with(), Rejected(30003, 400), first_send=True)]
    decisions += [after_send(claim_with(attempt_count=sends), Rejected(30003, 400)) for sends in (0, 1, 2)]
    waits = [decision.delay for decision in decisions if isinstance(decision, Retry)]
    assert waits == [timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15)]
    assert isinstance(decisions[-1], GiveUp)


@pytest.mark.parametrize("max_attempts", [1, 2, 5])
def test_the_cap_is_the_rows_own(claim_with: ClaimWith, max_attempts: int) -> None:
    """A row may allow more or fewer sends than three."""
    decisions = [
        after_send(claim_with(attempt_count=sends, max_attempts=max_attempts), Rejected(30003, 400))
        for sends in range(max_attempts)
    ]
    assert [isinstance(decision, GiveUp) for decision in decisions] == [False] * (max_attempts - 1) + [True]


# what Twilio says, the reason the row waits
UNCOUNTED: list[tuple[Rejected | NotSent, Reason, str, int | None]] = [
    (Rejected(20429, 429), "rate_limit", "Twilio 20429: Too Many Requests", 20429),
    (Rejected(99999, 429), "rate_limit", "Twilio 99999: not in our table of errors (HTTP 429)", 99999),
    (Rejected(20003, 401), "twilio_error", "Twilio 20003: Permission Denied", 20003),
    (Rejected(99999, 403), "twilio_error", "Twilio 99999: not in our table of errors (HTTP 403)", 99999),
    (NotSent("Not reached"), "twilio_error", "Not reached", None),
]


@pytest.mark.parametrize(("outcome", "reason", "why", "code"), UNCOUNTED, ids=lambda value: str(value)[:40])
@pytest.mark.parametrize(("attempts", "minutes"), [(0, 1), (1, 5), (2, 15)])
def test_what_is_not_the_texts_fault_costs_no_attempt(
    claim_with: ClaimWith,
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


REFUSED_FOR_GOOD = [
    (Rejected(21211, 400), "Twilio 21211: Invalid 'To' Phone Number"),
    (Rejected(21610, 400), "Twilio 21610: Attempt to send to unsubscribed recipient"),
    (Rejected(99999, 400), "Twilio 99999: not in our table of errors (HTTP 400)"),
]


@pytest.mark.parametrize(("outcome", "why"), REFUSED_FOR_GOOD, ids=lambda value: str(value)[:40])
@pytest.mark.parametrize("first_send", [True, False])
def test_what_will_be_refused_every_time_is_given_up_at_once(
    claim_with: ClaimWith, outcome: Rejected, why: str, first_send: bool
) -> None:
    """A wrong number, an opt-out, or a refusal nobody knows: no second try."""
    assert after_send(claim_with(), outcome, first_send=first_send) == GiveUp(why, outcome.code)
