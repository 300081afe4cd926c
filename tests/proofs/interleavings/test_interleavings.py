"""Everything that may happen next is tried at each stage of a text's life, and one step after that."""

from collections.abc import Sequence

import pytest

from smsretry.local.stack import Stack
from tests.proofs.interleavings.explore import explore
from tests.proofs.interleavings.stages import STAGES
from tests.proofs.interleavings.switches import SWITCHES
from tests.support.builders import NOON

_EVERY_DAY = (
    "due",
    "begun",
    "its worker died after it was accepted",
    "in doubt, and looked for",
    "looked after, and lost",
    "put back, because it was lost",
    "with the application's processor",
    "beside one of the same words, both in doubt",
)
_THE_OTHERS = tuple(name for name in STAGES if name not in _EVERY_DAY)
_LONGER = (
    "a text in doubt waits for three looks and a quarter of an hour",
    "a worker that lost its claim changes nothing",
    "evidence is looked for in the provider's list",
)
"""The fault plan has these, too."""
_FOUND_IN_A_MOMENT = ("begin reads consent", "begin reads the clock", "a report that comes late changes nothing")


def _when(name: str) -> Sequence[pytest.MarkDecorator]:
    if name in _LONGER:
        return [pytest.mark.by_hand]
    return [] if name in _FOUND_IN_A_MOMENT else [pytest.mark.long]


@pytest.mark.parametrize(
    ("stages", "depth"),
    [
        pytest.param(_EVERY_DAY, 1, id="every day"),
        pytest.param(_THE_OTHERS, 1, id="the other stages", marks=pytest.mark.long),
        pytest.param(tuple(STAGES), 2, id="two steps", marks=pytest.mark.by_hand),
    ],
)
def test_whatever_happens_next_breaks_no_promise(stack: Stack, stages: tuple[str, ...], depth: int) -> None:
    """Texts are sent once or for a reason, to somebody who consents; they come to an end, and their story is true."""
    report = explore(stack, NOON, depth=depth, stages=[STAGES[name] for name in stages])
    assert not report.violations, f"\n{report}"
    assert report.states > 10 * len(stages), f"\n{report}"


@pytest.mark.parametrize("name", [pytest.param(name, marks=_when(name)) for name in SWITCHES])
def test_without_a_safeguard_the_shortest_way_to_what_it_keeps_is_found(stack: Stack, name: str) -> None:
    """It is printed as the steps that lead there."""
    switch = SWITCHES[name]
    report = switch.explore(stack)
    assert any(what.startswith(switch.sees) for what in report.violations), f"\n{report}"
