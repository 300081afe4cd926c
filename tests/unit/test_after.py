"""What follows from a send, and how long a text waits before it is tried again."""

from dataclasses import replace
from datetime import timedelta
from typing import get_args

import pytest

from smsretry.retry.after import after_send
from smsretry.retry.backoff import MAX_RETRY_AFTER, next_retry_delay, uncounted_delay
from smsretry.retry.decision import Decision, Fail, Hold, Retry
from smsretry.retry.outcome import (
    NotSent,
    Refusal,
    RefusalKind,
    Rejected,
)
from tests.support.builders import AT_ONCE, NOON, OPENING, claim_with, refused

MINUTE = timedelta(minutes=1)
RETRY_SCHEDULE = {0: 1, 1: 5, 2: 15, 3: 15, 4: 15, 100: 15}
"""Sends made from the queue so far, and minutes until the next one."""


def test_a_text_is_tried_again_after_each_of_the_delays() -> None:
    """The last delay repeats for as long as the text is tried, also after a try that made no send."""
    for sends, minutes in RETRY_SCHEDULE.items():
        assert next_retry_delay(sends) == uncounted_delay(sends) == minutes * MINUTE
    for delay in (next_retry_delay, uncounted_delay):
        with pytest.raises(ValueError, match=r"^count must be 0 or more, not -1"):
            delay(-1)


def test_a_text_is_tried_as_often_as_its_row_says() -> None:
    """Its first send does not count, and a request that never left is none."""
    for limit in (1, 2, 5):
        claims = [
            claim_with(attempt_count=sends, max_attempts=limit)
            for sends in range(limit)
        ]
        ends = [isinstance(after_send(claim, refused(30003)), Fail) for claim in claims]
        assert ends == [False] * (limit - 1) + [True]
    unsent = after_send(claim_with(attempt_count=2), NotSent("Not reached"))
    assert unsent == Retry("Not reached", "unreachable", due_in=next_retry_delay(2))
    decision = after_send(claim_with(max_attempts=1), refused(30003), first_send=True)
    assert isinstance(decision, Retry)


def test_the_wait_that_a_provider_asks_for_is_honored_up_to_a_quarter_of_an_hour() -> (
    None
):
    """Never less than the backoff, and no header keeps a text for a day."""
    short, long, cap, second = (
        next_retry_delay(0),
        next_retry_delay(100),
        MAX_RETRY_AFTER,
        timedelta(seconds=1),
    )
    table = [
        # sends made, what it asks, how long the text waits
        (0, None, short), (0, 0 * second, short), (0, short - second, short), (0, short + second, short + second),
        (0, cap - second, cap - second), (0, cap + second, cap), (0, timedelta(days=1), cap), (100, second, long),
    ]  # fmt: skip
    for attempts, requested, waits in table:
        decision = after_send(
            claim_with(attempt_count=attempts),
            refused(20429, 429, retry_after=requested),
        )
        assert isinstance(decision, Retry)
        assert (decision.due_in, decision.counted) == (waits, False)
    assert timedelta(minutes=15) == MAX_RETRY_AFTER


def test_what_somebody_can_mend_holds_a_text_and_costs_no_attempt() -> None:
    """However often: somebody mends the account, or the text expires. It says what to do.

    What concerns its destination alone is tried ever less often, but for a last time as it expires.
    """
    for outcome in (
        refused(20003, 401),
        refused(21408),
        refused(99999, 403),
        refused(99999, 400),
    ):
        decision = after_send(claim_with(attempt_count=2), outcome)
        assert isinstance(decision, Hold)
        assert decision.why.startswith(f"{outcome.refusal.why}. ")
        concerns_all = outcome.refusal.certain
        assert (decision.why_code == "account_refused") == concerns_all
        assert (decision.why_code == "destination_refused") != concerns_all
        assert decision.code == outcome.refusal.code
        assert decision.due_in == (15 if concerns_all else 30) * MINUTE
    for minutes, waits in {
        0: 30,
        29: 30,
        30: 120,
        150: 360,
        510: 720,
        9999: 720,
    }.items():
        decision = after_send(
            claim_with(), refused(21408), refused_for=minutes * MINUTE
        )
        assert isinstance(decision, Hold)
        assert (decision.due_in, decision.refused_for) == (waits * MINUTE, "21408 US")
    last = claim_with(expires_at=NOON + 9 * MINUTE)
    decision = after_send(last, refused(99999))
    assert isinstance(decision, Hold)
    assert (decision.due_in, decision.refused_for) == (9 * MINUTE, "99999")


def test_the_provider_s_own_quiet_hours_end_with_the_next_opening() -> None:
    """It finds the recipient elsewhere than we do. That costs no attempt, however few are left."""
    for code in (30610, 30615):
        decision = after_send(
            claim_with(attempt_count=2), refused(code), profile=AT_ONCE
        )
        assert isinstance(decision, Retry)
        assert decision.due_in == OPENING - NOON
        assert (decision.why_code, decision.reason, decision.counted) == (
            "quiet_hours",
            "quiet_hours",
            False,
        )


def test_a_decision_goes_by_the_kind_of_a_refusal_and_reads_no_code() -> None:
    """The code is the provider's: it is kept as a label and means nothing here."""

    def decided(kind: RefusalKind, code: int | None) -> Decision:
        return after_send(claim_with(), Rejected(Refusal(kind, "Some trouble", code)))

    for kind in get_args(RefusalKind):
        for code in (None, 20003, 21610):
            assert decided(kind, code) == replace(decided(kind, 4711), code=code)
            ends = isinstance(decided(kind, code), Fail)
            assert (
                ends
                is (kind in ("refused", "opted_out"))
                is not Refusal(kind, "", code).retryable
            )
