"""A whole run: what is taken back and claimed, that one row stops no other, and what the next run is told."""

from collections import Counter
from uuid import UUID

import pytest

from smsretry.ports import RetryQueue, Sender
from smsretry.retry.decision import Send
from smsretry.retry.models import Begun, Claim
from smsretry.retry.outcome import Accepted, InDoubt, NotSent, Outcome
from smsretry.run import CONCURRENCY, ItemFailed, run_once
from tests.builders import CLOSING, NOON, SID, claim_with, fates_of, refused, results_of, run_over
from tests.unit.fakes import FakeQueue, FakeSender


def test_the_fakes_are_what_the_pipeline_asks_for() -> None:
    """The type checker holds them to the ports; a claim that is due goes through them."""
    queue: RetryQueue = FakeQueue(claims=[claim_with()])
    sender: Sender = FakeSender()
    assert fates_of(run_over(queue, sender)) == ["Sent"]


def test_a_run_first_takes_back_what_is_stuck() -> None:
    """By the minutes of silence it is told, or ten."""
    queue = FakeQueue()
    run_once(run_over(queue, FakeSender()), limit=5)
    run_once(run_over(queue, FakeSender()), limit=5, stale_minutes=3)
    assert queue.recoveries == [10, 3]


def test_one_bad_row_does_not_stop_the_others() -> None:
    """Each row has its own result, in order; the bad one has its error."""

    class FailsForOne(FakeQueue):
        def begin(self, claim: Claim, attempt_id: UUID, decision: Send, *, first_send: bool) -> Begun:
            if claim.id == UUID(int=12):
                raise ValueError("a bug")
            return super().begin(claim, attempt_id, decision, first_send=first_send)

    queue = FailsForOne(claims=[claim_with(id=UUID(int=number)) for number in (11, 12, 13)])
    items, summary = run_once(run_over(queue, FakeSender()), limit=10)
    assert [item.retry_id.int for item in items] == [11, 12, 13]
    said = [item.why if isinstance(item, ItemFailed) else item.fate for item in items]
    assert (said[0], said[2]) == ("Sent", "Sent")
    assert said[1].startswith(f"Row {UUID(int=12)}: Unforeseen ValueError at test_run.py:")
    assert (summary.claimed, summary.sent, summary.errors, summary.needs_somebody) == (3, 2, 1, True)


def test_the_due_ones_and_those_in_doubt_are_claimed_up_to_the_limit_each() -> None:
    """A heap of doubts does not keep the due ones waiting, nor they the doubts."""
    due = [claim_with(id=UUID(int=number)) for number in (11, 12, 13)]
    doubts = [claim_with(id=UUID(int=number), in_doubt_since=NOON, attempt_begun_at=NOON) for number in (21, 22, 23)]
    results = results_of(run_over(FakeQueue(claims=due, doubtful=doubts), FakeSender()), limit=2)
    assert [(each.retry_id.int, each.fate) for each in results] == [
        (11, "Sent"),
        (12, "Sent"),
        (21, "InDoubt"),
        (22, "InDoubt"),
    ]


# What the next run is told


def test_a_refused_account_gives_the_rest_of_the_run_back_and_is_remembered() -> None:
    """With ten at once, at most ten texts learn of it, and none loses an attempt."""
    queue = FakeQueue(claims=[claim_with(id=UUID(int=number)) for number in range(40)])
    sender = FakeSender(refused(20003, 401))
    run = run_over(queue, sender)
    fates = fates_of(run)
    assert fates.count("RetryScheduled") == len(sender.texts) <= CONCURRENCY
    assert fates.count("GivenBack") == 40 - len(sender.texts)
    assert queue.told[-1] == ("set_circuit", run.gate.circuit)
    assert run.gate.circuit is not None


# is the circuit open, what comes of the send, what the next run is told
CIRCUITS: list[tuple[bool, Outcome, list[bool]]] = [
    (False, Accepted(SID), []),
    (False, NotSent("Not reached"), []),
    (True, Accepted(SID), [False]),
    (True, refused(21211), [False]),
    (True, NotSent("Not reached"), [True]),
    (True, InDoubt("No answer"), [True]),
    (True, refused(20429, 429), []),
    (False, refused(20003, 401), [True]),
]


@pytest.mark.parametrize(("is_open", "outcome", "told"), CIRCUITS, ids=str)
def test_a_run_tells_the_next_one_only_what_changed(is_open: bool, outcome: Outcome, told: list[bool]) -> None:
    """A circuit is opened for a reason, closed by a text that was answered, and else left as it is."""
    queue = FakeQueue(claims=[claim_with(circuit_open=is_open)])
    results_of(run_over(queue, FakeSender(outcome)))
    assert [why is not None for call, why in queue.told if call == "set_circuit"] == told


def test_while_the_circuit_is_open_one_text_goes_first_and_the_others_after_it() -> None:
    """The probe may be any of them: what is in quiet hours is none. What came too early is given back."""
    claims = [claim_with(id=UUID(int=n), circuit_open=True, claimed_at=CLOSING if n < 5 else NOON) for n in range(10)]
    sender = FakeSender(NotSent("Not reached"))
    fates = fates_of(run_over(FakeQueue(claims=claims), sender))
    assert Counter(fates) == {"Deferred": 5, "RetryScheduled": 1, "GivenBack": 4}
    assert len(sender.texts) == 1


def test_a_probe_that_never_came_to_a_send_leaves_the_circuit_open() -> None:
    """It was night; nothing was learned."""
    queue = FakeQueue(claims=[claim_with(circuit_open=True, claimed_at=CLOSING)])
    assert fates_of(run_over(queue, FakeSender())) == ["Deferred"]
    assert queue.calls == ["put_off"]
