"""How else a text may begin: beside another one to the same number, planned, of use for an hour, or in the evening.

Nobody takes these steps in the exploration: they lead to its stages.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from tests.proofs.interleavings.state import State
from tests.proofs.interleavings.steps import BODY, BUSINESS, CUSTOMER, LOG, OTHER_LOG, OTHER_ROW, Step, write_text
from tests.proofs.interleavings.world import World


def beginnings(_: World, __: State) -> Iterator[Step]:
    """Each of them."""
    yield Step("another text has the same words", lambda world, state: _another(world, state, BODY))
    yield Step("another text begins alike", lambda world, state: _another(world, state, f"{BODY} We are open."))
    yield Step("it is planned", _planned)
    yield Step("it is of use for an hour", _short_lived)


def _another(world: World, state: State, body: str) -> State:
    write_text(world, OTHER_LOG, OTHER_ROW, body)
    return state


def _planned(world: World, state: State) -> State:
    world.write("delete from sms_retry_queue")
    world.write("delete from send_logs")
    at = state.now + timedelta(minutes=1)
    plan = {"business_id": BUSINESS, "customer_id": CUSTOMER, "body": BODY, "scheduled_for": at.isoformat(), "id": LOG}
    world.call("schedule_sms", plan)
    return state


def _short_lived(world: World, state: State) -> State:
    world.write("update sms_retry_queue set expires_at = smsretry.clock() + interval '1 hour'")
    return replace(state)
