"""What happens around the workers: time, recovery, what becomes of messages, and looks after them."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from smsretry.retry.profile import DEFAULT, STALE_MINUTES
from smsretry.sending.delivering import follow
from smsretry.sending.ports import DeliveryServices
from tests.proofs.interleavings.provider import SENDER, Fate, Twilio
from tests.proofs.interleavings.state import State
from tests.proofs.interleavings.steps import Step
from tests.proofs.interleavings.world import World

LEASE: Final = timedelta(minutes=STALE_MINUTES, seconds=30)
"""A little more than one."""
LIFE: Final = timedelta(hours=48)
_STALE: Final = """
select from sms_retry_queue where status = 'processing' and claimed_at <= smsretry.clock() - interval '10 min'
"""


def time_passes(world: World, state: State) -> Iterator[Step]:
    """To the next moment at which something is due, past a lease, and past a text's life."""
    [found] = world.rows(
        """select (select min(at) from (
                      select scheduled_for as at from sms_retry_queue where status = 'pending'
                      union all select delivery_look_at from sms_send_attempts where delivery_look_at is not null) a
                   where at > smsretry.clock()) as at,
                  exists (select from sms_retry_queue where status = 'processing') as held,
                  exists (select from sms_retry_queue where status in ('processing', 'pending')) as lives""",
    )
    if (at := found["at"]) and at - state.now <= LIFE:
        yield Step(f"{_minutes(at - state.now)} go by", lambda _, state: replace(state, now=at))
    if found["held"]:
        yield Step("a lease goes by", lambda _, state: replace(state, now=state.now + LEASE))
    if found["lives"]:
        yield Step("a text's life goes by", lambda _, state: replace(state, now=state.now + LIFE))


def _minutes(span: timedelta) -> str:
    return f"{span.total_seconds() / 60:g} min"


def recovery(world: World, state: State) -> Iterator[Step]:
    """A run begins."""

    def recover(world: World, state: State) -> State:
        world.queue.recover(STALE_MINUTES)
        return state

    if world.rows(
        _STALE,
    ):
        yield Step("recover", recover)


def carrier(world: World, state: State) -> Iterator[Step]:
    """Messages arrive or are lost; Twilio reports that, late, twice, or never."""
    for n, message in enumerate(state.twilio.messages):
        if message.fate == "on its way":
            for fate in ("delivered", "lost"):
                yield Step(f"message {n + 1} is {fate}", _comes_to(message.sid, fate))
        elif message.fate == "lost":  # carriers say so of messages that arrive in the end
            yield Step(f"message {n + 1} is delivered after all", _comes_to(message.sid, "delivered"))
        told: list[Fate] = ["on its way"] if message.fate == "on its way" else [message.fate, "on its way"]
        for fate in told:
            yield Step(f"Twilio reports message {n + 1}: {fate}", _reported(message.sid, message.attempt_id, fate))


def _comes_to(sid: str, fate: Fate) -> Callable[[World, State], State]:
    return lambda _, state: replace(state, twilio=state.twilio.comes_to(sid, fate))


def _reported(sid: str, attempt_id: UUID, fate: Fate) -> Callable[[World, State], State]:
    status = {"on its way": "sent", "delivered": "delivered", "lost": "undelivered"}[fate]

    def take(world: World, state: State) -> State:
        values = {"attempt_id": attempt_id, "twilio_sid": sid, "delivery_status": status}
        world.call("settle_sms_attempt", values | ({"error_code": 30008} if fate == "lost" else {}))
        return state

    return take


class _Reports:
    """The provider, as the look after deliveries asks it."""

    default = SENDER

    def __init__(self, twilio: Twilio) -> None:
        self._twilio = twilio

    def what_became_of(self, sid: str, *, account: str | None) -> Any:
        return self._twilio.word_of(sid)


def poll(world: World, state: State) -> Iterator[Step]:
    """Deliveries are looked after."""

    def take(world: World, state: State) -> State:
        services = DeliveryServices(world.deliveries, _Reports(state.twilio), DEFAULT)  # type: ignore[arg-type]
        for message in world.deliveries.claim_deliveries(10):
            follow(message, services)
        return state

    if state.twilio.messages:
        yield Step("deliveries are looked after", take)
