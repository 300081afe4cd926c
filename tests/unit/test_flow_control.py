"""The four rules that decide whether another send may begin."""

import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import timedelta
from itertools import count
from math import inf
from uuid import UUID, uuid4

import pytest

from smsretry.errors import QueueUnreachable
from smsretry.retry.decision import Defer, GiveBack, NoSend
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
    MIN_FAILING,
    CircuitKey,
    FlowControl,
)
from smsretry.sending.ports import Batch
from tests.support.builders import SID, begun, claim_with
from tests.unit.fakes import FakeQueue

SHOP, OTHER_SHOP = UUID(int=1), UUID(int=2)
SHARED = UUID(int=100)
"""The sender of both."""
TAKEN = Accepted(SID)
NOT_REACHED = NotSent("Twilio is not reached")
SUSPENDED = Rejected(
    Refusal("account_refused", "The account is suspended", level="account")
)
NO_PERMISSION = Rejected(
    Refusal("account_refused", "It may be this destination", certain=False)
)
SLOWER = Rejected(Refusal("rate_limited", "Too many at once"))
_PLACES = dict[UUID, AbstractContextManager[NoSend | None]]()
"""Those of the texts that are under way."""
_CLOCK = count(1000.0)
"""Goes on by a second when somebody looks at it: what is waited for is there at the first look, or it is not."""


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that would wait for its business or its sender goes back at once."""
    monkeypatch.setattr(flow_control, "monotonic", _CLOCK.__next__)
    monkeypatch.setattr(flow_control, "PATIENCE_SECONDS", -1.0)
    monkeypatch.setattr(flow_control, "SLOW_SECONDS", inf)


def soon() -> float:
    """Just after the next look at the clock."""
    return next(_CLOCK) + 1.01


def text(business: UUID = SHOP, sender: UUID = SHARED) -> Claim:
    """A text of this business that goes out from this sender."""
    sender_of_text = AssignedSender(id=sender, account="AC", sent_by="MG")
    return claim_with(id=uuid4(), business_id=business, sender=sender_of_text)


def texts(count: int) -> list[Claim]:
    """Texts of as many businesses."""
    return [text(uuid4()) for _ in range(count)]


def try_out(control: FlowControl, outcome: Outcome, *claims: Claim) -> None:
    """Each is claimed, let in if it may be, and comes to this."""
    for claim in claims:
        control.note_claimed(Batch([claim]))
        with control.place(claim) as obstacle:
            if not obstacle:
                control.observe(claim, outcome)
        control.release(claim)


def admit(control: FlowControl, claim: Claim) -> NoSend | None:
    """Give it a place, or say why not."""
    _PLACES[claim.id] = control.place(claim)
    return _PLACES[claim.id].__enter__()


def end(control: FlowControl, claim: Claim, outcome: Outcome) -> float | None:
    """Its send ends, and its place is free."""
    pause = control.observe(claim, outcome)
    _PLACES.pop(claim.id).__exit__(None, None, None)
    return pause


def closed(control: FlowControl) -> set[str]:
    """The senders and businesses of which nothing is claimed."""
    return {subject for subject, count in control.room.items() if not count}


def stops_of(control: FlowControl) -> set[CircuitKey]:
    """What has stopped."""
    return {circuit.key for circuit in control.stopped}


def may_claim(control: FlowControl) -> bool:
    """Whether there is capacity for another claim."""
    return control.wait_to_claim({}, at=0, until=soon(), most_in_flight=99)


def room_changes(control: FlowControl, room: dict[str, int]) -> bool:
    """Whether there is another room than this, or may be."""
    return control.wait_to_claim(room, at=inf, until=soon(), most_in_flight=99)


def let_in(control: FlowControl, claims: Iterable[Claim]) -> list[Claim]:
    """Those that it lets in while none of them is answered."""
    admitted = []
    for claim in claims:
        control.note_claimed(Batch([claim]))
        if may_claim(control) and not admit(control, claim):
            admitted.append(claim)
    return admitted


# 1. How many may be under way before anybody was answered


def test_three_of_a_business_and_ten_of_a_run_are_under_way_until_somebody_was_answered() -> (
    None
):
    """An outage puts few texts in doubt. Any refusal of a text is an answer, too."""
    control = FlowControl()
    under_way = let_in(control, [text() for _ in range(30)])
    assert len(under_way) == IN_A_ROW
    under_way += let_in(control, texts(30))
    assert len(under_way) == AT_FIRST
    assert str(SHOP) in closed(control)
    end(control, under_way[0], NO_PERMISSION)
    assert str(SHOP) not in closed(control)
    assert len(let_in(control, [text() for _ in range(30)])) == 30


def test_as_many_failures_as_a_small_run_has_places_leave_it_a_place() -> None:
    """Two that are in doubt had kept a run of two places waiting for good."""
    control = FlowControl(concurrency=2)
    try_out(control, InDoubt("No answer"), *texts(2))
    assert let_in(control, texts(1))


def test_a_run_waits_for_its_sends_as_long_as_they_may_let_others_begin() -> None:
    """And no longer, nor when it is asked to stop."""
    control = FlowControl()
    waits = let_in(control, [text() for _ in range(30)])
    without = control.room
    assert not room_changes(control, without)
    end(control, waits[0], TAKEN)
    assert room_changes(control, without)
    control = FlowControl()
    assert not room_changes(control, {})
    let_in(control, [text()])
    control.stop("Asked to stop")
    assert not room_changes(control, control.room)


# 2. What stops


def test_a_business_whose_sends_fail_three_times_in_a_row_stops_and_its_neighbors_go_on() -> (
    None
):
    """What was answered between them, even by a refusal, makes it no failures in a row."""
    queue = FakeQueue()
    control = FlowControl(queue.set_stop)
    try_out(control, TAKEN, text(OTHER_SHOP))
    for outcome in (NOT_REACHED, NOT_REACHED, NO_PERMISSION, NOT_REACHED, NOT_REACHED):
        try_out(control, outcome, text())
    assert not queue.stops
    try_out(control, InDoubt("No answer"), text())
    obstacle = admit(control, text())
    assert isinstance(obstacle, GiveBack)
    assert obstacle.why_code == "business_trouble"
    assert admit(control, text(OTHER_SHOP)) is None
    assert queue.stops == {("business", str(SHOP))} == stops_of(control)
    assert closed(control) == {str(SHOP)}


@pytest.mark.parametrize(
    ("claims", "outcome"),
    [
        ([text()], SUSPENDED),
        (texts(MIN_FAILING), NOT_REACHED),
        ([text(), text(OTHER_SHOP), text()], NOT_REACHED),
        ([text(), text(), text()], NOT_REACHED),
    ],
    ids=[
        "refused for certain",
        "several businesses fail",
        "both that it has",
        "the only one that it has",
    ],
)
def test_a_sender_stops_and_others_go_on(claims: list[Claim], outcome: Outcome) -> None:
    """By one refusal that is certain, or when nothing goes out of all that it sends."""
    queue = FakeQueue()
    control = FlowControl(queue.set_stop)
    neighbors = text(uuid4(), sender=UUID(int=200))
    try_out(control, TAKEN, neighbors)
    try_out(control, outcome, *claims)
    obstacle = admit(control, text())
    assert isinstance(obstacle, GiveBack)
    assert obstacle.why_code == "sending_stopped"
    assert admit(control, neighbors) is None
    assert ("sender", str(SHARED)) in queue.stops
    assert ALL_SENDING not in queue.stops
    assert control.why_stopped is None


def test_one_of_two_businesses_that_fails_stops_no_sender() -> None:
    """While the other one's texts go out."""
    control = FlowControl()
    for _ in range(4):
        try_out(control, NOT_REACHED, text())
        try_out(control, TAKEN, text(OTHER_SHOP))
    assert admit(control, text(OTHER_SHOP)) is None


