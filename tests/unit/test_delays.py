"""Each delay has a name of its own: changing one changes what it is for, and nothing else."""

from datetime import timedelta
from uuid import UUID

import pytest

from smsretry.retry import backoff, consequence, doubt, evidence, policy, trouble
from smsretry.retry.consequence import after_send
from smsretry.retry.decision import Doubt, Hold, LookAgain, Retry
from smsretry.retry.doubt import after_look, look_failed
from smsretry.retry.models import Look
from smsretry.retry.outcome import InDoubt, NotSent, Outcome
from smsretry.retry.policy import before_send
from smsretry.retry.profile import Profile
from smsretry.retry.trouble import busy, suspected
from tests.support.builders import NOON, claim_with, refused

SEVEN = timedelta(minutes=7)


def waits() -> dict[str, timedelta]:
    """How long each thing is put off that is put off by a delay of ours."""
    doubtful = claim_with(in_doubt_since=NOON, attempt_begun_at=NOON)
    in_vain = next(after_look(doubtful, Look(sightings=()), at=NOON))
    assert isinstance(in_vain, LookAgain)
    held = before_send(claim_with(business_hours="nine to five"), at=NOON)
    assert isinstance(held, Hold)
    given_up = claim_with(in_doubt_since=NOON, attempt_begun_at=NOON, reconcile_count=9)
    later = NOON + timedelta(hours=1)
    doubt_held = next(after_look(given_up, Look(sightings=()), at=later, profile=Profile(in_doubt="hold")))
    assert isinstance(doubt_held, Hold)
    return {
        "a send that counts": _after(refused(30003)),
        "a first send that failed": _after(refused(30003), first_send=True),
        "a send that never left": _after(NotSent("Not reached")),
        "a refused account": _after(refused(20003, 401)),
        "a rate limit": _after(refused(20429, 429)),
        "a provider that asks for a day": _after(refused(20429, 429, retry_after=timedelta(days=1))),
        "the first look": _after(InDoubt("No answer")),
        "a look after one in vain": in_vain.after,
        "a text that is held": held.look_in,
        "a doubt that is held": doubt_held.look_in,
        "a customer that is locked": busy(NOON).until - NOON,
        "a look after one that failed": look_failed(doubtful, "The list could not be had", "list_unavailable").after,
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
    """Those that count, and the first one. What the application queues waits as SQL says: see `test_one_home`."""
    assert changed(monkeypatch, backoff, "RETRY_DELAYS", (SEVEN,)) == {
        "a send that counts",
        "a first send that failed",
    }


def test_uncounted_delays_are_for_tries_that_made_no_send(monkeypatch: pytest.MonkeyPatch) -> None:
    """The request never left, or the provider refused to look at the text."""
    assert changed(monkeypatch, backoff, "UNCOUNTED_DELAYS", (SEVEN,)) == {
        "a send that never left",
        "a rate limit",
    }


def test_account_delays_are_for_a_refused_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs no attempt, and is asked ever less often."""
    assert changed(monkeypatch, consequence, "ACCOUNT_DELAYS", (SEVEN,)) == {"a refused account"}


def test_the_hold_delays_are_for_what_a_person_can_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that is held, one in doubt that is held, and one whose customer is locked."""
    assert changed(monkeypatch, policy, "HELD_LOOK", SEVEN) == {"a text that is held"}
    monkeypatch.undo()
    assert changed(monkeypatch, doubt, "DOUBT_HELD_LOOK", SEVEN) == {"a doubt that is held"}
    monkeypatch.undo()
    assert changed(monkeypatch, trouble, "BUSY_DELAY", SEVEN) == {"a customer that is locked"}


def test_texts_of_a_business_in_trouble_spread_out_the_longer_it_lasts() -> None:
    """From a minute, when it is new, up to the wait of what is held. They age meanwhile: none is put off for ever."""
    lasting = [claim_with(id=UUID(int=n), business_circuit_opened_at=NOON - timedelta(days=1)) for n in range(50)]
    waiting = [suspected(each, "In trouble") for each in (claim_with(), *lasting)]
    new, *old = [each.until - NOON for each in waiting]
    assert new == timedelta(minutes=1)
    assert timedelta(minutes=1) <= min(old) < timedelta(minutes=2)
    assert timedelta(minutes=14) < max(old) <= policy.HELD_LOOK
    assert all(each.ages for each in waiting)


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
