"""Each delay has a name of its own: changing one changes what it is for, and nothing else."""

from datetime import timedelta
from uuid import UUID

import pytest

from smsretry import queue_sms_retry
from smsretry.retry import backoff, evidence
from smsretry.retry.decision import Doubt, LookAgain, Retry
from smsretry.retry.outcome import InDoubt, NotSent, Outcome
from smsretry.retry.policy import after_look, after_send, look_failed
from tests.builders import NOON, claim_with, refused
from tests.unit.fakes import FakeQueue

SEVEN = timedelta(minutes=7)


def waits() -> dict[str, timedelta]:
    """How long each thing is put off that is put off by a delay of ours."""
    queue = FakeQueue()
    queue_sms_retry(UUID(int=1), "twilio_error", queue=queue)
    doubtful = claim_with(in_doubt_since=NOON, attempt_begun_at=NOON)
    in_vain = next(after_look(doubtful, [], at=NOON))
    assert isinstance(in_vain, LookAgain)
    return {
        "a text that is queued": queue.waits[0],
        "a send that counts": _after(refused(30003)),
        "a first send that failed": _after(refused(30003), first_send=True),
        "a send that never left": _after(NotSent("Not reached")),
        "a refused account": _after(refused(20003, 401)),
        "a rate limit": _after(refused(20429, 429)),
        "a provider that asks for a day": _after(refused(20429, 429, retry_after=timedelta(days=1))),
        "the first look": _after(InDoubt("No answer")),
        "a look after one in vain": in_vain.after,
        "a look after one that failed": look_failed(doubtful, "The list could not be had").after,
    }


def _after(outcome: Outcome, *, first_send: bool = False) -> timedelta:
    decision = after_send(claim_with(), outcome, first_send=first_send)
    assert isinstance(decision, Retry | Doubt)
    return decision.delay if isinstance(decision, Retry) else decision.look_in


def changed(monkeypatch: pytest.MonkeyPatch, module: object, name: str, value: object) -> set[str]:
    """What waits for another time once this name has this value."""
    before = waits()
    monkeypatch.setattr(module, name, value)
    after = waits()
    assert all(after[what] in (before[what], SEVEN) for what in before)
    return {what for what in before if after[what] != before[what]}


def test_retry_delays_are_for_sends_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that count, the first one, and what the application queues."""
    assert changed(monkeypatch, backoff, "RETRY_DELAYS", (SEVEN,)) == {
        "a text that is queued",
        "a send that counts",
        "a first send that failed",
    }


def test_uncounted_delays_are_for_tries_that_made_no_send(monkeypatch: pytest.MonkeyPatch) -> None:
    """The request never left, or the provider refused to look at the text."""
    assert changed(monkeypatch, backoff, "UNCOUNTED_DELAYS", (SEVEN,)) == {
        "a send that never left",
        "a refused account",
        "a rate limit",
    }


def test_the_longest_retry_after_is_for_what_a_provider_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """It shortens no other wait."""
    assert changed(monkeypatch, backoff, "MAX_RETRY_AFTER", SEVEN) == {"a provider that asks for a day"}


def test_look_delays_are_for_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one, and the next one whether the last was in vain or failed. Recovery's is tested on the database."""
    assert changed(monkeypatch, evidence, "LOOK_DELAYS", (SEVEN,)) == {
        "the first look",
        "a look after one in vain",
        "a look after one that failed",
    }
