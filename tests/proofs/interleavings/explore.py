"""Breadth first through the states, each once, until nothing new is found or a bound is reached."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import psycopg

from smsretry.errors import SmsRetryError
from smsretry.local.stack import Stack
from tests.proofs.interleavings.customer import consents, inbound, numbers
from tests.proofs.interleavings.invariants import (
    broken,
    untrue,
    untrue_in_the_end,
)
from tests.proofs.interleavings.people import (
    application,
    beginnings,
    operator,
    planner,
    processor,
)
from tests.proofs.interleavings.state import Actor, State, Step, beginning
from tests.proofs.interleavings.surroundings import (
    carrier,
    pruning,
    recovery,
    time_passes,
)
from tests.proofs.interleavings.workers import poll, workers
from tests.proofs.interleavings.world import Refused, World, frozen
from tests.proofs.town.report import Finding, ProofReport, Verdict
from tests.support.builders import NOON

EVERYBODY: Final[Sequence[Actor]] = (
    workers, time_passes, recovery, carrier, poll, application, numbers, consents, planner, processor, inbound,
    operator, pruning,
)  # fmt: skip
_LONGEST = 150
"""Steps for each text, after which it is stuck: looks for the whole night in which the other waits are fewer."""


class Ends:
    """Remembers which states have an end, so that each is run to its end once."""

    def __init__(self) -> None:
        self._met_keys = set[int]()

    def wrong(self, world: World, state: State) -> list[Finding]:
        """What breaks if everybody goes on from here as they should, or that it never ends."""
        steps, passed = list[str](), list[int]()
        texts = {
            row["send_log_id"] for row in world.rows(state.content, "sms_retry_queue")
        }
        for _ in range(_LONGEST * max(len(texts), 1)):
            key = hash(state.key(world))
            if key in self._met_keys:
                break
            passed.append(key)
            world.set_back(state.content, state.now)
            step = _fair(world, state)
            if step is None:
                if findings := [*untrue_in_the_end(world, state)]:
                    return findings
                break
            steps.append(step.name)
            state = _after(world, state, step)
            if findings := [*state.broken, *untrue(world, state)]:
                way = f" (in the end, after {', '.join(steps[-6:])})"
                return [(kind, line + way) for kind, line in findings]
        else:
            return [("stuck", f"nothing ends it: {', '.join(steps[-6:])}")]
        self._met_keys.update(passed)
        return []


def _fair(world: World, state: State) -> Step | None:
    """The step that brings it on; None: it has ended."""
    going_on = [step for step in workers(world, state) if " dies" not in step.name]
    if going_on:  # the first answer is the best
        return going_on[0]
    if recover := next(recovery(world, state), None):
        return recover
    rows = world.rows(state.content, "sms_retry_queue")
    live = [row for row in rows if row["status"] in ("pending", "processing")]
    if planned := next(
        (
            step
            for step in planner(world, state)
            if step.name == "planned texts are queued"
        ),
        None,
    ):
        return planned
    if not live and not any(
        send["status"] == "scheduled"
        for send in world.rows(state.content, "scheduled_sends")
    ):
        return None
    passing = list(time_passes(world, state))
    waits = [
        row
        for row in live
        if row["held_since"] or row["why_code"] == "list_unavailable"
    ]  # nobody mends it here
    return passing[-1] if live and waits == live else passing[0]


@dataclass
class Node:
    """How one state was found first: by the shortest sequence of steps."""

    state: State
    by: str = ""
    after: "Node | None" = None
    depth: int = 0

    @property
    def sequence(self) -> list[str]:
        """The steps from the beginning."""
        names, node = [], self
        while node.after:
            names.append(node.by)
            node = node.after
        return names[::-1]


def explore(
    stack: Stack,
    *,
    depth: int,
    stages: Sequence[Sequence[str]],
    stop_at_first: bool = False,
) -> ProofReport:
    """Explore from each of these stages of a text's life. What is found ends with its steps.

    Args:
        depth: the longest sequence of steps, from a stage on.
        stages: steps, by name, that lead to each.
    """
    steps, deepest, findings, began = 0, 0, Verdict(), time.monotonic()
    with frozen(stack, NOON) as world:
        ends = Ends()
        root = Node(beginning(world, NOON))
        met: dict[tuple[str, ...], Node] = {(): root}
        waiting = deque(
            replace(_reached(world, met, tuple(names)), depth=0) for names in stages
        )
        keys = {hash(node.state.key(world)) for node in waiting}
        while waiting:
            node = waiting.popleft()
            deepest = node.depth
            if node.depth == depth:
                continue
            for further in _next(world, node, EVERYBODY):
                steps += 1
                wrong = list(further.state.broken)  # whether its state is known or not
                if not wrong:
                    key = hash(further.state.key(world))
                    if key in keys:
                        continue
                    keys.add(key)
                    wrong = list(broken(world, further.state))
                    wrong = wrong or ends.wrong(world, further.state)
                findings.add(
                    (kind, "\n    ".join([line, *further.sequence]))
                    for kind, line in wrong
                )
                if wrong:
                    if stop_at_first:
                        waiting.clear()
                        break
                    continue  # what follows from it is no news
                waiting.append(further)
    numbers: dict[str, object] = {
        "states": len(keys),
        "steps": steps,
        "depth": deepest,
        "seconds": round(time.monotonic() - began),
    }
    return ProofReport(numbers, findings)


def _reached(
    world: World, met: dict[tuple[str, ...], Node], names: tuple[str, ...]
) -> Node:
    """The stage at the end of these steps; `met` remembers those on the way, which stages share."""
    if names not in met:
        *earlier, name = names
        before = _reached(world, met, tuple(earlier))
        steps = [*_next(world, before, (*EVERYBODY, beginnings), only=name)]
        assert len(steps) == 1, (
            f"{len(steps)} steps are called {name!r} after {earlier}"
        )
        wrong = [*steps[0].state.broken, *broken(world, steps[0].state)]
        assert not wrong, (wrong, steps[0].sequence)
        met[names] = steps[0]
    return met[names]


def _next(
    world: World, node: Node, actors: Sequence[Actor], *, only: str | None = None
) -> Iterator[Node]:
    state = node.state
    world.set_back(state.content, state.now)
    steps: list[Step] = [
        step
        for actor in actors
        for step in actor(world, state)
        if only in (None, step.name)
    ]
    for step in steps:
        world.set_back(state.content, state.now)
        yield Node(_after(world, state, step), step.name, node, node.depth + 1)


def _after(world: World, state: State, step: Step) -> State:
    """The state after a step. Where time passes, nothing is written."""
    state = replace(state, broken=())
    try:
        after = step.take(world, state)
    except (Refused, SmsRetryError, psycopg.Error) as error:
        # Whoever may be refused expects it.
        after = replace(state, broken=(("bugs", f"{step.name}: {error!r}"),))
    return replace(
        after, content=world.read_content() if after.now == state.now else state.content
    )
