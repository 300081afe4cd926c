"""A proof that cannot fail proves nothing: without a mending, the short run sees what it broke."""

import pytest

from smsretry.local.stack import Stack
from tests.proofs.neighbors.switches import SWITCHES

pytestmark = pytest.mark.long


@pytest.mark.parametrize("mending", SWITCHES)
def test_without_a_mending_the_checks_see_its_defect(stack: Stack, mending: str) -> None:
    """A proof that cannot fail proves nothing."""
    switch = SWITCHES[mending]
    report = switch.run(stack, seed="1")
    assert report.verdict[switch.sees], f"\n{report}\n{report.verdict.found}"
