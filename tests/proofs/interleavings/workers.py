"""What a worker may do: claim, go on, sleep, stop for ever."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from smsretry.errors import SmsRetryError, UnforeseenError
from smsretry.retry.delivery import DeliveryReport
from smsretry.retry.models import Claim
from tests.proofs.interleavings.provider import ANSWERS, Answer
from tests.proofs.interleavings.state import State, Step, in_window, instant, nth
from tests.proofs.interleavings.worker import Call, Poller, Worker
from tests.proofs.interleavings.world import World
from tests.proofs.town.report import Finding
from tests.support.claims import claim_doubtful, claim_due, claim_suspect

AT_ONCE = 2
"""Workers, and lookers after deliveries."""
FIRST_LOOK = timedelta(minutes=5)
"""After a message was accepted, as `smsretry.accept_attempt` has it."""
SUSPECT = 2
"""Deaths of its workers after which a row is claimed alone."""


def claims_that_find(world: World, state: State) -> list[str]:
    """The claims that take a row: the three have different rows."""
    kinds = set[str]()
    for row in world.rows(state.content, "sms_retry_queue"):
        due = instant(row["scheduled_for"])
        if row["status"] == "pending" and due and due <= state.now:
            kind = (
                "suspect"
                if row["recover_count"] >= SUSPECT
                else "doubtful"
                if row["in_doubt_since"]
                else "due"
            )
            kinds.add(f"claim_{kind}")
    return sorted(kinds)


def workers(world: World, state: State) -> Iterator[Step]:
    """Two workers claim, go on, and may stop for ever."""
    yield from _going_on(Worker, state)
    if _has_room(Worker, state):
        for kind in claims_that_find(world, state):
            yield Step(kind.replace("_", " "), partial(_claims, kind))


def poll(world: World, state: State) -> Iterator[Step]:
    """Deliveries are looked after, each by somebody who may sleep past the lease, or stop for ever."""
    yield from _going_on(Poller, state)
    opens = [
        instant(row["delivery_ask_at"])
        for row in world.rows(state.content, "sms_send_attempts")
    ]
    if _has_room(Poller, state) and any(
        at and at + FIRST_LOOK <= state.now for at in opens
    ):
        yield Step("a delivery is looked after", _looks)


def _going_on(kind: type[Worker | Poller], state: State) -> Iterator[Step]:
    for place, worker in enumerate(state.workers):
        if isinstance(worker, kind):
            name = f"{worker.name}{nth(worker.claim.send_log_id)}"
            for way in _ways_on(worker, state):
                yield Step(f"{name} {way.name}", _in_place(place, way))
            if not _has_room(kind, state):
                # One that never goes on again is as good as dead, and leaves its place.
                yield Step(f"{name} dies", _dying(place))


def _has_room(kind: type[Worker | Poller], state: State) -> bool:
    return sum(isinstance(worker, kind) for worker in state.workers) < AT_ONCE


@dataclass(frozen=True)
class _Way:
    """One answer to a worker's next call."""

    name: str
    answer: Callable[[World, State, Call], tuple[State, Any]]


def _ways_on(worker: Worker | Poller, state: State) -> Iterator[_Way]:
    call = worker.next(state.now)
    if not isinstance(call, Call):  # it was noticed when the answer came
        return
    match call.name:
        case "send":
            for answer in ANSWERS:
                assert worker.claim.send_log_id
                yield _Way(
                    f"sends: {answer}", partial(_sent, answer, worker.claim.send_log_id)
                )
        case "look_up":
            yield _Way("reads the list", partial(_listed, hides=False))
            yield _Way("gets no list", lambda _, state, call: (state, None))
            if state.twilio.may_hide(state.now):
                yield _Way("reads a list that lags", partial(_listed, hides=True))
        case "fetch_report":
            yield _Way(
                "asks about a message",
                lambda _, s, call: (s, s.twilio.word_of(call.arguments[0])),
            )
            yield _Way(
                "asks in vain about a message",
                lambda _, state, call: (state, DeliveryReport("unanswered")),
            )
        case "follow":
            yield _Way("follow", _called)
            yield _Way(
                "follow, twice",
                lambda *of: (_called(*of), _called(*of))[0],
            )
        case _:
            yield _Way(f"{call.name}", _called)
            yield _Way(f"{call.name}, twice", _called_twice)


