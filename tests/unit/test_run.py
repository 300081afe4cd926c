"""A whole run: what is taken back and claimed, that one row stops no other, and what the next run is told."""

from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from smsretry.errors import QueueBusy, QueueMismatch, QueueUnreachable
from smsretry.retry.answers import Begun
from smsretry.retry.decision import Defer, GiveBack
from smsretry.retry.models import ItemResult, Text
from smsretry.retry.outcome import Accepted, InDoubt, NotSent, Outcome
from smsretry.sending.claiming import FEWEST_SUSPECTS
from smsretry.sending.ports import RetryQueue, Sender
from smsretry.sending.requests import Begin
from smsretry.sending.run import ItemFailed, run_once
from tests.support.builders import (
    CLOSING,
    CONCURRENCY,
    NOON,
    SENDER,
    SID,
    claim_with,
    fates_of,
    refused,
    results_of,
    run_over,
)
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
        def begin(self, request: Begin) -> Begun:
            if request.claim.id == UUID(int=12):
                raise ValueError("a bug")
            return super().begin(request)

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
    assert fates.count("Held") == len(sender.texts) <= CONCURRENCY
    assert fates.count("GivenBack") == 40 - len(sender.texts)
    assert queue.told[-1] == ("set_circuit", run.flow_control.open_because)
    assert run.flow_control.open_because is not None


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


def test_while_the_circuit_is_open_a_text_that_was_refused_before_is_not_the_probe() -> None:
    """It is the oldest and may be what opened it; the next one goes first, and closes it."""
    refused_before = [claim_with(id=UUID(int=n), circuit_open=True, account_refusal_count=1) for n in range(1, 4)]
    good = claim_with(id=UUID(int=9), circuit_open=True)
    queue, sender = FakeQueue(claims=[*refused_before, good]), FakeSender()
    results = results_of(run_over(queue, sender))
    assert results[-1].fate == "Sent"
    assert [why for call, why in queue.told if call == "set_circuit"] == [None]


@pytest.mark.parametrize("others", [[], [{"in_doubt_since": NOON, "attempt_begun_at": NOON}]], ids=["alone", "a doubt"])
def test_a_text_that_was_refused_before_is_the_probe_when_nothing_else_is_there(others: list[dict[str, Any]]) -> None:
    """Or the circuit would stay open for ever; what is in doubt sends nothing and is no probe."""
    claims = [claim_with(id=UUID(int=1), circuit_open=True, account_refusal_count=3)]
    doubts = [claim_with(id=UUID(int=20 + n), **other) for n, other in enumerate(others)]
    queue = FakeQueue(claims=claims, doubtful=doubts)
    assert results_of(run_over(queue, FakeSender()))[0].fate == "Sent"
    assert ("set_circuit", None) in queue.told


def test_a_refusal_that_may_be_one_destinations_costs_no_neighbor() -> None:
    """Fifty texts of one business are refused; every text of another goes out, and no circuit is opened."""
    bad = [claim_with(id=UUID(int=n), business_id=UUID(int=1), phone=f"+1212555{n:04}") for n in range(1, 51)]
    good = [claim_with(id=UUID(int=n), business_id=UUID(int=2), phone=f"+1212555{n:04}") for n in range(101, 151)]

    class RefusesOne(FakeSender):
        def send(self, text: Text) -> Outcome:
            super().send(text)
            return refused(21606) if text.to in {claim.phone for claim in bad} else Accepted(SID)

    queue = FakeQueue(claims=[each for pair in zip(bad, good, strict=True) for each in pair])
    assert Counter(fates_of(run_over(queue, RefusesOne()), limit=100)) == {"Sent": 50, "Held": 50}
    assert "set_circuit" not in queue.calls


# A database that cannot be asked


def test_when_begin_cannot_be_asked_every_claim_goes_back_and_the_run_says_so() -> None:
    """Somebody must mend it; until then no text loses anything, and nothing is sent. Who met it waits a moment."""
    queue = FakeQueue(
        claims=[claim_with(id=UUID(int=n)) for n in range(40)],
        trouble={"begin": QueueMismatch("The database has no function begin_sms_attempt")},
    )
    sender = FakeSender()
    items, summary = run_once(run_over(queue, sender), limit=50)
    assert {item.fate for item in items if isinstance(item, ItemResult)} == {"Deferred", "GivenBack"}
    assert (summary.given_back + summary.deferred, summary.errors, sender.texts) == (40, 0, [])
    assert 1 <= summary.deferred <= CONCURRENCY
    assert (summary.database_broken, summary.needs_somebody, summary.circuit_open) == (True, True, False)
    assert summary.stopped_because == "The database has no function begin_sms_attempt"
    assert {type(told) for call, told in queue.told if call == "put_off"} == {Defer, GiveBack}