def test_everybody_stops_when_several_senders_fail_and_nothing_goes_out() -> None:
    """Then no text is tried in vain. A refused account is an answer of the provider's."""
    own_texts = [text(uuid4(), UUID(int=200 + number)) for number in range(MIN_FAILING)]
    queue = FakeQueue()
    control = FlowControl(queue.set_stop)
    try_out(control, SUSPENDED, *own_texts)
    assert admit(control, text()) is None
    control = FlowControl(queue.set_stop)
    try_out(control, NOT_REACHED, *own_texts)
    assert isinstance(admit(control, text()), GiveBack)
    assert ALL_SENDING in queue.stops
    assert not may_claim(control)


# 3. How what has stopped is tried

STOPS: list[CircuitKey] = [
    ALL_SENDING,
    ("sender", str(SHARED)),
    ("business", str(SHOP)),
]


@pytest.mark.parametrize("stop", STOPS, ids=str)
@pytest.mark.parametrize(
    "outcome", [TAKEN, NOT_REACHED, None], ids=["taken", "not reached", "not sent"]
)
def test_what_has_stopped_is_tried_with_one_text_which_lifts_it_if_it_goes_out(
    stop: CircuitKey, outcome: Outcome | None
) -> None:
    """Until it is answered, nothing else of it is claimed. What came to no send proves nothing: another one is next."""
    queue = FakeQueue(stops={stop})
    control, trial = FlowControl(queue.set_stop), text()
    control.note_claimed(Batch([trial], [stop]))
    assert closed(control) == {stop[1]} - {""}
    assert may_claim(control) is (stop != ALL_SENDING)
    if outcome:
        assert admit(control, trial) is None
        end(control, trial, outcome)
    control.release(trial)
    assert (stop in queue.stops) is (outcome != TAKEN)
    assert (stop in stops_of(control)) is (outcome == NOT_REACHED)