def _called(world: World, state: State, call: Call) -> tuple[State, Any]:
    assert call.port == "queue", (
        f"The exploration knows no call {call.port}.{call.name}"
    )
    try:
        return state, getattr(world.queue, call.name)(*call.arguments)
    except SmsRetryError as error:
        return state, error


def _called_twice(world: World, state: State, call: Call) -> tuple[State, Any]:
    """Its first answer was lost, so it is called once more."""
    _called(world, state, call)
    return _called(world, state, call)


def _listed(_: World, state: State, call: Call, *, hides: bool) -> tuple[State, Any]:
    return state, state.twilio.listed(call.arguments[0], state.now, hides=hides)


def _sent(
    answer: Answer, log: UUID, _: World, state: State, call: Call
) -> tuple[State, Any]:
    twilio, outcome = state.twilio.asked_to_send(
        answer, log, call.arguments[0], state.now
    )
    has_left = len(twilio.messages) > len(state.twilio.messages)
    if has_left and not in_window(state.now):
        state = replace(state, broken=(("sent wrongly", "outside the window"),))
    return replace(state, twilio=twilio), outcome


def _in_place(place: int, way: _Way) -> Callable[[World, State], State]:
    def take(world: World, state: State) -> State:
        worker = state.workers[place]
        call = worker.next(state.now)
        assert isinstance(call, Call)
        state, answer = way.answer(world, state, call)
        further = worker.answer(answer, state.now)
        if isinstance(worker, Poller):
            state = _heard(state, worker, call, answer)
        elif call.name == "begin" and getattr(answer, "answer", None) == "go":
            state = replace(
                state, broken=tuple(_begun_wrongly(world, state, worker.claim))
            )
        try:
            ended = not isinstance(further.next(state.now), Call)
        except UnforeseenError as error:
            return replace(_without(state, place), broken=(("bugs", str(error)),))
        except SmsRetryError:
            ended = True
        if ended:
            return _without(state, place)
        return replace(
            state,
            workers=(*state.workers[:place], further, *state.workers[place + 1 :]),
        )

    return take


def _begun_wrongly(world: World, state: State, claim: Claim) -> Iterator[Finding]:
    """A send begins with consent, to the customer's number, inside the window and before its text's end. The tables are
    as they were before.
    """
    phones = [customer["phone"] for customer in world.rows(state.content, "customers")]
    if claim.phone not in phones:
        yield "astray", "to a number that the customer has no more"
    if forbidden := state.said.forbids(claim.message_class):
        yield "sent wrongly", forbidden
    if not in_window(state.now):
        yield "sent wrongly", "outside the window"
    for row in world.rows(state.content, "sms_retry_queue"):
        ends = instant(row["expires_at"])
        if (
            row["id"] == str(claim.id)
            and row["begun_at"] is None
            and ends
            and ends <= state.now
        ):
            yield "sent wrongly", "past its text's end"


def _heard(state: State, poller: Poller, call: Call, answer: Any) -> State:
    """Once it is written that a message was delivered, that is known."""
    if isinstance(answer, SmsRetryError):
        raise answer
    if answer != "applied":
        return state
    is_delivered = DeliveryReport("delivered") in call.arguments
    return state.records(poller.claim.sid) if is_delivered else state


def _looks(world: World, state: State) -> State:
    begun = [Poller(message) for message in world.queue.claim_deliveries(1)]
    return replace(state, workers=(*state.workers, *begun))


def _without(state: State, place: int) -> State:
    return replace(state, workers=(*state.workers[:place], *state.workers[place + 1 :]))


def _dying(place: int) -> Callable[[World, State], State]:
    return lambda _, state: _without(state, place)


def _claims(name: str, world: World, state: State) -> State:
    if name == "claim_suspect":
        claims: list[Claim] = claim_suspect(world.queue)
    elif name == "claim_doubtful":
        claims = claim_doubtful(world.queue, 1)
    else:
        claims = claim_due(world.queue, 1)
    return replace(
        state, workers=(*state.workers, *(Worker(claim) for claim in claims))
    )
