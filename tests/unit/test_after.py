"""What follows from a send."""

from dataclasses import replace
from datetime import timedelta
from typing import get_args

import pytest

from smsretry.retry.after import after_send
from smsretry.retry.backoff import next_retry_delay
from smsretry.retry.decision import Complete, Decision, Fail, Hold, LookAgain, Retry
from smsretry.retry.outcome import Accepted, InDoubt, NotSent, Outcome, Refusal, RefusalKind, Rejected
from smsretry.vocabulary import WhyCode
from tests.support.builders import SID, claim_with, refused

MINUTE = timedelta(minutes=1)
UNREACHABLE = "Twilio 30003: Unreachable destination handset"
SLOWER = "Twilio 20429: Too Many Requests"
UNLISTED = "Twilio {0}: not in our table of errors (HTTP {1}). See https://www.twilio.com/docs/api/errors/{0}, and mend"


def test_an_accepted_text_is_complete() -> None:
    """It carries the provider's name for the message."""
    assert after_send(claim_with(), Accepted(SID)) == Complete(f"Accepted as {SID}", sid=SID)


def test_a_text_in_doubt_is_held_back() -> None:
    """However many attempts it has left, it is neither failed nor sent again."""
    for attempts in (0, 2):
        for first_send in (True, False):
            decision = after_send(claim_with(attempt_count=attempts), InDoubt("No answer"), first_send=first_send)
            assert decision == LookAgain("No answer", "in_doubt", look_in=MINUTE)


def test_the_whole_life_of_a_text_that_never_gets_through() -> None:
    """A first send that does not count, then three retries, each after its delay, then no more."""
    first = after_send(claim_with(), refused(30003), first_send=True)
    assert first == Retry(UNREACHABLE, "refused_for_now", 30003, delay=MINUTE, counted=True)
    for sends, minutes in ((0, 5), (1, 15)):
        decision = after_send(claim_with(attempt_count=sends), refused(30003))
        assert decision == replace(first, delay=minutes * MINUTE)
        assert minutes * MINUTE == next_retry_delay(sends + 1)
    last = Fail(f"Gave up after 3 attempts; the last: {UNREACHABLE}", "attempts_used_up", 30003)
    assert after_send(claim_with(attempt_count=2), refused(30003)) == last


def test_the_most_attempts_are_the_rows_own() -> None:
    """A row may allow more or fewer sends than three."""
    for most in (1, 2, 5):
        claims = [claim_with(attempt_count=sends, max_attempts=most) for sends in range(most)]
        decisions = [after_send(claim, refused(30003)) for claim in claims]
        assert [isinstance(decision, Fail) for decision in decisions] == [False] * (most - 1) + [True]


@pytest.mark.parametrize(("attempts", "minutes"), [(0, 1), (1, 5), (2, 15)])
def test_what_is_not_the_texts_fault_costs_no_attempt(attempts: int, minutes: int) -> None:
    """Rate limits and requests that never left are tried again even at the last attempt."""
    claim, delay = claim_with(attempt_count=attempts), minutes * MINUTE
    assert after_send(claim, refused(20429, 429)) == Retry(
        SLOWER, "rate_limited", 20429, delay=delay, reason="rate_limit"
    )
    assert after_send(claim, NotSent("Not reached")) == Retry("Not reached", "unreachable", delay=delay)


def test_what_a_provider_asks_to_wait_is_honored_up_to_a_quarter_of_an_hour() -> None:
    """Never less than the backoff, and no header keeps a text for a day. In seconds."""
    table = [
        # sends made, what it asks, how long the text waits
        (0, None, 60), (0, 0, 60), (0, 7, 60), (0, 90, 90), (0, 899, 899), (0, 901, 900), (0, 86_400, 900),
        (1, 7, 300), (1, 301, 301), (2, 7, 900), (2, 86_400, 900),
    ]  # fmt: skip
    for attempts, asked, waits in table:
        outcome = refused(20429, 429, retry_after=None if asked is None else timedelta(seconds=asked))
        decision = after_send(claim_with(attempt_count=attempts), outcome)
        assert isinstance(decision, Retry)
        assert (decision.delay, decision.counted) == (timedelta(seconds=waits), False)


@pytest.mark.parametrize(
    ("outcome", "why"),
    [
        (refused(20003, 401), "Twilio 20003: Permission Denied"),
        (refused(21408), "Twilio 21408: Permission to send an SMS or MMS has not been enabled for the region"),
        (refused(99999, 403), UNLISTED.format(99999, 403)),
        (refused(99999, 400), UNLISTED.format(99999, 400)),
    ],
    ids=["credentials", "geo permissions", "a code that nobody knows", "a code that nobody knows, by its status too"],
)
def test_what_somebody_can_mend_holds_a_text_costs_no_attempt_and_is_tried_ever_less_often(
    outcome: Rejected, why: str
) -> None:
    """However often: somebody mends the account, or the text expires. It says what to do."""
    for met, minutes in ((0, 1), (1, 5), (2, 15), (3, 60), (4, 60), (1000, 60)):
        decision = after_send(claim_with(account_refusal_count=met, attempt_count=2), outcome)
        assert isinstance(decision, Hold)
        assert decision.why.startswith(why)
        assert decision.why != outcome.refusal.text
        assert (decision.why_code, decision.code) == ("account_refused", outcome.refusal.code)
        assert decision.look_in == minutes * MINUTE


REFUSED_FOR_GOOD: list[tuple[int, str, WhyCode, bool, str | None]] = [
    # Twilio's code, its name, the reason, whether the recipient said stop, what is wrong with the number
    (21211, "Invalid 'To' Phone Number", "refused", False, "invalid"),
    (21614, "'To' number is not a valid mobile number", "refused", False, "not_mobile"),
    (21610, "Attempt to send to unsubscribed recipient", "opted_out", True, None),
    # Trouble with our sender is no word on the number.
    (21612, 'Message cannot be sent with the current combination of "To" and/or "From" parameters', "refused",
     False, None),
]  # fmt: skip


def test_what_will_be_refused_every_time_is_given_up_at_once() -> None:
    """No second try, and what it says of the number is kept."""
    for code, name, why_code, opted_out, phone_status in REFUSED_FOR_GOOD:
        for first_send in (True, False):
            decision = after_send(claim_with(), refused(code), first_send=first_send)
            assert decision == Fail(f"Twilio {code}: {name}", why_code, code, opted_out, phone_status)


@pytest.mark.parametrize("kind", get_args(RefusalKind))
def test_a_decision_goes_by_the_kind_of_a_refusal_and_reads_no_code(kind: RefusalKind) -> None:
    """The code is the provider's: it is kept as a label and means nothing here."""

    def decided(code: int | None) -> Decision:
        outcome: Outcome = Rejected(Refusal(kind, "Some trouble", code))
        return after_send(claim_with(), outcome)

    for code in (None, 20003, 21610):
        assert decided(code) == replace(decided(4711), code=code)
