"""Texts begin while others are sent, and still no more are sent at once than was set, nor any after a stop."""

import math
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import timedelta
from itertools import count
from threading import Barrier, Event, Lock, RLock
from uuid import UUID

import pytest

from smsretry.retry.answers import Begun
from smsretry.retry.decision import GiveBack
from smsretry.retry.models import Claim, Text
from smsretry.retry.outcome import Accepted, NotSent, Outcome
from smsretry.retry.profile import DEFAULT
from smsretry.sending import slots, throttle
from smsretry.sending.flow_control import FlowControl
from smsretry.sending.ports import Services
from smsretry.sending.requests import Begin
from smsretry.sending.run import Run
from smsretry.sending.run_control import RunControl
from smsretry.sending.slots import QUICK_SECONDS, Slots, threads_for
from tests.support.builders import SID, claim_with, refused, results_of
from tests.support.waiting import until
from tests.unit.fakes import FakeQueue, FakeSender

FIRST, *OTHERS = [claim_with(id=UUID(int=number)) for number in (10, 11, 12, 13)]


class Begins(FakeQueue):
    """Tells when all four have begun."""

    def __init__(self) -> None:
        super().__init__(claims=[FIRST, *OTHERS])
        self.all_begun = Event()
        self._begun = set[UUID]()

    def begin(self, request: Begin) -> Begun:
        self._begun.add(request.claim.id)
        if len(self._begun) == 4:
            self.all_begun.set()
        return super().begin(request)


class Sends(FakeSender):
    """The first text is taken at once, and the next two when all have begun. `most`: so many were sent at once."""

    def __init__(self, queue: Begins) -> None:
        super().__init__()
        self.most, self.in_time = 0, True
        self._queue, self._lock, self._under_way, self._sent = queue, Lock(), 0, count()

    def send(self, text: Text) -> Outcome:
        with self._lock:
            self._under_way += 1
            self.most = max(self.most, self._under_way)
        try:
            if next(self._sent) in (1, 2):
                self.in_time = self._queue.all_begun.wait(20) and self.in_time
                self.all_have_begun()
            return super().send(text)
        finally:
            with self._lock:
                self._under_way -= 1

    def all_have_begun(self) -> None:
        """Two of three are sent, and the third has no slot."""


def test_the_next_text_begins_while_as_many_are_sent_as_may_be() -> None:
    """With two slots, the third is ready when one is free."""
    queue = Begins()
    sender = Sends(queue)
    results = results_of(Run(Services(queue, sender, DEFAULT, 2)))
    assert [result.fate for result in results] == ["Sent"] * 4
    assert (sender.in_time, sender.most) == (True, 2)


def test_a_text_that_waits_for_a_slot_does_not_go_out_after_a_stop() -> None:
    """No request has left, so it costs no attempt, and the next run sends it."""
    queue = Begins()
    sender = Sends(queue)
    run = Run(Services(queue, sender, DEFAULT, 2))
    together = Barrier(2)

    def stop() -> None:
        run.senders.stop("The process was asked to stop")
        together.wait(20)  # neither slot is free before that

    sender.all_have_begun = stop  # type: ignore[method-assign]
    results = results_of(run)
    assert len(sender.texts) == 3
    (withheld,) = [result for result in results if result.fate != "Sent"]
    assert (withheld.fate, withheld.why_code) == ("GivenBack", "sending_stopped")
    assert withheld.detail == "The process was asked to stop"
    (outcome,) = [outcome for outcome in queue.outcomes if not isinstance(outcome, Accepted)]
    assert outcome == NotSent("The process was asked to stop")
    assert not run.senders.run.slots._begun


# What waits for a slot, one step after the other


def sending(claims: Sequence[Claim], *, at_once: int) -> FlowControl:
    """A control of a run whose sends are quick, with these in all its slots."""
    run = RunControl(sends_at_once=at_once)
    run.may_wait_until = math.inf
    control = FlowControl(run=run)
    control.claimed([FIRST, *claims])
    assert control.admit(FIRST) is None
    assert control.take_slot(FIRST) is None
    control.observe(FIRST, Accepted(SID))
    for claim in claims:
        assert control.admit(claim) is None
        assert control.take_slot(claim) is None
    return control


def slowed_down(*, asks_to_wait: timedelta) -> tuple[FlowControl, GiveBack | None]:
    """Of three texts that have begun, one is told to go slower; and what becomes of the one that waits for a slot."""
    *sent, waiting = OTHERS
    control = sending(sent, at_once=2)
    assert control.admit(waiting) is None
    with ThreadPoolExecutor(1) as pool:
        withheld: Future[GiveBack | None] = pool.submit(control.take_slot, waiting)
        control.observe(sent[0], refused(20429, 429, retry_after=asks_to_wait))
        return control, withheld.result(60)


def test_a_text_that_waits_for_a_slot_does_not_go_out_while_the_provider_asks_to_wait() -> None:
    """Of 20 that were begun, 15 had gone out in that pause."""
    control, given_back = slowed_down(asks_to_wait=timedelta(hours=1))
    assert given_back is not None
    assert (given_back.why_code, "asks to go slower" in given_back.why) == ("sending_stopped", True)
    assert control.run.gave_back, "the run asks for it again"


