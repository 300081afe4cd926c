"""A whole run: what is taken back and claimed, that one row stops no other, and what the next run is told."""

from uuid import UUID

import pytest

from smsretry.errors import QueueBusy, QueueCancelled, QueueMismatch, QueueUnreachable
from smsretry.retry.answers import Begun
from smsretry.retry.decision import Defer
from smsretry.retry.models import AssignedSender
from smsretry.retry.outcome import Accepted, InDoubt, NotSent, Outcome
from smsretry.sending.flow_control import EVERYBODY
from smsretry.sending.ports import Batch, Begin
from smsretry.sending.run import FEWEST_SUSPECTS, ItemFailed, run_once
from tests.support.builders import SID, claim_with, fates_of, refused, results_of, run_over
from tests.unit.fakes import FakeQueue, FakeSender


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


def test_a_claim_that_takes_too_long_is_made_again_one_by_one() -> None:
    """One of its rows takes all the time: the others go on beside it."""

    class Slow(FakeQueue):
        def claim_texts(self, limit: int, **more: object) -> Batch:
            if limit > 1:
                raise QueueCancelled("The claim took too long")
            return super().claim_texts(limit)

    queue = Slow(claims=[claim_with(id=UUID(int=number)) for number in range(3)])
    assert fates_of(run_over(queue, FakeSender())) == ["Sent"] * 3


# What the next run is told


REMEMBERED: list[tuple[bool, Outcome, bool]] = [
    # whether it had stopped, what the text came to, whether it is stopped from then on
    (False, Accepted(SID), False),
    (False, NotSent("Not reached"), False),
    (True, Accepted(SID), False),
    (True, refused(21211), False),
    (True, NotSent("Not reached"), True),
    (True, InDoubt("No answer"), True),
]


def test_what_has_stopped_is_remembered_until_a_text_goes_out() -> None:
    """One failure stops nothing, and any answer proves that the provider works."""
    for is_stopped, outcome, still in REMEMBERED:
        queue = FakeQueue(claims=[claim_with()], stops={EVERYBODY} if is_stopped else set())
        run = run_over(queue, FakeSender(outcome))
        fates_of(run)
        assert (EVERYBODY in queue.stops, run.sending_stopped) == (still, still)
        assert run.sending_resumed == (is_stopped and not still)


def test_when_begin_cannot_be_asked_every_claim_goes_back_and_the_run_says_so() -> None:
    """Nothing is sent without permission, and nothing is lost."""
    queue = FakeQueue(
        claims=[claim_with(id=UUID(int=number)) for number in range(40)],
        trouble={"begin": QueueMismatch("begin_sms_attempt is missing")},
    )
    sender = FakeSender()
    items, summary = run_once(run_over(queue, sender), limit=40)
    assert not sender.texts
    assert {getattr(item, "fate", None) for item in items} == {"Deferred", "GivenBack"}
    assert (summary.stopped_because, summary.needs_somebody) == ("begin_sms_attempt is missing", True)


def test_a_customer_that_is_locked_makes_one_text_wait_and_no_other() -> None:
    """It is not the database's trouble."""

    class Locked(FakeQueue):
        def begin(self, request: Begin) -> Begun:
            if request.claim.id == UUID(int=3):
                raise QueueBusy("locked")
            return super().begin(request)

    queue = Locked(claims=[claim_with(id=UUID(int=number)) for number in range(8)])
    fates = fates_of(run_over(queue, FakeSender()))
    assert (fates.count("Sent"), fates[3]) == (7, "Deferred")
    [waits] = [told for told in queue.decisions if isinstance(told, Defer)]
    assert waits.why_code == "customer_locked"


# Rows under suspicion


def test_a_row_under_suspicion_is_claimed_when_everything_else_is_done_and_alone() -> None:
    """It may be what kills its worker: nothing else is in flight then."""
    others, suspects = ([claim_with(id=UUID(int=n)) for n in numbers] for numbers in ((1, 2, 3), (11, 12)))
    queue, sender = FakeQueue(claims=others, suspects=suspects), FakeSender()
    assert [each.retry_id.int for each in results_of(run_over(queue, sender))] == [1, 2, 3, 11, 12]
    assert queue.suspicions == 3


def test_no_more_suspects_are_claimed_once_the_run_is_stopped() -> None:
    """Each would only go back."""
    queue = FakeQueue(suspects=[claim_with()])
    run = run_over(queue, FakeSender())
    run.flow_control.stop("Enough")
    assert results_of(run) == []


def test_a_suspect_whose_sender_has_stopped_waits_and_lets_the_others_go() -> None:
    """Given back, it would be claimed again and again."""
    own = AssignedSender(id=UUID(int=100), account="AC", sent_by="MG")
    queue = FakeQueue(suspects=[claim_with(id=UUID(int=n), sender=own) for n in range(3)])
    fates = fates_of(run_over(queue, FakeSender(refused(20003, 401))))
    assert fates == ["Held", "Deferred", "Deferred"]


def test_a_question_for_suspects_that_fails_costs_no_report() -> None:
    """The others were sent; the next run asks again."""
    queue = FakeQueue(claims=[claim_with()], trouble={"claim_suspect": QueueUnreachable("No answer")})
    items, summary = run_once(run_over(queue, FakeSender()), limit=5)
    assert (len(items), summary.sent, summary.stopped_because) == (1, 1, "No answer")


@pytest.mark.parametrize(("seconds", "taken"), [(0, FEWEST_SUSPECTS), (50, FEWEST_SUSPECTS + 20)])
def test_a_run_takes_suspects_as_long_as_its_time_lasts(seconds: float, taken: int) -> None:
    """And a few in any case, so that they come to their turns."""
    queue = FakeQueue(suspects=[claim_with(id=UUID(int=n)) for n in range(FEWEST_SUSPECTS + 20)])
    items, _ = run_once(run_over(queue, FakeSender()), limit=5, seconds=seconds)
    assert len(items) >= taken
