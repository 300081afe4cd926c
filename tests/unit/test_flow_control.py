"""The five rules that decide whether another send may begin."""

import threading
from collections.abc import Callable
from datetime import timedelta
from time import monotonic
from uuid import UUID, uuid4

import pytest

from smsretry.errors import QueueUnreachable
from smsretry.retry.decision import Defer, GiveBack
from smsretry.retry.models import AssignedSender, Claim
from smsretry.retry.outcome import (
    Accepted,
    InDoubt,
    NotSent,
    Outcome,
    Refusal,
    Rejected,
)
from smsretry.sending import flow_control
from smsretry.sending.flow_control import (
    ALL_SENDING,
    AT_FIRST,
    IN_A_ROW,
    FlowControl,
    Stop,
)
from smsretry.sending.ports import Batch
from smsretry.vocabulary import StopKind
from tests.support.builders import SID, begun, claim_with

ONE, OTHER = UUID(int=1), UUID(int=2)
SHARED = UUID(int=100)
"""The sender of both."""
NOT_REACHED = NotSent("Twilio is not reached")
REFUSED = Rejected(
    Refusal("account_refused", "The account is suspended", level="account")
)
PERHAPS = Rejected(
    Refusal("account_refused", "It may be this destination", certain=False)
)
SLOWER = Rejected(Refusal("rate_limited", "Too many at once"))
TAKEN = Accepted(SID)


class Told:
    """What the next run is told of stops."""

    def __init__(self) -> None:
        self.stops = dict[tuple[StopKind, str], str]()
        self.lifted = list[tuple[StopKind, str]]()

    def set_stop(self, kind: StopKind, subject: str, why: str | None) -> None:
        if why:
            self.stops[kind, subject] = why
        else:
            self.stops.pop((kind, subject), None)
            self.lifted.append((kind, subject))


def text(business: UUID = ONE, sender: UUID = SHARED) -> Claim:
    """A text of this business that goes out from this sender."""
    own = AssignedSender(id=sender, account="AC", sent_by="MG")
    return claim_with(id=uuid4(), business_id=business, sender=own)


def tried(control: FlowControl, outcome: Outcome, *texts: Claim) -> None:
    """Each is claimed, let in if it may be, and comes to this."""
    for one in texts:
        control.claimed(Batch([one]))
        if control.admit(one) is None:
            control.observe(one, outcome)
        control.done(one)


