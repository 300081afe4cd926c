"""Everything that may happen to a text next, and next, around each stage of its life.

--depth: steps after a stage. --stage: around this one alone.
"""

from smsretry.local.stack import Stack
from tests.proofs.interleavings.explore import explore
from tests.proofs.interleavings.stages import STAGES
from tests.proofs.interleavings.switches import SWITCHES
from tests.proofs.town.command import main
from tests.proofs.town.report import ProofReport


def _run(stack: Stack, *, depth: int = 2, stage: str = "") -> ProofReport:
    return explore(
        stack, depth=depth, stages=[STAGES[stage]] if stage else [*STAGES.values()]
    )


if __name__ == "__main__":
    raise SystemExit(main("interleavings", __doc__, _run, SWITCHES))