def test_what_had_stopped_proves_nothing_of_what_it_is_part_of() -> None:
    """As many senders as stop everybody are down since yesterday, and as many businesses as stop a sender."""
    control = FlowControl()
    senders = [text(uuid4(), UUID(int=200 + number)) for number in range(MIN_FAILING)]
    down: list[tuple[Claim, CircuitKey]]
    down = [(claim, ("sender", str(claim.sender.id))) for claim in senders]
    down += [
        (claim, ("business", str(claim.business_id))) for claim in texts(MIN_FAILING)
    ]
    for claim, stop in down:
        control.note_claimed(Batch([claim], [stop]))
        assert admit(control, claim) is None
        end(control, claim, NOT_REACHED)
        control.release(claim)
    assert stops_of(control) == {stop for _, stop in down}
    assert admit(control, text()) is None


def test_a_sender_that_has_stopped_leaves_the_places_of_its_texts_to_others() -> None:
    """As many as a run may have under way before anybody was answered."""
    control = FlowControl()
    try_out(control, NOT_REACHED, *[text(uuid4(), UUID(int=200)) for _ in range(4)])
    assert stops_of(control) == {("sender", str(UUID(int=200)))}
    assert len(let_in(control, texts(30))) == AT_FIRST


# 4. How a provider that asks to go slower is obeyed


