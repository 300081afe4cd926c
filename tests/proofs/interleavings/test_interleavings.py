"""Everything that may happen next is tried at each stage of a text's life, and one step after that."""

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
"""They take minutes to be found, and the fault plan's short runs are without them, too."""
_FOUND_IN_A_MOMENT = ("begin reads consent", "begin reads the clock", "a report that comes late changes nothing")


_TAKEN_AWAY = [
    pytest.param(name, marks=[] if name in _FOUND_IN_A_MOMENT else pytest.mark.long)
    for name in SWITCHES
    if name not in _LONGER
]


@pytest.mark.parametrize(
    "stages",
    [
        pytest.param(_EVERY_DAY, id="every day"),
        pytest.param(_THE_OTHERS, id="the other stages", marks=pytest.mark.long),
    ],
)
def test_whatever_happens_next_breaks_no_promise(stack: Stack, stages: tuple[str, ...]) -> None:
    """Texts are sent once or for a reason, to somebody who consents; they come to an end, and their story is true."""
    report = explore(stack, NOON, depth=1, stages=[STAGES[name] for name in stages])
    assert not report.violations, f"\n{report}"
    assert report.states > 10 * len(stages), f"\n{report}"


@pytest.mark.parametrize("name", _TAKEN_AWAY)
def test_without_a_safeguard_the_shortest_way_to_what_it_keeps_is_found(stack: Stack, name: str) -> None:
    """It is printed as the steps that lead there."""
    switch = SWITCHES[name]
    report = switch.explore(stack)
    assert any(what.startswith(switch.sees) for what in report.violations), f"\n{report}"
