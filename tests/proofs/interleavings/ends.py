"""From every state some fair run ends the text: workers go on and are answered, claims are made, time goes by."""

from dataclasses import replace
from typing import Final

from tests.proofs.interleavings.application import planner
from tests.proofs.interleavings.state import State
from tests.proofs.interleavings.steps import Step
from tests.proofs.interleavings.surroundings import recovery, time_passes
from tests.proofs.interleavings.workers import workers
from tests.proofs.interleavings.world import World

_LONGEST: Final = 60
"""Steps for each text, after which it is stuck: three looks and three sends are done in fewer."""


class Ends:
    """Remembers which states have an end, so that each is run to its end once."""

    def __init__(self) -> None:
        self._known = set[int]()

    def stuck(self, world: World, state: State) -> list[str] | None:
        """The steps of a fair run that does not end, or None."""
        taken, met = list[str](), list[int]()
        texts = {row["send_log_id"] for row in world.rows(state.content, "sms_retry_queue")}
        for _ in range(_LONGEST * max(len(texts), 1)):
            key = hash(state.key(world))
            if key in self._known:
                break
            met.append(key)
            world.set_back(state.content, state.now)
            step = _fair(world, state)
            if step is None:
                break
            taken.append(step.name)
            after = step.take(world, state)
            content = world.read() if after.now == state.now else state.content
            state = replace(after, content=content, broken=())
        else:
            return taken
        self._known.update(met)
        return None


def _fair(world: World, state: State) -> Step | None:
    """The step that brings it on; None: it has ended."""
    going_on = [step for step in workers(world, state) if " dies" not in step.name]
    if going_on:  # the first answer is the best
        return going_on[0]
    if recover := next(recovery(world, state), None):
        return recover
    rows = world.rows(state.content, "sms_retry_queue")
    live = [row for row in rows if row["status"] in ("pending", "processing")]
    if planned := next((step for step in planner(world, state) if step.name == "planned texts are queued"), None):
        return planned
    if not live and not any(send["status"] == "scheduled" for send in world.rows(state.content, "scheduled_sends")):
        return None
    passing = list(time_passes(world, state))
    waits = [row for row in live if row["held_since"] or row["why_code"] == "list_unavailable"]  # nobody mends it here
    return passing[-1] if live and waits == live else passing[0]
