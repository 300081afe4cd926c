"""Breadth first through the states, each once, until nothing new is found or a bound is reached."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from smsretry.local.stack import Stack
from tests.proofs.interleavings.actors import EVERYBODY
from tests.proofs.interleavings.beginnings import beginnings
from tests.proofs.interleavings.ends import Ends
from tests.proofs.interleavings.invariants import broken
from tests.proofs.interleavings.state import State
from tests.proofs.interleavings.steps import Actor, Step, beginning
from tests.proofs.interleavings.world import World, frozen


@dataclass
class Found:
    """How one state was found first: by the shortest sequence of steps."""

    state: State
    by: str = ""
    after: "Found | None" = None
    depth: int = 0

    @property
    def sequence(self) -> list[str]:
        """The steps from the beginning."""
        names, found = [], self
        while found.after:
            names.append(found.by)
            found = found.after
        return names[::-1]


@dataclass
class Report:
    """What an exploration saw."""

    states: int = 0
    steps: int = 0
    depth: int = 0
    seconds: float = 0.0
    whole: bool = False
    """Whether nothing new was left."""
    violations: dict[str, list[str]] = field(default_factory=dict)
    """What did not hold, by the shortest sequence of steps that leads there."""

    def __str__(self) -> str:
        lines = [
            f"{self.states} states, {self.steps} steps, depth {self.depth}, {self.seconds:.0f} s"
            + (", nothing new is left" if self.whole else "")
        ]
        for what, sequence in self.violations.items():
            lines += [f"{what}:", *(f"    {number}. {step}" for number, step in enumerate(sequence, 1))]
        return "\n".join(lines)


def explore(
    stack: Stack,
    start: datetime,
    *,
    depth: int,
    stages: Sequence[Sequence[str]] = ((),),
    actors: Sequence[Actor] = EVERYBODY,
    states: int = 1_000_000,
    stop_at_first: bool = False,
    prepare: Callable[[World], None] = lambda _: None,
) -> Report:
    """Explore from one due text, or from each of several stages of its life.

    Args:
        depth: the longest sequence of steps, from a stage on.
        stages: steps, by name, that lead to each.
        states: the most states.
        prepare: takes a safeguard away.
    """
    report, began = Report(), time.monotonic()
    with frozen(stack, start) as world:
        prepare(world)
        ends = Ends()
        first = Found(beginning(world, start))
        met: dict[tuple[str, ...], Found] = {(): first}
        waiting = deque(replace(_reached(world, met, tuple(names)), depth=0) for names in stages)
        seen = {hash(found.state.key(world)) for found in waiting}
        while waiting and len(seen) < states:
            found = waiting.popleft()
            report.depth = found.depth
            if found.depth == depth:
                continue
            for further in _next(world, found, actors):
                report.steps += 1
                key = hash(further.state.key(world))
                if key in seen:
                    continue
                seen.add(key)
                wrong = list(broken(world, further.state))
                if stuck := ends.stuck(world, further.state):
                    wrong.append(f"nothing ends it: {', '.join(stuck[-6:])}")
                for what in wrong:
                    report.violations.setdefault(what, further.sequence)
                if wrong:
                    if stop_at_first:
                        waiting.clear()
                        break
                    continue  # what follows from it is no news
                waiting.append(further)
        report.whole = not waiting and not report.violations and report.depth < depth
    report.states, report.seconds = len(seen), time.monotonic() - began
    return report


def _reached(world: World, met: dict[tuple[str, ...], Found], names: tuple[str, ...]) -> Found:
    """The stage at the end of these steps; `met` remembers those on the way, which stages share."""
    if names not in met:
        *earlier, name = names
        before = _reached(world, met, tuple(earlier))
        found = [*_next(world, before, (*EVERYBODY, beginnings), only=name)]
        assert len(found) == 1, f"{len(found)} steps are called {name!r} after {earlier}"
        assert not (wrong := list(broken(world, found[0].state))), (wrong, found[0].sequence)
        met[names] = found[0]
    return met[names]


def _next(world: World, found: Found, actors: Sequence[Actor], *, only: str | None = None) -> Iterator[Found]:
    state = replace(found.state, broken=())
    world.set_back(state.content, state.now)
    steps: list[Step] = [step for actor in actors for step in actor(world, state) if only in (None, step.name)]
    for step in steps:
        world.set_back(state.content, state.now)
        after = step.take(world, state)
        if after.now == state.now:
            after = replace(after, content=world.read())
        else:
            after = replace(after, content=state.content)
        yield Found(after, step.name, found, found.depth + 1)
