"""Each safeguard, taken away: a proof that cannot fail proves nothing."""

import pytest

from smsretry.local.stack import Stack
from tests.proofs.faults import scenarios as faults
from tests.proofs.fortnight import report as fortnight
from tests.proofs.interleavings import switches as interleavings
from tests.proofs.neighbors import switches as neighbors
from tests.proofs.town.safeguards import Switch


@pytest.mark.parametrize(
    "switch",
    [
        pytest.param(
            switch,
            id=f"{proof.__name__.split('.')[2]} without {name}",
            marks=[] if proof is interleavings else pytest.mark.long,
        )
        for proof in (faults, fortnight, interleavings, neighbors)
        for name, switch in proof.SWITCHES.items()
    ],
)
def test_without_a_safeguard_the_judge_sees_what_it_keeps(
    stack: Stack, switch: Switch
) -> None:
    """In every order by one step, or by what follows if everybody goes on as they should."""
    report = switch.report(stack)
    assert switch.is_seen(report), report.tell()