def test_a_provider_that_asks_to_go_slower_is_obeyed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its sender waits as long as it says, and then half as many are under way, and one more when these were answered.

    No other sender does.
    """
    now = [1000.0]
    monkeypatch.setattr(flow_control, "monotonic", lambda: now[0])
    control = FlowControl()
    try_out(control, TAKEN, text())
    burst = [text() for _ in range(8)]
    control.note_claimed(Batch(burst))
    assert [admit(control, claim) for claim in burst] == [None] * 8
    waits = [end(control, claim, SLOWER) for claim in burst]
    assert waits == [flow_control.SLOWER_SECONDS, *[None] * 7], "it is told once"
    assert closed(control) == {str(SHARED), str(SHOP)}
    assert admit(control, text(uuid4(), UUID(int=200))) is None
    now[0] += 60
    assert closed(control) == set()
    half = [text() for _ in range(4)]
    assert [admit(control, claim) for claim in half] == [None] * 4
    assert isinstance(admit(control, text()), GiveBack)
    for claim in half:
        end(control, claim, TAKEN)
    assert [admit(control, text()) for _ in range(5)] == [None] * 5
    assert isinstance(admit(control, text()), GiveBack)


def test_a_text_that_is_claimed_again_is_in_flight_until_that_claim_ends() -> None:
    """The thread that gave it back lets the first claim go later."""
    control, claim = FlowControl(), text()
    for each_claim in (claim, claim.model_copy()):
        control.note_claimed(Batch([each_claim]))
    control.release(claim)
    assert not control.wait_to_claim({}, at=0, until=soon(), most_in_flight=0)


def test_a_limit_of_one_recipient_slows_nobody() -> None:
    """The provider takes no more to one number for a while."""
    control = FlowControl()
    one_number = Refusal("rate_limited", "Too many to this number", level="recipient")
    try_out(control, TAKEN, text())
    try_out(control, Rejected(one_number, retry_after=timedelta(hours=1)), text())
    assert closed(control) == set()
    assert admit(control, text()) is None


def test_what_the_provider_asks_of_one_business_slows_no_other() -> None:
    """It may be its recipients. When it asks a second one, it is the sender."""
    control = FlowControl()
    in_an_hour = Rejected(SLOWER.refusal, retry_after=timedelta(hours=1))
    try_out(control, TAKEN, text(OTHER_SHOP))
    try_out(control, in_an_hour, text())
    assert closed(control) == {str(SHOP)}
    assert admit(control, text(OTHER_SHOP)) is None
    try_out(control, in_an_hour, text(OTHER_SHOP))
    assert str(SHARED) in closed(control)
    obstacle = admit(control, text())
    assert isinstance(obstacle, GiveBack)
    assert obstacle.why_code == "rate_limited", "a later run has it"


# The database, the run, and turns


def test_a_database_that_cannot_be_asked_about_one_business_stops_that_one() -> None:
    """And everybody when it cannot be asked about any."""
    control = FlowControl()
    control.note_claimed(Batch([text(), text(OTHER_SHOP)]))
    for _ in range(3):
        control.database_failed(text(), "No answer")
    assert isinstance(admit(control, text()), Defer)
    assert admit(control, text(OTHER_SHOP)) is None
    control.database_failed(text(OTHER_SHOP), "No answer")
    assert control.why_stopped == "No answer"


def test_a_run_may_be_asked_to_stop_while_it_reports_a_stop_and_when_nobody_can_be_reached() -> (
    None
):
    """A signal's handler runs in whatever thread was interrupted, and no text waits for a message to the next run."""

    def tell(*_: object) -> None:
        control.stop("Asked to stop")
        raise QueueUnreachable("No answer")

    control = FlowControl(tell)
    try_out(control, SUSPENDED, text())
    assert stops_of(control) == {("sender", str(SHARED))}
    assert control.why_stopped == "Asked to stop"


def test_a_text_leaves_at_its_turn_by_its_own_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The database says when, by its clock. Texts whose turns have passed keep their distance all the same."""
    waits: list[float] = []
    monkeypatch.setattr(flow_control, "monotonic", lambda: 1000 + sum(waits))
    monkeypatch.setattr(time, "sleep", waits.append)
    control, answer = FlowControl(), begun()
    later = answer.decided_at + timedelta(seconds=0.5)
    control.wait_for_slot(text(), answer)
    control.wait_for_slot(text(), answer.model_copy(update={"until": later}))
    sender = AssignedSender(
        id=SHARED, account="AC", sent_by="MG", segments_per_second=4
    )
    for _ in range(2):
        control.wait_for_slot(claim_with(sender=sender), begun())
    assert waits == pytest.approx([0, 0.5, 0, 0.25], abs=1e-6)
