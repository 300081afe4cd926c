"""What each try starts, and when it is interrupted."""

from dataclasses import dataclass
from random import Random
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal["demo", "up", "up with data", "somebody else's directory"]
KINDS: Final[tuple[Kind, ...]] = ("demo", "up", "up with data")

_FIRST_SECONDS: Final = 2.0
_ALL_SECONDS: Final = 20.0
_GUARD_SECONDS: Final = 0.15
"""So long after a guard appeared it has started its command, or not, or is reporting it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One try."""

    kind: Kind
    after_guard: int | None
    """Wait until so many parts are being started; None: count from the start."""
    seconds: float
    """Then so long."""
    again_after: float | None
    """A second Ctrl-C, for want of patience."""


def plans(times: int, *, seed: str) -> list[Plan]:
    """The tries of a run: many in the first seconds, and many just as a part is being started."""
    dice = Random(seed)
    return [_plan(dice) for _ in range(times)]


def aimed(times: int, *, seed: str) -> list[Plan]:
    """Each just as PostgreSQL is being started."""
    dice = Random(seed)
    return [Plan("up", 1, dice.uniform(0, _GUARD_SECONDS), None) for _ in range(times)]


def _plan(dice: Random) -> Plan:
    again = dice.uniform(0, 1) if dice.random() < 0.25 else None
    if dice.random() < 0.05:
        return Plan("somebody else's directory", None, dice.uniform(0, _FIRST_SECONDS), again)
    kind, when = dice.choice(KINDS), dice.random()
    if when < 0.4:
        return Plan(kind, None, dice.uniform(0, _FIRST_SECONDS), again)
    if when < 0.7:
        return Plan(kind, dice.choice((1, 2, 3)), dice.uniform(0, _GUARD_SECONDS), again)
    return Plan(kind, None, dice.uniform(_FIRST_SECONDS, _ALL_SECONDS), again)