def test_a_text_that_waits_for_a_slot_goes_out_after_a_pause_that_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """What allowed it is still sure, and it need not be begun anew."""
    monkeypatch.setattr(throttle, "SLOWER_SECONDS", 0.3)
    control, given_back = slowed_down(asks_to_wait=timedelta(0))
    assert (given_back, control.is_busy, control.run.gave_back) == (None, False, False)


def test_half_as_many_as_were_sent_go_at_once_when_the_provider_asks_to_go_slower() -> None:
    """Those that had begun and waited were not sent, and do not count."""
    *sent, waiting, again = [claim_with(id=UUID(int=20 + number)) for number in range(6)]
    control = sending(sent, at_once=4)
    assert [control.admit(waiting), control.admit(again)] == [None, None]
    control.observe(sent[0], refused(20429, 429))
    assert control._throttle._at_once == 2


def test_a_stop_wakes_all_that_wait_for_a_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of them may keep the process waiting."""
    monkeypatch.setattr("smsretry.sending.flow_control.SEND_WITHIN_SECONDS", 3600)
    *sent, waiting = OTHERS
    control = sending(sent, at_once=2)
    with ThreadPoolExecutor(3) as pool:
        withheld = [pool.submit(control.take_slot, claim_with(id=UUID(int=20 + n))) for n in range(3)]
        control.stop("Enough")
        assert {each.result(60) for each in withheld} == {GiveBack("Enough", "sending_stopped")}
    assert isinstance(control.admit(waiting), GiveBack)


def test_no_more_begin_than_there_are_threads_for() -> None:
    """The next one begins when one of them was answered."""
    *sent, waiting = OTHERS
    control = sending(sent, at_once=2)
    assert control.admit(waiting) is None
    with ThreadPoolExecutor(1) as pool:
        admitted = pool.submit(control.admit, FIRST)
        done, _ = wait([admitted], 0.2)
        assert not done
        control.observe(sent[0], Accepted(SID))
        assert admitted.result(60) is None


# How many


def test_no_more_begin_than_are_sent_while_sends_are_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that had begun would wait for long, and what was asked before would not be sure any more."""
    clock = [0.0]
    monkeypatch.setattr(slots, "monotonic", lambda: clock[0])
    tried = Slots(RLock(), 2)

    def begin() -> int:
        begun = list[UUID]()
        while not tried.are_promised:
            begun.append(UUID(int=100 + len(begun)))
            tried.promise(begun[-1])
        for claim_id in begun:
            tried.free(claim_id)
        return len(begun)

    with tried._freed:
        assert begin() == 2, "nothing is known yet"
        for took, may_begin in [(0.1, 3), (QUICK_SECONDS, 2), (0.1, 3)]:
            assert tried.take(UUID(int=1), 0, unless=lambda: False)
            clock[0] += took
            tried.free(UUID(int=1))
            assert begin() == may_begin


def test_what_finds_no_slot_in_its_time_has_none() -> None:
    """And takes none from the next one."""
    tried = Slots(RLock(), 1)
    with tried._freed:
        assert tried.take(UUID(int=1), 0, unless=lambda: False)
        assert not tried.take(UUID(int=2), 0.01, unless=lambda: False)
        tried.free(UUID(int=2))
        assert not tried.take(UUID(int=3), 0.01, unless=lambda: False)
        tried.free(UUID(int=1))
        assert tried.take(UUID(int=3), 0, unless=lambda: False)


def test_the_slots_go_round_among_many_threads() -> None:
    """No wake-up is lost: each of 300 takes one of three slots, and gives it back."""
    lock, under_way, most = RLock(), set[int](), list[int]()
    tried = Slots(lock, 3)

    def one(number: int) -> bool:
        with lock:
            if not tried.take(UUID(int=number), 20, unless=lambda: number % 7 == 0):
                return False
            under_way.add(number)
            most.append(len(under_way))
        with lock:
            under_way.discard(number)
            tried.free(UUID(int=number))
        return True

    with ThreadPoolExecutor(12) as pool:
        assert sum(pool.map(one, range(300))) == 300 - 43
    assert max(most) <= 3


def test_a_slot_that_one_may_not_take_goes_to_the_next() -> None:
    """Its sender was asked to go slower, and another's text waits behind it."""
    lock, may_go = RLock(), Event()
    may_go.set()
    tried = Slots(lock, 1)

    def take(number: int, may_go: Event) -> bool:
        with lock:
            return tried.take(UUID(int=number), 3600, unless=lambda: not may_go.is_set())

    always = Event()
    always.set()
    assert take(1, always)
    with ThreadPoolExecutor(2) as pool:
        taken = [pool.submit(take, 2, may_go)]
        until(lambda: len(tried._freed._waiters) == 1)  # type: ignore[attr-defined]
        taken.append(pool.submit(take, 3, always))
        until(lambda: len(tried._freed._waiters) == 2)  # type: ignore[attr-defined]
        with lock:
            may_go.clear()
            tried.free(UUID(int=1))
        assert [each.result(60) for each in taken] == [False, True]


@pytest.mark.parametrize(("at_once", "threads"), [(1, 1), (2, 3), (50, 75), (200, 300)])
def test_half_as_many_threads_again(at_once: int, threads: int) -> None:
    """One at a time is one at a time."""
    assert threads_for(at_once) == threads
