"""Everything that may happen next is tried at each stage of a text's life, and one step after that."""

import pytest

from smsretry.local.stack import Stack
from tests.proofs.interleavings.explore import explore
from tests.proofs.interleavings.stages import STAGES
from tests.proofs.interleavings.switches import SWITCHES
from tests.support.builders import NOON

_FOUND_IN_A_MOMENT = ("begin reads consent", "a send that began is in doubt when its worker dies")


@pytest.mark.parametrize("depth", [1, pytest.param(2, marks=pytest.mark.by_hand)])
def test_whatever_happens_next_breaks_no_promise(stack: Stack, depth: int) -> None:
    """One text is sent once or for a reason, to somebody who consents; it comes to an end, and its story is true."""
    report = explore(stack, NOON, depth=depth, stages=list(STAGES.values()))
    assert not report.violations, f"\n{report}"
    assert report.states > 10 * len(STAGES), f"\n{report}"


@pytest.mark.parametrize(
    "name",
    [name if name in _FOUND_IN_A_MOMENT else pytest.param(name, marks=pytest.mark.long) for name in SWITCHES],
)
def test_without_a_safeguard_the_shortest_way_to_what_it_keeps_is_found(stack: Stack, name: str) -> None:
    """It is printed as the steps that lead there."""
    switch = SWITCHES[name]
    report = switch.explore(stack)
    assert any(what.startswith(switch.sees) for what in report.violations), f"\n{report}"