def at_once(control: FlowControl, make: Callable[[], Claim]) -> int:
    """How many of thirty it lets in while none of them is answered."""
    let_in = [make() for _ in range(30)]
    control.claimed(Batch(let_in))
    threads = [
        threading.Thread(target=control.admit, args=[one], daemon=True)
        for one in let_in
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join(0.05)
    count = sum(not one.is_alive() for one in threads)
    control.stop("The test is over")
    for one in threads:
        one.join(5)
    return count


# 1. How many may be under way before anybody was answered


def test_three_of_a_business_and_ten_of_a_run_are_under_way_until_somebody_was_answered() -> (
    None
):
    """An outage puts no more texts in doubt. A refusal of a text is an answer, too."""
    assert at_once(FlowControl(), text) == IN_A_ROW
    assert at_once(FlowControl(), lambda: text(uuid4())) == AT_FIRST
    control = FlowControl()
    tried(control, Rejected(Refusal("refused", "No such number")), text())
    assert at_once(control, text) == 30


def test_after_three_failures_in_a_row_nobody_counts_as_answered() -> None:
    """And those that failed count as under way."""
    control = FlowControl()
    tried(control, TAKEN, text(), text(OTHER))
    tried(control, InDoubt("No answer"), text(), text(), text())
    assert at_once(control, lambda: text(uuid4())) == AT_FIRST - IN_A_ROW


# 2. When a business is put off


def test_a_business_whose_texts_fail_three_times_in_a_row_is_put_off_while_others_go_out() -> (
    None
):
    """Its neighbors at the same sender notice nothing."""
    told = Told()
    control = FlowControl(told.set_stop)
    tried(control, TAKEN, text(OTHER))
    tried(control, PERHAPS, text(), text(), text())
    put_off = control.admit(text())
    assert isinstance(put_off, GiveBack)
    assert put_off.why_code == "business_trouble"
    assert control.admit(text(OTHER)) is None
    assert {*told.stops} == {("business", str(ONE))} == {*control.stopped}
    assert control.without == {str(ONE)}


# 3. When a sender stops


@pytest.mark.parametrize(
    ("texts", "outcome"),
    [
        ([text()], REFUSED),
        ([text(uuid4()) for _ in range(4)], NOT_REACHED),
        ([text(), text(OTHER), text()], NOT_REACHED),
        ([text(), text(), text()], NOT_REACHED),
    ],
    ids=[
        "refused for certain",
        "several businesses fail",
        "both that it has",
        "the only one that it has",
    ],
)
def test_a_sender_stops_and_others_go_on(texts: list[Claim], outcome: Outcome) -> None:
    """By one refusal that is certain, or when nothing goes out of all that it sends."""
    told = Told()
    control = FlowControl(told.set_stop)
    others = text(uuid4(), sender=UUID(int=200))
    tried(control, TAKEN, others)
    tried(control, outcome, *texts)
    put_off = control.admit(text())
    assert isinstance(put_off, GiveBack)
    assert put_off.why_code == "sending_stopped"
    assert control.admit(others) is None
    assert [stop for stop in told.stops if stop[0] != "business"] == [
        ("sender", str(SHARED))
    ]
    assert control.run_stopped_because is None
    assert ALL_SENDING not in control.stopped


def test_one_of_two_businesses_that_fails_stops_no_sender() -> None:
    """While the other one's texts go out."""
    control = FlowControl()
    for _ in range(4):
        tried(control, NOT_REACHED, text())
        tried(control, TAKEN, text(OTHER))
    assert control.admit(text(OTHER)) is None


# 4. When everybody stops


def test_everybody_stops_when_several_senders_fail_and_nothing_goes_out() -> None:
    """Then no text is tried in vain; the next run begins with one."""
    told = Told()
    control = FlowControl(told.set_stop)
    tried(control, NOT_REACHED, text(), text(OTHER, UUID(int=200)), text())
    assert isinstance(control.admit(text(uuid4(), UUID(int=300))), GiveBack)
    assert control.stopped[ALL_SENDING]
    assert ALL_SENDING in told.stops
    assert not control.wait_for_room(50, monotonic() + 5)


def test_refused_accounts_stop_their_senders_and_not_everybody() -> None:
    """The provider answered."""
    control = FlowControl()
    tried(control, REFUSED, *(text(UUID(int=n), UUID(int=100 + n)) for n in range(5)))
    assert control.admit(text(uuid4(), UUID(int=300))) is None


# 5. How what was stopped is tried, and how a 429 slows

STOPS: list[Stop] = [ALL_SENDING, ("sender", str(SHARED)), ("business", str(ONE))]


@pytest.mark.parametrize("stop", STOPS, ids=str)
@pytest.mark.parametrize(
    "outcome", [TAKEN, NOT_REACHED, None], ids=["taken", "not reached", "not sent"]
)
def test_what_has_stopped_is_tried_with_one_text_which_lifts_it_if_it_goes_out(
    stop: Stop, outcome: Outcome | None
) -> None:
    """Until it is answered, nothing else of it is claimed. What came to no send proves nothing: another one is next."""
    told = Told()
    control, trial = FlowControl(told.set_stop), text()
    control.claimed(Batch([trial], [stop]))
    assert control.without == ({stop[1]} if stop[1] else set())
    assert control.wait_for_room(50, monotonic() + 0.1) is (stop != ALL_SENDING)
    if outcome:
        assert control.admit(trial) is None
        control.observe(trial, outcome)
    control.done(trial)
    assert told.lifted == ([stop] if outcome == TAKEN else [])
    assert (stop in control.stopped) is (stop in told.stops) is (outcome == NOT_REACHED)


def test_a_provider_that_asks_to_go_slower_is_obeyed() -> None:
    """Its sender waits as long as it says, and then half as many are under way; no other sender does."""
    control = FlowControl()
    tried(control, TAKEN, text())
    burst = [text() for _ in range(8)]
    control.claimed(Batch(burst))
    for one in burst:
        assert control.admit(one) is None
    waits = [control.observe(one, SLOWER) for one in burst]
    assert waits == [flow_control.SLOWER_SECONDS, *[None] * 7], "it is told once"
    assert control.without == {str(SHARED), str(ONE)}
    assert control.admit(text(uuid4(), UUID(int=200))) is None
    began = monotonic()
    assert control.admit(text()) is None
    assert monotonic() - began > flow_control.SLOWER_SECONDS / 2
    assert at_once(control, text) == 3, "four, of which one was let in"


def test_what_the_provider_asks_of_one_business_slows_no_other() -> None:
    """It may be its recipients. When it asks a second one, it is the sender."""
    control = FlowControl()
    tried(control, TAKEN, text(OTHER))
    tried(control, Rejected(SLOWER.refusal, retry_after=timedelta(hours=1)), text())
    assert control.without == {str(ONE)}
    assert control.admit(text(OTHER)) is None
    tried(
        control, Rejected(SLOWER.refusal, retry_after=timedelta(hours=1)), text(OTHER)
    )
    assert str(SHARED) in control.without
    put_off = control.admit(text())
    assert isinstance(put_off, GiveBack)
    assert put_off.why_code == "rate_limited", "a later run has it"


# The database, the run, and what is claimed alone


def test_a_database_that_cannot_be_asked_about_one_business_stops_that_one() -> None:
    """And everybody when it cannot be asked about any."""
    control = FlowControl()
    control.claimed(Batch([text(), text(OTHER)]))
    for _ in range(3):
        control.database_failed(text(), "No answer")
    assert isinstance(control.admit(text()), Defer)
    assert control.admit(text(OTHER)) is None
    control.database_failed(text(OTHER), "No answer")
    assert control.run_stopped_because == "No answer"


def test_a_run_may_be_asked_to_stop_while_it_tells_of_a_stop_and_when_nobody_can_be_told() -> (
    None
):
    """A signal's handler runs in whatever thread was interrupted, and no text waits for a message to the next run."""

    def tell(*_: object) -> None:
        control.stop("Asked to stop")
        raise QueueUnreachable("No answer")

    control = FlowControl(tell)
    tried(control, REFUSED, text())
    assert {*control.stopped} == {("sender", str(SHARED))}
    assert control.run_stopped_because == "Asked to stop"


def test_a_text_leaves_at_its_turn_by_its_own_clock() -> None:
    """The database says when, by its clock. Texts whose turns have passed keep their distance all the same."""
    control, one = FlowControl(), text()
    began = monotonic()
    control.wait_for_turn(one, begun())
    assert monotonic() - began < 0.2
    answer = begun()
    control.wait_for_turn(
        one,
        answer.model_copy(
            update={"reached_at": answer.decided_at + timedelta(seconds=0.5)}
        ),
    )
    assert 0.4 < monotonic() - began < 2
    own = AssignedSender(id=SHARED, account="AC", sent_by="MG", segments_per_second=4)
    began, rated = monotonic(), claim_with(sender=own)
    for _ in range(2):
        control.wait_for_turn(rated, begun())
    assert 0.2 < monotonic() - began < 2
