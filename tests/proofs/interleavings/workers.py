"""What a worker may do: claim, go on, sleep, stop for ever."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from smsretry.errors import SmsRetryError, UnforeseenError
from smsretry.retry.models import Claim, ItemResult
from tests.proofs.interleavings.provider import ANSWERS, SENDER, Answer, Twilio
from tests.proofs.interleavings.state import State
from tests.proofs.interleavings.steps import Step
from tests.proofs.interleavings.worker import Call, Worker, unreachable
from tests.proofs.interleavings.world import World

WORKERS: Final = 2
"""At once."""


def claims_that_find(world: World) -> str | None:
    """The claim that takes the row, if one does: the three have different rows."""
    [found] = world.rows(
        """select count(*) filter (where in_doubt_since is not null) as doubtful,
                  count(*) filter (where in_doubt_since is null and recover_count < 2) as due,
                  count(*) filter (where in_doubt_since is null and recover_count >= 2) as suspect
           from sms_retry_queue where status = 'pending' and scheduled_for <= smsretry.clock()""",
    )
    return next((f"claim_{name}" for name, count in found.items() if count), None)


def workers(world: World, state: State) -> Iterator[Step]:
    """Two workers claim, go on, and may stop for ever."""
    for place, worker in enumerate(state.workers):
        who = f"worker {worker.claim.claim_no}"
        for answered in _ways_on(worker, state):
            yield Step(f"{who} {answered.name}", _in_place(place, answered))
        if len(state.workers) == WORKERS:  # one that never goes on again is as good as dead, and leaves its place
            yield Step(f"{who} dies", _dying(place))
    if len(state.workers) < WORKERS and (found := claims_that_find(world)):
        name = found.replace("_", " ")
        yield Step(name, partial(_claims, found))


@dataclass(frozen=True)
class _Way:
    """One answer to a worker's next call."""

    name: str
    answer: Callable[[World, State, Call], tuple[State, Any]]


def _ways_on(worker: Worker, state: State) -> Iterator[_Way]:
    call = worker.next(state.now)
    if isinstance(call, ItemResult):  # it was noticed when the answer came
        return
    match call.name:
        case "send":
            for answer in ANSWERS:
                yield _Way(f"sends: {answer}", partial(_sent, answer))
        case "look_up":
            yield _Way("reads the list", lambda _, state, call: (state, state.twilio.listed(state.now, hides=False)))
            yield _Way("gets no list", lambda _, state, call: (state, None))
            if state.twilio.may_hide(state.now):
                yield _Way("reads a list that lags", lambda _, s, call: (s, s.twilio.listed(s.now, hides=True)))
        case "what_became_of":
            yield _Way("asks about a message", lambda _, s, call: (s, s.twilio.word_of(call.arguments[0])))
            yield _Way("asks in vain about a message", lambda _, state, call: (state, None))
        case _:
            yield _Way(f"{call.name}", _called)
            yield _Way(f"{call.name}, twice", _called_twice)


def _called(world: World, state: State, call: Call) -> tuple[State, Any]:
    if call.port != "queue":
        unreachable(call)
    try:
        return state, getattr(world.queue, call.name)(*call.arguments)
    except SmsRetryError as error:
        return state, error


def _called_twice(world: World, state: State, call: Call) -> tuple[State, Any]:
    """Its first answer was lost, so it is called once more."""
    _called(world, state, call)
    return _called(world, state, call)


def _sent(answer: Answer, _: World, state: State, call: Call) -> tuple[State, Any]:
    [text] = call.arguments
    twilio, outcome = state.twilio.asked_to_send(answer, text.attempt_id, text.to, text.body, state.now)
    if len(twilio.messages) > len(state.twilio.messages):
        earlier = tuple(replace(m, known_lost=m.fate == "lost") for m in state.twilio.messages)
        twilio = Twilio((*earlier, twilio.messages[-1]))
    return replace(state, twilio=twilio), outcome


def _in_place(place: int, way: _Way) -> Callable[[World, State], State]:
    def take(world: World, state: State) -> State:
        worker = state.workers[place]
        call = worker.next(state.now)
        assert isinstance(call, Call)
        state, answer = way.answer(world, state, call)
        further = worker.told(answer, state.now)
        broken: tuple[str, ...] = ()
        if call.name == "begin" and getattr(answer, "answer", None) == "go" and state.said == "stop":
            broken = ("a send began after the customer had said stop",)
        try:
            ended = isinstance(further.next(state.now), ItemResult)
        except UnforeseenError as error:
            return replace(_without(state, place), broken=(f"a bug: {error}",))
        except SmsRetryError:
            ended = True
        state = replace(state, broken=broken)
        if ended:
            return _without(state, place)
        return replace(state, workers=(*state.workers[:place], further, *state.workers[place + 1 :]))

    return take


def _without(state: State, place: int) -> State:
    return replace(state, workers=(*state.workers[:place], *state.workers[place + 1 :]))


def _dying(place: int) -> Callable[[World, State], State]:
    return lambda _, state: _without(state, place)


def _claims(name: str, world: World, state: State) -> State:
    if name == "claim_suspect":
        claims: list[Claim] = world.queue.claim_suspect()
    elif name == "claim_doubtful":
        claims = world.queue.claim_doubtful(10)
    else:
        claims = world.queue.claim_due(10, default=SENDER)
    assert len(claims) <= 1, "one text has one live row"
    return replace(state, workers=(*state.workers, *(Worker(claim) for claim in claims)))
