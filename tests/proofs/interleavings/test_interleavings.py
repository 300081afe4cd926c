"""Everything that may happen next is tried at each stage of a text's life, and one step after that."""

import pytest

from smsretry.local.stack import Stack
from tests.proofs.interleavings.explore import explore
from tests.proofs.interleavings.stages import STAGES

_EVERY_DAY = (
    "due",
    "its worker died after it was accepted",
    "in doubt, and looked for",
    "put back, because it was lost",
    "with the application's processor",
)
_THE_OTHERS = tuple(name for name in STAGES if name not in _EVERY_DAY)


@pytest.mark.parametrize(
    "stages",
    [
        pytest.param(_EVERY_DAY, id="every day"),
        pytest.param(_THE_OTHERS, id="the other stages", marks=pytest.mark.long),
    ],
)
def test_whatever_happens_next_breaks_no_promise(
    stack: Stack, stages: tuple[str, ...]
) -> None:
    """Texts are sent once or for a reason, to somebody who consents; they come to an end, and their story is true."""
    report = explore(stack, depth=1, stages=[STAGES[name] for name in stages])
    assert report.clean, report.tell()
    assert int(str(report.numbers["states"])) > 10 * len(stages), report.tell()