def test_a_customer_that_is_locked_makes_one_text_wait_and_no_other() -> None:
    """Somebody's long transaction costs a minute of this text, and the flow control stays open."""

    class BusyForOne(FakeQueue):
        def begin(self, request: Begin) -> Begun:
            if request.claim.id == UUID(int=12):
                raise QueueBusy("begin_sms_attempt waited too long for a lock")
            return super().begin(request)

    queue = BusyForOne(claims=[claim_with(id=UUID(int=number)) for number in (11, 12, 13)])
    results = results_of(run_over(queue, FakeSender()))
    assert [each.fate for each in results] == ["Sent", "Deferred", "Sent"]
    assert results[1].next_at == NOON + timedelta(minutes=1)


# Rows under suspicion


def test_a_row_under_suspicion_is_claimed_when_everything_else_is_done_and_alone() -> None:
    """What kills its worker takes nothing with it."""
    queue = FakeQueue(
        claims=[claim_with(id=UUID(int=n)) for n in (1, 2)],
        suspects=[claim_with(id=UUID(int=n)) for n in (21, 22)],
    )
    left: list[int] = []

    class Watching(FakeSender):
        def send(self, text: Text) -> Outcome:
            left.append(len(queue.suspects))
            return super().send(text)

    results = results_of(run_over(queue, Watching()))
    assert [each.retry_id.int for each in results] == [1, 2, 21, 22]
    assert left == [2, 2, 1, 0]


def test_no_more_suspects_are_claimed_once_the_flow_control_is_shut() -> None:
    """They would only be given back."""
    queue = FakeQueue(suspects=[claim_with(id=UUID(int=n)) for n in (21, 22)])
    assert fates_of(run_over(queue, FakeSender(refused(20003, 401)))) == ["Held"]
    assert len(queue.suspects) == 1


def test_a_suspect_that_is_sent_closes_a_circuit_that_was_open() -> None:
    """Nothing else was due, and nobody else could have closed it."""
    queue = FakeQueue(suspects=[claim_with(circuit_open=True)])
    assert fates_of(run_over(queue, FakeSender())) == ["Sent"]
    assert queue.told[-1] == ("set_circuit", None)
    assert queue.senders == [SENDER]


def test_what_is_known_of_one_business_is_remembered_for_it_alone() -> None:
    """Others' texts went out; the next run tries one of its texts."""
    poor, good = UUID(int=1), UUID(int=2)
    claims = [claim_with(id=UUID(int=10 + n), business_id=good if n == 9 else poor) for n in range(10)]

    class Firewalled(FakeSender):
        def send(self, text: Text) -> Outcome:
            super().send(text)
            return Accepted(SID) if text.to == "+12125550199" else InDoubt("A page of HTML")

    claims[9] = claims[9].model_copy(update={"phone": "+12125550199"})
    queue = FakeQueue(claims=claims)
    assert Counter(fates_of(run_over(queue, Firewalled()))) == {"InDoubt": 3, "Deferred": 6, "Sent": 1}
    assert queue.businesses == [("A page of HTML", {poor})]
    assert "set_circuit" not in queue.calls


def test_where_nobody_is_under_suspicion_one_question_is_asked() -> None:
    """An idle minute costs next to nothing."""
    queue = FakeQueue()
    assert results_of(run_over(queue, FakeSender())) == []
    assert queue.suspicions == 1


def test_a_question_for_suspects_that_fails_costs_no_report() -> None:
    """All texts had gone out by then, and the run ended without its numbers, its page and its alerts."""
    queue = FakeQueue(claims=[claim_with()], trouble={"claim_suspect": QueueUnreachable("Supabase did not answer")})
    items, summary = run_once(run_over(queue, FakeSender()))
    assert (len(items), summary.sent, summary.stopped_because) == (1, 1, "Supabase did not answer")
    assert list(queue.runs.values()) == [str(summary)]


@pytest.mark.parametrize(("seconds", "taken"), [(60.0, FEWEST_SUSPECTS + 15), (1e-9, FEWEST_SUSPECTS)])
def test_a_run_takes_suspects_as_long_as_its_time_lasts(seconds: float, taken: int) -> None:
    """Of six hundred after an outage of lost answers fifty went out a minute. A run that is late still takes some."""
    queue = FakeQueue(suspects=[claim_with(id=UUID(int=n)) for n in range(FEWEST_SUSPECTS + 15)])
    items, _ = run_once(run_over(queue, FakeSender()), seconds=seconds)
    assert (len(items), len(queue.suspects)) == (taken, FEWEST_SUSPECTS + 15 - taken)
